import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.methods import emp_ssl
from ssl_keras.views import policies
from ssl_keras.views.layer import RandomViews
from tests.methods import harness

VIEWS = "emp_ssl*3"
TINY = {"hidden_dim": 32, "projection_dim": 8, "invariance": 2.0}


def unit(*shape, seed=0):
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def rate(z, distortion=0.2):
    n, d = z.shape
    return 0.5 * np.linalg.slogdet(np.eye(d) + d / (n * distortion) * z.T.astype(np.float64) @ z)[1]


@pytest.mark.parametrize("n, d", [(12, 5), (5, 12)])
def test_coding_rate_is_the_papers_equation(n, d):
    z = unit(n, d)
    assert float(emp_ssl.coding_rate(tf.constant(z), 0.2)) == pytest.approx(rate(z), rel=1e-5)


def test_coding_rate_of_directions_that_are_all_there_and_of_a_single_one():
    every = np.eye(4, dtype=np.float32)
    assert float(emp_ssl.coding_rate(tf.constant(every), 0.2)) == pytest.approx(4 / 2 * np.log(1 + 1 / 0.2), rel=1e-5)
    one = np.repeat(every[:1], 4, axis=0)
    assert float(emp_ssl.coding_rate(tf.constant(one), 0.2)) == pytest.approx(np.log(1 + 4 / 0.2) / 2, rel=1e-5)


def test_loss_is_the_papers_objective():
    method, z = harness.make("emp_ssl", invariance=3.0), unit(6, 12, 8)
    center = z.mean(axis=0)
    center /= np.linalg.norm(center, axis=-1, keepdims=True)
    expected = -3.0 * np.mean((z * center).sum(axis=-1)) - np.mean([rate(crop) for crop in z])
    assert float(method.objective(*map(tf.constant, z))) == pytest.approx(expected, rel=1e-5)


def test_any_number_of_crops_is_taken():
    method = harness.make("emp_ssl")
    crops = RandomViews(policies.get(type(method).default_views, harness.SIZE), harness.SIZE, jit_compile=False)
    assert len(method.views.views) == 3 and len(crops.views) == 20
    many = type(method)(method.backbone, crops, **TINY)
    many.compile("sgd")
    assert np.isfinite(float(many.train_step(next(iter(harness.batches(1))))["loss"]))
    with pytest.raises(ValueError, match="2 or more"):
        type(method)(method.backbone, RandomViews(policies.get("emp_ssl*1", harness.SIZE), harness.SIZE), **TINY)


@pytest.mark.parametrize("argument", [{"invariance": -1.0}, {"distortion": 0.0}])
def test_an_argument_out_of_range_is_refused(argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        harness.make("emp_ssl", **argument)
