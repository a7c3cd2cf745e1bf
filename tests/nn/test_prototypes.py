"""Prototypes of unit length; Sinkhorn's iterations against a plain version in double precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.nn.prototypes import Prototypes, sinkhorn


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def cosines(b=24, k=6, seed=0):
    rng = np.random.default_rng(seed)
    return (unit(rng.normal(size=(b, 8))) @ unit(rng.normal(size=(k, 8))).T).astype(np.float32)


def plain_sinkhorn(scores, epsilon, iterations):
    """SwAV's listing: shares of prototypes, then of samples; K and B cancel."""
    q = np.exp(scores.astype(np.float64) / epsilon)
    for _ in range(iterations):
        q /= q.sum(axis=0, keepdims=True)
        q /= q.sum(axis=1, keepdims=True)
    return q


@pytest.mark.parametrize("epsilon, iterations", [(0.05, 1), (0.05, 3), (0.5, 10)])
def test_sinkhorn_equals_a_plain_version_in_double_precision(epsilon, iterations):
    scores = cosines()
    np.testing.assert_allclose(
        sinkhorn(tf.constant(scores), epsilon, iterations), plain_sinkhorn(scores, epsilon, iterations), atol=1e-5
    )


def test_samples_are_assigned_wholly_and_prototypes_alike():
    q = sinkhorn(tf.constant(cosines(b=24, k=6)), epsilon=0.05, iterations=100).numpy()
    np.testing.assert_allclose(q.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(q.sum(axis=0), 24 / 6, atol=1e-3)


def test_a_tiny_epsilon_does_not_overflow():
    q = sinkhorn(tf.constant(cosines()), epsilon=1e-3, iterations=3).numpy()
    np.testing.assert_allclose(q.sum(axis=1), 1, atol=1e-5)


def test_samples_that_do_not_count_change_nothing():
    scores = cosines(b=24)
    used = tf.constant([1.0] * 16 + [0.0] * 8)
    np.testing.assert_allclose(
        sinkhorn(tf.constant(scores), used=used)[:16], sinkhorn(tf.constant(scores[:16])), atol=1e-6
    )
    np.testing.assert_allclose(
        sinkhorn(tf.constant(scores), used=tf.ones(24)), sinkhorn(tf.constant(scores)), atol=1e-6
    )


@pytest.mark.parametrize("weight_norm", [False, True])
def test_scores_are_cosines(weight_norm):
    layer = Prototypes(5, 8, weight_norm=weight_norm)
    if not weight_norm:
        layer.normalize()
    z = np.random.default_rng(0).normal(size=(7, 8)).astype(np.float32)
    np.testing.assert_allclose(layer(z), unit(z) @ unit(layer.directions.numpy()).T, atol=1e-5)


def test_normalize_makes_every_prototype_unit_length():
    layer = Prototypes(5, 8)
    layer.normalize()
    np.testing.assert_allclose(np.linalg.norm(layer.directions.numpy(), axis=1), 1, atol=1e-6)


def test_a_learned_length_starts_at_one_and_scales_a_prototypes_scores():
    layer, plain = Prototypes(5, 8, weight_norm=True, learn_length=True), Prototypes(5, 8, weight_norm=True)
    plain.directions.assign(layer.directions)
    z = np.random.default_rng(0).normal(size=(7, 8)).astype(np.float32)
    np.testing.assert_array_equal(layer(z), plain(z))
    lengths = np.arange(1.0, 6.0, dtype=np.float32)[:, None]
    layer.lengths.assign(lengths)
    np.testing.assert_allclose(layer(z), plain(z) * lengths[:, 0], rtol=1e-6, atol=1e-6)  # a score may be near 0
    assert [v.path for v in layer.trainable_variables] == ["prototypes/directions", "prototypes/lengths"]


@pytest.mark.parametrize("learn_length", [False, True])
def test_a_copy_made_from_the_config_has_the_same_scores(learn_length):
    layer = Prototypes(5, 8, weight_norm=True, learn_length=learn_length)
    model = keras.Sequential([keras.Input((8,)), layer])
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    z = np.ones((2, 8), np.float32)
    np.testing.assert_array_equal(copy(z), model(z))
