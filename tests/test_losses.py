"""Losses against their equations, at their limits, and over several replicas."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import distribute, losses

RNG = np.random.default_rng(0)


def nt_xent_reference(z1, z2, temperature):
    """Equation 1 of SimCLR, anchor by anchor."""
    z = np.concatenate([z1, z2]).astype("float64")
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    n, total = len(z1), 0.0
    for i in range(2 * n):
        similarities = np.exp(z @ z[i] / temperature)
        total -= np.log(similarities[(i + n) % (2 * n)] / (similarities.sum() - similarities[i]))
    return total / (2 * n)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_nt_xent_is_equation_1(temperature):
    z1, z2 = RNG.normal(size=(2, 7, 5)).astype("float32")
    expected = nt_xent_reference(z1, z2, temperature)
    np.testing.assert_allclose(losses.nt_xent(z1, z2, temperature), expected, rtol=1e-5)


def test_nt_xent_of_equal_embeddings_is_the_log_of_the_candidates():
    z = np.ones((8, 4), "float32")
    np.testing.assert_allclose(losses.nt_xent(z, z, 0.5), np.log(15), rtol=1e-5)


def test_nt_xent_ignores_norms_rotations_and_the_order_of_views_and_images():
    z1, z2 = RNG.normal(size=(2, 6, 4)).astype("float32")
    loss = losses.nt_xent(z1, z2, 0.2)
    rotation = np.linalg.qr(RNG.normal(size=(4, 4)))[0].astype("float32")
    np.testing.assert_allclose(losses.nt_xent(z2, z1, 0.2), loss, rtol=1e-5)
    np.testing.assert_allclose(losses.nt_xent(3 * z1 @ rotation, z2 @ rotation, 0.2), loss, rtol=1e-5)
    np.testing.assert_allclose(losses.nt_xent(z1[::-1], z2[::-1], 0.2), loss, rtol=1e-5)


def test_nt_xent_logits_put_the_other_view_at_the_label_and_never_the_anchor():
    z1, z2 = np.eye(4, dtype="float32"), np.eye(4, dtype="float32")
    logits, labels = losses.nt_xent_logits(z1, z2, 0.5)
    np.testing.assert_array_equal(labels, [4, 5, 6, 7, 0, 1, 2, 3])
    np.testing.assert_array_equal(tf.argmax(logits, 1), labels)
    assert np.all(np.diag(logits) < -1e8)


def test_nt_xent_over_replicas_has_the_gradient_of_one(two_replicas):
    check_nt_xent_over_replicas(two_replicas)


@pytest.mark.slow  # it imports TensorFlow again
def test_nt_xent_over_four_replicas_has_the_gradient_of_one():
    program = (
        "from ssl_keras import distribute\n"
        "strategy = distribute.build_strategy('mirrored', num_devices=4)\n"
        "from tests.test_losses import check_nt_xent_over_replicas\n"
        "check_nt_xent_over_replicas(strategy)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def check_nt_xent_over_replicas(strategy):
    z1, z2 = RNG.normal(size=(2, 8, 5)).astype("float32")
    z = tf.constant(np.stack([z1, z2]))
    with tf.GradientTape() as tape:
        tape.watch(z)
        expected = losses.nt_xent(z[0], z[1], 0.2)
    expected_gradient = tape.gradient(expected, z)

    share = 8 // strategy.num_replicas_in_sync
    shares = strategy.experimental_distribute_values_from_function(
        lambda context: z[:, context.replica_id_in_sync_group * share :][:, :share]
    )

    def step(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            loss = losses.nt_xent(z[0], z[1], 0.2)
            scaled = loss / distribute.num_replicas()
        return loss, distribute.mean(loss), tape.gradient(scaled, z)

    local, mean, gradients = tf.function(lambda z: strategy.run(step, args=(z,)))(shares)
    np.testing.assert_allclose(np.mean(strategy.experimental_local_results(local)), expected, rtol=1e-5)
    np.testing.assert_allclose(strategy.experimental_local_results(mean)[0], expected, rtol=1e-5)
    together = tf.concat(strategy.experimental_local_results(gradients), 1)
    np.testing.assert_allclose(together, expected_gradient, atol=1e-6)


def test_nt_xent_in_half_precision_is_computed_in_float32():
    z1, z2 = tf.cast(RNG.normal(size=(2, 6, 4)), tf.bfloat16)
    expected = nt_xent_reference(*(np.asarray(z, "float32") for z in (z1, z2)), 0.1)
    assert losses.nt_xent(z1, z2, 0.1).dtype == tf.float32
    np.testing.assert_allclose(losses.nt_xent(z1, z2, 0.1), expected, rtol=1e-5)


def test_negative_cosine_is_minus_one_zero_one_for_equal_orthogonal_opposite():
    x = np.array([[3.0, 0.0], [0.0, 2.0]], "float32")
    np.testing.assert_allclose(losses.negative_cosine(x, 5 * x), -1, rtol=1e-6)
    np.testing.assert_allclose(losses.negative_cosine(x, x[::-1]), 0, atol=1e-6)
    np.testing.assert_allclose(losses.negative_cosine(x, -x), 1, rtol=1e-6)


def test_a_zero_row_has_a_finite_gradient():
    x = tf.constant([[0.0, 0.0], [3.0, 4.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        n = losses.l2_normalize(x)
    np.testing.assert_allclose(n, [[0, 0], [0.6, 0.8]], rtol=1e-6)
    assert np.all(np.isfinite(tape.gradient(n, x)))
