import numpy as np
import pytest
import tensorflow as tf

from tests.methods import harness

TINY = {"projection_dim": 32, "bn_splits": 2}
SCENES = [
    "--view_arg=crop_area=(0.25,1.0)",
    "--view_arg=hue=0.4",
    "--view_arg=grayscale=0.5",
    "--learning_rate=0.006",
    "--weight_decay=0",
]


def test_loss_is_info_nce_among_the_keys_of_the_batch():
    method = harness.make("end_to_end", temperature=0.2)
    q, k = np.random.default_rng(0).normal(size=(2, 16, 32)).astype(np.float32)
    similarities = np.exp(q @ k.T / 0.2)
    expected = -np.mean(np.log(np.diag(similarities) / similarities.sum(axis=1)))
    order = np.random.default_rng(1).permutation(16)
    assert float(method.contrast(tf.constant(q), tf.constant(k[order]), order)) == pytest.approx(expected, rel=1e-5)


def test_the_gradient_flows_into_keys():
    method = harness.make("end_to_end")
    q, k = (tf.Variable(np.random.default_rng(i).normal(size=(16, 32)).astype(np.float32)) for i in range(2))
    with tf.GradientTape() as tape:
        loss = method.contrast(q, k, method.bn.order(method.draws(tf.range(16), 1)))
    assert all(np.all(np.any(g.numpy() != 0, axis=1)) for g in tape.gradient(loss, [q, k]))


def test_shuffled_keys_are_found_by_their_queries():
    """With equal views, one group and a low temperature, each query's own key is the nearest: the loss is near 0."""
    method = harness.make("end_to_end", bn_splits=1, temperature=0.001)
    x = next(iter(harness.batches(1)))["image"]
    x = tf.cast(x, tf.float32) / 255
    order = tf.constant(np.random.default_rng(0).permutation(16))
    q, k = method.embed(x, method.bn.shuffle(x, order))
    assert float(method.contrast(q, k, order)) < 0.01 < float(method.contrast(q, k, tf.range(16)))


def test_a_step_shuffles_the_keys_images_anew():
    method, seen = harness.make("end_to_end"), []
    embed, make_views = method.embed, method.make_views
    views = make_views(next(iter(harness.batches(1))))
    method.make_views = lambda batch: views
    method.embed = lambda query, key: seen.append((query, key)) or embed(query, key)
    for batch in harness.batches(2):
        method.train_step(batch)
    own, orders = views[1].numpy(), []
    for query, key in seen:
        np.testing.assert_array_equal(query, views[0])
        orders.append([np.flatnonzero([np.array_equal(row, x) for x in own]).item() for row in key.numpy()])
    in_order = list(range(16))
    assert all(sorted(order) == in_order != order for order in orders)
    assert orders[0] != orders[1]


def test_two_encoders_start_equal_and_both_learn():
    method = harness.make("end_to_end", shared=False, bn_splits=1)
    paths = [v.path for v in method.trainable_variables]
    assert len(set(paths)) == len(paths) == 2 * len(harness.make("end_to_end").trainable_variables)
    pairs = list(zip(method.backbone.weights, method.key_backbone.weights, strict=True))
    assert all(key.path.startswith("key/") and np.array_equal(query, key) for query, key in pairs)
    before = {v.path: v.numpy() for v in method.trainable_variables}
    harness.train(method, harness.batches(1))
    assert all(np.any(v.numpy() != before[v.path]) for v in method.trainable_variables)


@pytest.mark.slow
def test_two_encoders_on_two_replicas_equal_one(two_replicas):
    one = harness.make("end_to_end", learning_rate=1e-3, shared=False)
    alone = harness.train(one, harness.batches(2))
    with two_replicas.scope():
        two = harness.make("end_to_end", learning_rate=1e-3, shared=False)
    together = harness.train(two, harness.batches(2))
    assert together["loss"] == pytest.approx(alone["loss"], rel=1e-4)
    for a, b in zip(harness.weights(one), harness.weights(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("arguments", [{"temperature": 0.0}, {"bn_splits": 5}])
def test_impossible_settings_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        harness.make("end_to_end", **arguments)
