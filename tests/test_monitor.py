import json
import os

import keras
import numpy as np
import pytest

from ssl_keras import files
from ssl_keras.scores.spectrum import effective_rank
from ssl_keras.training.finite import DivergedError, StopWhenNotFinite
from ssl_keras.training.gradients import GradientNorms
from ssl_keras.training.spread import even_z_std, z_std
from tests.methods import harness


def test_z_std_of_even_directions_is_one_over_root_d():
    z = np.random.default_rng(0).normal(size=(20_000, 64)).astype(np.float32)
    assert float(z_std(z)) == pytest.approx(even_z_std(64), rel=0.01)


def test_z_std_of_equal_projections_is_zero_and_ignores_length():
    direction = np.random.default_rng(0).normal(size=(1, 16)).astype(np.float32)
    assert float(z_std(direction * np.linspace(1, 9, 50, dtype=np.float32)[:, None])) < 1e-6


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_effective_rank_counts_equal_directions(rank):
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(8, 8)))[0][:rank]
    h = np.linalg.qr(rng.normal(size=(500, rank)))[0] @ basis
    assert effective_rank(h) == pytest.approx(rank, rel=0.05)


def test_effective_rank_of_constant_features_is_zero_whatever_the_offset():
    assert effective_rank(np.full((10, 4), 3.7, np.float32)) == 0.0


def test_a_failed_write_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(str(path), {"a": 1})
    with pytest.raises(TypeError):
        files.write_json(str(path), object())
    with pytest.raises(RuntimeError), files.replacing(str(path)) as beside:
        with open(beside, "w") as file:
            file.write("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_loss_that_is_not_finite_stops_with_the_step():
    callback = StopWhenNotFinite()
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(optimizer="sgd")
    model.optimizer.build([])
    model.optimizer.iterations.assign(41)
    callback.set_model(model)
    callback.on_train_batch_end(0, {"loss": 1.0})
    with pytest.raises(DivergedError, match="step 41"):
        callback.on_train_batch_end(1, {"loss": float("nan")})


def test_gradient_norms_are_those_of_the_newest_step_part_by_part():
    method, norms, logs = harness.make("simsiam"), GradientNorms(), {}
    harness.train(method, harness.batches(1))
    norms.set_model(method)
    norms.on_train_begin()
    norms.on_epoch_end(0, logs)
    velocities = [v.numpy() for v in method.optimizer.velocities]  # after one step they are the gradients
    for name, part in (("backbone", method.backbone), ("projector", method.projector), ("predictor", method.predictor)):
        ours = {id(v) for v in part.trainable_variables}
        own = [g for g, v in zip(velocities, method.trainable_variables, strict=True) if id(v) in ours]
        expected = np.sqrt(sum(np.square(g.astype(np.float64)).sum() for g in own))
        assert logs.pop(f"gradient_norm/{name}") == pytest.approx(expected, rel=1e-4)
    assert not logs


def test_an_optimizer_of_keras_does_not_tell_gradient_norms():
    method, norms, logs = harness.make("simclr"), GradientNorms(), {}
    method.compile("adam")
    norms.set_model(method)
    norms.on_train_begin()
    norms.on_epoch_end(0, logs)
    assert logs == {}
