import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.nn import norm
from ssl_keras.nn.shuffling_bn import ShufflingBN
from tests.methods import harness

TINY = {"queue_length": 32, "projection_dim": 32, "bn_splits": 2}
SCENES = [
    "--view_arg=crop_area=(0.25,1.0)",
    "--view_arg=hue=0.4",
    "--view_arg=grayscale=0.5",
    "--method_arg=queue_length=1024",
    "--learning_rate=0.006",
    "--weight_decay=0",
]


def unit(*shape, seed=0):
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def info_nce(q, k, queue, temperature):
    """Equation (1) of arXiv:1911.05722, one query at a time."""
    terms = []
    for query, key in zip(q, k):
        positive = np.exp(query @ key / temperature)
        terms.append(-np.log(positive / (positive + np.exp(queue @ query / temperature).sum())))
    return np.mean(terms)


def test_loss_is_the_papers_equation_1():
    method = harness.make("moco", temperature=0.2)
    (q, k), queue = unit(2, 5, 32), method.queue.read().numpy()
    loss = method.contrast(tf.constant(q), tf.constant(k))
    assert float(loss) == pytest.approx(info_nce(q, k, queue, 0.2), rel=1e-5)


def test_symmetric_loss_is_the_sum_of_both_and_both_views_are_queued():
    method = harness.make("moco", temperature=0.2, symmetric=True, bn_splits=1)
    queue, terms = method.queue.read().numpy(), []
    contrast = method.contrast

    def record(q, k):
        terms.append((q.numpy(), k.numpy()))
        return contrast(q, k)

    method.contrast = record
    logs = method.train_step(next(iter(harness.batches(1))))
    assert len(terms) == 2
    assert float(logs["loss"]) == pytest.approx(sum(info_nce(q, k, queue, 0.2) for q, k in terms), rel=1e-5)
    assert np.all(np.any(method.queue.read().numpy() != queue, axis=1))  # 2 x 16 keys in a queue of 32


