import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.nn import heads, state
from ssl_keras.nn.backbones import build_backbone


def online():
    return build_backbone("resnet8", 16, width=0.25, seed=0), heads.mlp((32, 16, 8), "projector", seed=0)


def test_copy_starts_equal_and_frozen_under_its_own_paths():
    backbone, projector = online()
    target = state.MomentumEncoder(backbone, projector)
    assert target.trainable_variables == []
    assert all(v.path.startswith("target/") for v in target.variables)
    x = tf.random.uniform([8, 16, 16, 3])
    np.testing.assert_allclose(
        target(x, training=True), projector(backbone(x, training=True), training=True), rtol=1e-5, atol=1e-6
    )


def test_copy_sees_the_images_that_the_online_network_sees_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        backbone = build_backbone("resnet8", 16, width=0.25, mean=0.5, std=1e-3, seed=0)
        target = state.MomentumEncoder(backbone)
    finally:
        keras.config.set_dtype_policy("float32")
    x = 0.5 + tf.random.uniform([8, 16, 16, 3], 0, 1e-3)  # differences that bfloat16 has no numbers for
    np.testing.assert_array_equal(target(x, training=True), backbone(x, training=True))


def test_copy_normalises_by_its_own_batch():
    target = state.MomentumEncoder(*online())
    before = {v.path: v.numpy() for v in target.variables}
    target(tf.random.uniform([8, 16, 16, 3]), training=True)
    moved = {v.path for v in target.variables if np.any(v.numpy() != before[v.path])}
    assert moved and all("moving_" in path for path in moved)


def test_reseeded_copy_starts_elsewhere():
    backbone, projector = online()
    target = state.MomentumEncoder(backbone, projector, reseed=True)
    kernels = [(a, b) for a, b in target._pairs() if len(b.shape) > 1]
    assert all(np.any(a.numpy() != b.numpy()) for a, b in kernels)
    for a, b in kernels:
        assert np.std(a.numpy()) == pytest.approx(np.std(b.numpy()), rel=0.25)


def test_update_moves_by_exactly_its_share_of_the_difference():
    target = state.MomentumEncoder(*online(), reseed=True)
    before = [copy.numpy() for copy, _ in target._pairs()]
    target.update(0.75)
    for old, (new, theta) in zip(before, target._pairs()):
        np.testing.assert_allclose(new.numpy(), old + 0.25 * (theta.numpy() - old), rtol=1e-6, atol=1e-7)


def test_queue_returns_keys_first_in_first_out():
    queue = state.FeatureQueue(6, 4, 2)
    np.testing.assert_allclose(np.linalg.norm(queue.read(), axis=1), 1.0, rtol=1e-5)
    enqueue = tf.function(queue.enqueue)
    keys = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1, 2, 3]].reshape(4, 2, 4)
    for pair in keys:
        enqueue(tf.constant(pair))
    rows = queue.read().numpy()
    np.testing.assert_array_equal(rows[:2], keys[3])  # the fourth pair took the place of the first
    np.testing.assert_array_equal(rows[2:4], keys[1])
    np.testing.assert_array_equal(rows[4:], keys[2])


def test_queue_read_before_is_not_changed_by_what_comes_in():
    queue = state.FeatureQueue(4, 2, 2)
    before = queue.keys.numpy()

    @tf.function
    def step():
        read = queue.read()
        queue.enqueue(tf.ones([2, 2]))
        return read

    np.testing.assert_array_equal(step(), before)


def test_queue_of_an_odd_length_is_refused():
    with pytest.raises(ValueError, match="multiple of the batch size 4: use 8"):
        state.FeatureQueue(7, 2, 4)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_bank_moves_the_rows_of_the_batch_alone(jit_compile):
    bank = state.MemoryBank(5, 3)
    before = bank.read().numpy()
    assert np.abs(before).max() <= 1.0
    f = tf.math.l2_normalize(tf.random.normal([2, 3]), axis=-1)
    tf.function(bank.update, jit_compile=jit_compile)(tf.constant([4, 1]), f, 0.5)
    after = bank.read().numpy()
    np.testing.assert_array_equal(after[[0, 2, 3]], before[[0, 2, 3]])
    mixed = 0.5 * before[[4, 1]] + 0.5 * f.numpy()
    np.testing.assert_allclose(after[[4, 1]], mixed / np.linalg.norm(mixed, axis=1, keepdims=True), rtol=1e-5)


def test_two_replicas_keep_the_state_of_one(two_replicas):
    keys = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    with two_replicas.scope():
        queue, bank = state.FeatureQueue(8, 3, 4), state.MemoryBank(6, 3)
    before = bank.read().numpy()

    @tf.function
    def step():
        def replica():
            r = tf.distribute.get_replica_context().replica_id_in_sync_group
            mine = tf.gather(tf.reshape(tf.constant(keys), [2, 2, 3]), r)
            queue.enqueue(mine)
            bank.update(tf.gather(tf.constant([[0, 2], [4, 5]]), r), mine, 0.0)

        two_replicas.run(replica)

    step()
    for copy in two_replicas.experimental_local_results(queue.keys.value):
        np.testing.assert_array_equal(copy.numpy()[:4], keys)
    for copy in two_replicas.experimental_local_results(bank.features.value):
        unit = keys / np.linalg.norm(keys, axis=1, keepdims=True)
        np.testing.assert_allclose(copy.numpy()[[0, 2, 4, 5]], unit, rtol=1e-5)
        np.testing.assert_array_equal(copy.numpy()[[1, 3]], before[[1, 3]])


def test_state_is_weights():
    layer = keras.Sequential([keras.Input((3,))])
    layer.queue = state.FeatureQueue(4, 2, 2)
    assert {v.path for v in layer.queue.variables} == {"queue/keys", "queue/position"}
