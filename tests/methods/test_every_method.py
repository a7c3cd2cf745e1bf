"""What holds for every method, whatever its loss."""

import subprocess
import sys
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import methods
from ssl_keras.encoders import file
from ssl_keras.encoders.encoder import build_encoder
from ssl_keras.training.checkpoints import Checkpoints, Position
from tests.methods import harness, replicas


class Practiced(NamedTuple):
    """A method that has made a step by its graph."""

    method: keras.Model
    before: dict[str, np.ndarray]  # path of a weight -> its value before that
    logs: dict[str, float]


def practice(name: str) -> Practiced:
    method = harness.make(name)
    before = {v.path: v.numpy() for v in method.weights}
    return Practiced(method, before, harness.train(method, harness.batches(1), traced=True))


@pytest.fixture(scope="module", params=methods.names())
def name(request) -> str:
    """Of a method: all its tests follow one another, so that they share what takes seconds to trace."""
    return request.param


@pytest.fixture(scope="module")
def practiced(name) -> Practiced:
    return practice(name)


def test_every_trainable_weight_moves_and_no_frozen_one_but_statistics(practiced):
    method, before, logs = practiced
    assert np.isfinite(logs["loss"])
    trainable = {v.path for v in method.trainable_variables}
    for variable in method.weights:
        moved = np.any(variable.numpy() != before[variable.path])
        assert np.all(np.isfinite(variable.numpy())), variable.path
        if variable.path in trainable:
            assert moved, f"{variable.path} got no gradient"
        else:
            declared = variable.path.startswith(method.state)
            statistics = "moving_" in variable.path
            assert statistics or moved == declared, f"{variable.path}: moved {moved}, declared as state {declared}"


def test_the_whole_step_is_a_program_of_xla_with_static_shapes(practiced):
    """What a TPU needs. Lowering the step refuses operations without a kernel and shapes that are not static."""
    step = harness.traced_step(practiced.method)
    compiled = tf.function(lambda batch: step(batch), jit_compile=True, autograph=False)
    program = compiled.experimental_get_compiler_ir(next(iter(harness.batches(1))))(stage="hlo")
    assert "ENTRY" in program


def test_the_shipped_encoder_gives_the_trained_representation(practiced, tmp_path):
    trained = practiced.method.encoder
    file.save_encoder(build_encoder(trained, "uint8"), str(tmp_path / "encoder.keras"))
    encoder = file.load_encoder(str(tmp_path / "encoder.keras"))
    x = np.random.default_rng(0).uniform(size=(4, harness.SIZE, harness.SIZE, 3)).astype(np.float32)
    np.testing.assert_allclose(encoder(tf.constant(x)), trained(x, training=False), atol=1e-5)


def test_restored_state_makes_the_next_step_identical(name, practiced, tmp_path):
    first, second = practiced.method, harness.make(name)
    Checkpoints(tmp_path).save(first, Position(2))
    Checkpoints(tmp_path).restore(second)
    logs = [harness.train(method, harness.batches(1, seed=3)) for method in (first, second)]
    assert logs[0]["loss"] == logs[1]["loss"]
    for a, b in zip(harness.weights(first), harness.weights(second), strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_replicas_equal_one(name, two_replicas):
    replicas.compare(name, two_replicas)


@pytest.mark.slow
def test_a_step_compiled_by_xla_is_the_same_step(name):
    plain, compiled = harness.make(name, learning_rate=1e-3), harness.make(name, learning_rate=1e-3)
    compiled.jit_compile = True
    logs = [harness.train(method, harness.batches(1), traced=True) for method in (plain, compiled)]
    assert logs[1]["loss"] == pytest.approx(logs[0]["loss"], rel=1e-4, abs=1e-4)
    for v, w in zip(plain.weights, compiled.weights, strict=True):
        np.testing.assert_allclose(w.numpy(), v.numpy(), rtol=1e-3, atol=1e-3, err_msg=v.path)


@pytest.mark.slow
def test_four_replicas_are_one(name):
    """In a process of its own: TensorFlow's collectives take one number of devices per process."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.methods.replicas", name, "4"], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]

