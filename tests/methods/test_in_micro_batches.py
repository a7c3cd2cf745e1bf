"""Steps in micro-batches: where a row's embedding depends on that row alone, they are the steps of the whole batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import methods
from ssl_keras.nn import norm
from tests.methods import harness

REPLICATED = ["simclr", "moco", *(pytest.param(name, marks=pytest.mark.slow) for name in ("byol", "swav"))]


def after_a_step(name, micro_batch_size, kind="group", **arguments):
    """Updates of the trainable variables by one step of SGD, other variables after it, and the loss.

    The rate is large: small updates are rounded to the last bits of the variables that they are added to.
    """
    with norm.using(kind, synchronized=False):
        method = harness.make(name, learning_rate=1.0, **arguments)
    method.micro_batch_size = micro_batch_size
    before = [v.numpy() for v in method.trainable_variables]
    loss = harness.train(method, harness.batches(1))["loss"]
    updates = {v.path: v.numpy() - w for v, w in zip(method.trainable_variables, before, strict=True)}
    return updates, {v.path: v.numpy() for v in method.non_trainable_variables}, loss


def check_equal(ours, whole, tolerance=1e-5):
    """The updates' difference is small beside the updates; what else a step changes is the same."""
    (updates, state, loss), (expected, expected_state, expected_loss) = ours, whole
    assert loss == pytest.approx(expected_loss, rel=1e-5, abs=1e-6)
    difference = sum(np.sum((updates[path] - expected[path]) ** 2) for path in expected)
    assert difference**0.5 < tolerance * sum(np.sum(update**2) for update in expected.values()) ** 0.5
    for path, value in expected_state.items():
        np.testing.assert_allclose(state[path], value, rtol=1e-4, atol=1e-4, err_msg=path)


@pytest.mark.parametrize("name", methods.names())
def test_a_step_is_that_of_the_whole_batch(name):
    check_equal(after_a_step(name, 8), after_a_step(name, None))


@pytest.mark.parametrize("name, arguments", [("byol", {"predictor": False}), ("simsiam", {"symmetry": "asymmetric"})])
def test_embeddings_that_come_twice_or_go_unused_are_no_matter(name, arguments):
    check_equal(after_a_step(name, 4, **arguments), after_a_step(name, None, **arguments))


@pytest.mark.parametrize("name", REPLICATED)
def test_two_replicas_in_micro_batches_equal_one_at_once(name, two_replicas):
    whole = after_a_step(name, None)
    with two_replicas.scope():
        check_equal(after_a_step(name, 8), whole, tolerance=1e-4)


@pytest.mark.parametrize("name", ["simclr", "moco"])
def test_replicas_normalize_their_pieces_as_one_replica_does_the_same_pieces(name, two_replicas):
    alone = after_a_step(name, 4, "batch")
    with two_replicas.scope():
        check_equal(after_a_step(name, 8, "batch"), alone, tolerance=1e-4)


def test_float16_keeps_its_loss_scale():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        ours, whole = after_a_step("simclr", 4), after_a_step("simclr", None)
    finally:
        keras.config.set_dtype_policy("float32")
    assert any(np.any(update) for update in whole[0].values())
    difference = sum(np.sum((ours[0][path] - whole[0][path]) ** 2) for path in whole[0])
    assert difference < 0.02**2 * sum(np.sum(update**2) for update in whole[0].values())


@pytest.mark.parametrize("name", ["simclr", "moco"])
def test_batch_norm_moves_once_and_its_first_mean_is_that_of_the_batch(name):
    """The first layer's input does not depend on statistics: the mean over pieces is the mean over the batch."""
    moved = []
    for micro_batch_size in (None, 4):
        method = harness.make(name)
        method.micro_batch_size = micro_batch_size
        harness.train(method, harness.batches(1), traced=micro_batch_size is not None)
        moved.append({v.path: v.numpy() for v in method.non_trainable_variables if "moving_mean" in v.path})
    for path, mean in moved[0].items():
        assert np.any(mean != 0) and np.any(moved[1][path] != 0), path
        if name == "simclr" and path.endswith("stem_bn/moving_mean"):
            np.testing.assert_allclose(moved[1][path], mean, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_step_compiles_with_xla():
    with norm.using("group"):
        plain, pieces = harness.make("simclr"), harness.make("simclr")
    pieces.micro_batch_size = 4
    views = plain.make_views(next(iter(harness.batches(1))))
    losses = []
    for method in (plain, pieces):
        step = tf.function(lambda *v, m=method: m.minimize(m.project, m.contrast, *v)[0], jit_compile=True)
        losses.append([float(step(*views)) for _ in range(2)])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    assert losses[0][1] != losses[0][0]


def test_a_micro_batch_that_does_not_divide_is_refused(two_replicas):
    method = harness.make("simclr")
    method.micro_batch_size = 5
    with pytest.raises(ValueError, match="micro_batch_size that divides the batch size"):
        harness.train(method, harness.batches(1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["simclr", "moco", "byol", "simsiam", "barlow_twins", "vicreg", "swav", "nnclr"])
def test_a_large_batch_in_micro_batches_is_the_whole(name, monkeypatch):
    monkeypatch.setattr(harness, "BATCH", 512)
    monkeypatch.setitem(harness.FACTS, "batch_size", 512)
    queue = {"queue_length": 1024} if name in ("moco", "nnclr", "swav") else {}
    check_equal(after_a_step(name, 64, **queue), after_a_step(name, None, **queue))
