import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.methods import lejepa
from tests.methods import harness

VIEWS = "lejepa*3"
TINY = {"hidden_dim": 32, "projection_dim": 8, "slices": 16}


def directions(d=8, slices=64, seed=0):
    a = np.random.default_rng(seed).normal(size=(d, slices)).astype(np.float32)
    return a / np.linalg.norm(a, axis=0)


def statistic(z, a):
    """Epps and Pulley's statistic of each projection, by the trapezoidal rule over [-3, 3] with numpy."""
    t = np.linspace(-3, 3, 33)
    u = z.astype(np.float64) @ a
    found = np.exp(1j * t[:, None, None] * u).mean(axis=1)
    normal = np.exp(-(t**2) / 2)[:, None]
    return len(z) * np.trapezoid(np.abs(found - normal) ** 2 * normal, t, axis=0).mean()


def test_sigreg_is_the_papers_statistic():
    z = 0.7 * np.random.default_rng(1).normal(size=(20, 8)).astype(np.float32) + 0.3
    assert float(lejepa.sigreg(tf.constant(z), directions())) == pytest.approx(statistic(z, directions()), rel=1e-4)


def test_sigreg_is_small_for_a_normal_batch_of_any_size_and_grows_with_what_is_not():
    def of(scale=1.0, n=512, seed=2):
        z = scale * np.random.default_rng(seed).normal(size=(n, 8)).astype(np.float32)
        return float(lejepa.sigreg(tf.constant(z), directions()))

    assert of() < 2 and of(n=4096) < 2
    assert of(0.0) > 10 * of() and of(3.0) > 10 * of()  # collapsed, and spread too far
    correlated = np.repeat(np.random.default_rng(3).normal(size=(512, 1)), 8, axis=1).astype(np.float32)
    assert float(lejepa.sigreg(tf.constant(correlated), directions())) > 10 * of()


def test_its_gradient_is_that_of_the_plain_formula():
    z, a = np.random.default_rng(4).normal(size=(6, 8)).astype(np.float32), tf.constant(directions())

    def plain(z):
        t = tf.linspace(0.0, 3.0, 17)[:, None, None]
        u = tf.matmul(z, a)
        normal = tf.exp(-(t[:, 0] ** 2) / 2)
        error = (tf.reduce_mean(tf.cos(t * u), axis=1) - normal) ** 2 + tf.reduce_mean(tf.sin(t * u), axis=1) ** 2
        weights = tf.constant([0.0] + [3 / 8] * 15 + [3 / 16])[:, None]
        return 6 * tf.reduce_mean(tf.reduce_sum(weights * normal * error, axis=0))

    gradients = []
    for of in (plain, lambda z: lejepa.sigreg(z, a)):
        x = tf.Variable(z)
        with tf.GradientTape() as tape:
            loss = of(x)
        gradients.append((float(loss), tape.gradient(loss, x).numpy()))
    assert gradients[0][0] == pytest.approx(gradients[1][0], rel=1e-5)
    np.testing.assert_allclose(gradients[1][1], gradients[0][1], atol=1e-5)


def test_the_loss_weighs_the_distance_to_the_large_views_mean_and_sigreg():
    method, a = harness.make("lejepa", weight=0.2), directions()
    z = np.random.default_rng(5).normal(size=(8, 12, 8)).astype(np.float32)  # of eight views, two of them large
    distance = np.mean([(view - z[:2].mean(axis=0)) ** 2 for view in z])
    expected = 0.8 * distance + 0.2 * np.mean([statistic(view, a) for view in z])
    loss = method.jepa([tf.constant(view) for view in z], tf.constant(a))
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_directions_are_new_in_each_step_and_the_same_whenever_it_is_made():
    method = harness.make("lejepa")
    places = tf.range(8)
    first = lejepa.random_directions(method.draws(places, 64))
    np.testing.assert_allclose(np.linalg.norm(first, axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(first, lejepa.random_directions(method.draws(places, 64)))
    method.optimizer.iterations.assign_add(1)
    assert np.abs(lejepa.random_directions(method.draws(places, 64)) - first).max() > 0.1
    many = lejepa.random_directions(method.draws(places, 8192)).numpy()
    np.testing.assert_allclose(many @ many.T / 4096, np.eye(8) / 8, atol=0.02)  # uniform on the sphere


@pytest.mark.parametrize("argument", [{"weight": 1.5}, {"slices": 0}])
def test_an_argument_out_of_range_is_refused(argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        harness.make("lejepa", **argument)
