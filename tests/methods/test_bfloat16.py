"""Every method under the dtype policy mixed_bfloat16: the networks' passes compute in it, all else in float32."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import methods
from ssl_keras.encoders.encoder import build_encoder
from ssl_keras.nn import norm
from ssl_keras.training.checkpoints import Checkpoints, Position
from tests.methods import harness

# Of each kind one; the others are slow.
KINDS = ("simclr", "moco", "byol", "swav")
SOME = [name if name in KINDS else pytest.param(name, marks=pytest.mark.slow) for name in methods.names()]


@pytest.fixture(autouse=True)
def policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def stepped(name, steps=1, **arguments):
    """A method after some steps, their logs, and the updates of its trainable weights."""
    method = harness.make(name, **arguments)
    before = [v.numpy() for v in method.trainable_variables]
    logs = harness.train(method, harness.batches(steps))
    return method, logs, [v.numpy() - w for v, w in zip(method.trainable_variables, before, strict=True)]


def difference(updates, expected):
    """|updates - expected| / |expected|."""
    flat, other = (np.concatenate([np.ravel(x) for x in arrays]) for arrays in (updates, expected))
    return np.linalg.norm(flat - other) / np.linalg.norm(other)


@pytest.mark.parametrize("name", methods.names())
def test_a_step_is_that_of_float32_but_for_rounding(name):
    method, logs, updates = stepped(name)
    assert method.backbone.compute_dtype == "bfloat16" or any(
        layer.compute_dtype == "bfloat16" for layer in method.backbone._flatten_layers()
    )
    keras.config.set_dtype_policy("float32")
    _, expected, plain = stepped(name)
    assert logs["loss"] == pytest.approx(expected["loss"], rel=0.03, abs=0.03)
    assert difference(updates, plain) < 0.5


@pytest.mark.parametrize("name", methods.names())
def test_what_lasts_is_float32(name):
    method = harness.make(name)
    kept = [*method.weights, *method.optimizer.variables, *method.metrics_variables]
    assert {v.dtype for v in kept if "float" in v.dtype} == {"float32"}
    x = next(iter(harness.batches(1)))["image"]
    assert method(x).dtype == "float32"


def test_the_shipped_encoder_is_the_trained_one_in_float32():
    method, _, _ = stepped("simclr", 3)
    encoder = build_encoder(method.encoder, "uint8")
    assert {layer.compute_dtype for layer in encoder.model._flatten_layers()} == {"float32"}
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    images = next(iter(harness.batches(1)))["image"]
    trained = method(images)
    shipped = encoder(tf.cast(images, tf.float32) / 255)
    assert np.linalg.norm(shipped - trained) < 0.02 * np.linalg.norm(trained)


@pytest.mark.parametrize("name", SOME)
def test_restored_state_makes_the_next_step_identical(name, tmp_path):
    first, second = harness.make(name), harness.make(name)
    harness.train(first, harness.batches(1))
    Checkpoints(tmp_path).save(first, Position(1))
    Checkpoints(tmp_path).restore(second)
    logs = [harness.train(method, harness.batches(1, seed=3)) for method in (first, second)]
    assert logs[0]["loss"] == logs[1]["loss"]
    for a, b in zip(harness.weights(first), harness.weights(second), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", SOME)
def test_two_replicas_equal_one(name, two_replicas):
    _, logs, updates = stepped(name)
    with two_replicas.scope():
        _, together, moved = stepped(name)
    assert together["loss"] == pytest.approx(logs["loss"], rel=0.03, abs=0.03)
    assert difference(moved, updates) < 0.5


@pytest.mark.parametrize("name", SOME)
def test_a_step_in_micro_batches_is_that_of_the_whole_batch(name):
    with norm.using("group", synchronized=False):
        whole, pieces = harness.make(name), harness.make(name)
    pieces.micro_batch_size = 4
    moved = []
    for method in (whole, pieces):
        before = [v.numpy() for v in method.trainable_variables]
        loss = harness.train(method, harness.batches(1))["loss"]
        moved.append((loss, [v.numpy() - w for v, w in zip(method.trainable_variables, before, strict=True)]))
    assert moved[1][0] == pytest.approx(moved[0][0], rel=0.02, abs=0.02)
    assert difference(moved[1][1], moved[0][1]) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("name", methods.names())
def test_a_step_compiled_by_xla_is_the_same_step(name):
    losses = []
    for compiles in (False, True):
        method = harness.make(name, learning_rate=1e-3)
        method.jit_compile = compiles
        losses.append(harness.train(method, harness.batches(1), traced=True)["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.03, abs=0.03)