@pytest.mark.slow
def test_symmetric_two_replicas_equal_one(two_replicas):
    one = harness.make("moco", learning_rate=1e-3, symmetric=True)
    alone = harness.train(one, harness.batches(2))
    with two_replicas.scope():
        two = harness.make("moco", learning_rate=1e-3, symmetric=True)
    together = harness.train(two, harness.batches(2))
    assert together["loss"] == pytest.approx(alone["loss"], rel=1e-4)
    for a, b in zip(harness.weights(one), harness.weights(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_each_steps_loss_sees_the_queue_without_its_own_keys_and_then_they_replace_the_oldest():
    method = harness.make("moco", queue_length=48)
    made, seen = [], []
    key, contrast = method.key, method.contrast

    def record_key(x_k, order):
        made.append(key(x_k, order).numpy())
        return tf.constant(made[-1])

    def record_queue(q, k):
        seen.append(method.queue.read().numpy())
        return contrast(q, k)

    method.key, method.contrast = record_key, record_queue
    queue = method.queue.read().numpy()
    for step, batch in enumerate(harness.batches(5)):
        method.train_step(batch)
        np.testing.assert_array_equal(seen[step], queue)
        assert (made[step] @ queue.T).max() < 1 - 1e-6
        queue[step % 3 * 16 :][:16] = made[step]
        np.testing.assert_array_equal(method.queue.read(), queue)


def test_keys_come_from_an_encoder_that_follows_slowly():
    method = harness.make("moco", momentum=0.75, bn_splits=1)
    old = [copy.numpy() for copy, _ in method.target._pairs()]
    harness.train(method, harness.batches(1))
    for before, (copy, online) in zip(old, method.target._pairs()):
        np.testing.assert_allclose(copy, 0.75 * before + 0.25 * online.numpy(), rtol=1e-5, atol=1e-6)


def order_of(method):
    """The order in which the method's step makes its keys."""
    return method.bn.order(method.draws(tf.range(16), 1))


def test_keys_are_normalized_in_shuffled_groups_and_come_back_in_order():
    method = harness.make("moco")
    x = tf.random.uniform([16, 16, 16, 3], seed=0)
    keys = method.key(x, order_of(method))
    method.bn = ShufflingBN(harness.BATCH, 1)
    plain = method.key(x, order_of(method))
    nearest = tf.argmax(tf.matmul(keys, plain, transpose_b=True), axis=1)
    np.testing.assert_array_equal(nearest, np.arange(16))
    assert np.abs(keys - plain).max() > 1e-3  # by the statistics of their groups


def test_keys_are_normalized_with_those_that_the_shuffle_puts_beside_them():
    method = harness.make("moco")
    x = np.random.default_rng(0).random((16, 16, 16, 3), "float32")
    order = order_of(method).numpy()
    keys = method.key(tf.constant(x), order)
    shuffled, expected = x[order], np.zeros(keys.shape, np.float32)
    for g in range(method.bn.splits):
        expected[order[g :: method.bn.splits]] = method.target(shuffled[g :: method.bn.splits])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(keys, expected, atol=1e-5)
    (in_order,) = method.embed_keys(x)
    assert np.abs(keys - in_order).max() > 1e-3


def test_shuffled_rows_come_back():
    bn = ShufflingBN(16, 2)
    x = tf.random.uniform([16, 3])
    order = bn.order(tf.random.uniform([16, 1]))
    shuffled = bn.shuffle(x, order)
    assert np.any(shuffled.numpy() != x.numpy())
    np.testing.assert_array_equal(bn.mine(bn.restore(bn.in_groups(tf.identity, shuffled), order)), x)


@pytest.mark.parametrize("rows, groups", [(16, 4), (8, 2), (2, 1)])
def test_groups_are_every_nth_row_and_keep_their_size_in_pieces_of_the_batch(rows, groups):
    x = np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)
    centred = ShufflingBN(16, 4).in_groups(lambda g: g - tf.reduce_mean(g, axis=0), tf.constant(x)).numpy()
    for g in range(groups):
        np.testing.assert_allclose(centred[g::groups], x[g::groups] - x[g::groups].mean(axis=0), atol=1e-6)


def moved_statistics(splits, micro_batch_size=None, synchronized=None):
    """Moving mean and variance of the stem after the passes of one step, and what went into them."""
    with norm.using("batch", synchronized=synchronized):
        method = harness.make("moco", learning_rate=0.0, bn_splits=splits)
    method.micro_batch_size = micro_batch_size
    harness.train(method, harness.batches(1))
    return {v.path: v.numpy() for v in method.non_trainable_variables if "stem_bn/moving" in v.path}


@pytest.mark.parametrize("synchronized", [False, True])
def test_groups_move_the_moving_statistics_once(synchronized):
    """Their mean is that of the batch, so that the moving mean is as without groups."""
    whole, groups = (moved_statistics(splits, synchronized=synchronized) for splits in (1, 8))
    for path, value in whole.items():
        if path.endswith("mean") and "target" not in path:
            np.testing.assert_allclose(groups[path], value, rtol=1e-4, atol=1e-6)


def test_pieces_and_groups_move_the_moving_statistics_once():
    whole, pieces = moved_statistics(1), moved_statistics(4, micro_batch_size=8)
    for path, value in whole.items():
        if path.endswith("mean") and "target" not in path:
            np.testing.assert_allclose(pieces[path], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("hidden, layers", [(0, 1), (48, 2)])
def test_head_of_each_version(hidden, layers):
    head = harness.make("moco", hidden_dim=hidden).projector
    kernels = [v.shape for v in head.trainable_variables if len(v.shape) == 2]
    assert len(kernels) == layers and kernels[-1][-1] == 32


@pytest.mark.slow
def test_step_compiles():
    method = harness.make("moco")
    batch = next(iter(harness.batches(1)))
    assert np.isfinite(tf.function(method.train_step, jit_compile=True, autograph=False)(batch)["loss"])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"temperature": 0.0}, "temperature"),
        ({"momentum": 1.0}, "momentum"),
        ({"queue_length": 40}, "multiple of the batch size 16: use"),
        ({"queue_length": 48, "symmetric": True}, "multiple of the batch size 32: use"),
        ({"bn_splits": 0}, "use bn_splits=1"),
        ({"bn_splits": 6}, "use bn_splits=2 or a batch size of 18"),
    ],
)
def test_impossible_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        harness.make("moco", **arguments)
