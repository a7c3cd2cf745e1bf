import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.methods.base import even_z_std
from tests.methods import harness


def test_loss_is_the_papers_equation_2():
    method = harness.make("simsiam", projection_dim=16, predictor_dim=8)
    rng = np.random.default_rng(0)
    p, z = rng.normal(size=(2, 5, 16)).astype(np.float32)
    expected = -np.mean(np.sum(p * z, axis=1) / np.linalg.norm(p, axis=1) / np.linalg.norm(z, axis=1))
    assert float(method._distance(p, tf.constant(z))) == pytest.approx(expected, rel=1e-5)


def test_the_target_gets_no_gradient_unless_asked():
    p, z = (tf.Variable(np.random.default_rng(i).normal(size=(4, 16)).astype(np.float32)) for i in range(2))
    for stop in (True, False):
        method = harness.make("simsiam", projection_dim=16, predictor_dim=8, stop_gradient=stop)
        with tf.GradientTape() as tape:
            loss = method._distance(p, z)
        gradient = tape.gradient(loss, z)
        assert (gradient is None) is stop


def test_the_predictors_rate_stays_while_the_rest_decays():
    assert harness.make("simsiam", projection_dim=16, predictor_dim=8).constant_lr == ("predictor",)


@pytest.mark.slow
def test_without_stop_gradient_the_projections_collapse():
    spread = {}
    for stop in (True, False):
        method = harness.make("simsiam", learning_rate=1.0, projection_dim=64, predictor_dim=16, stop_gradient=stop)
        for epoch in range(20):
            logs = harness.train(method, harness.batches(20, seed=epoch))
        spread[stop] = logs["z_std"] / even_z_std(64)
    assert spread[True] > 0.5 and spread[False] < 0.25
