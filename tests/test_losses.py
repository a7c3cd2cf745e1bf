"""Losses against their equations, at their limits, and over several replicas."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import chunked_loss, distribute, losses

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


def info_nce_problem(b=7, count=11, d=5, masked=True):
    """Queries, positives and negatives of unit length; ids, some of which queries and negatives share."""
    queries, positives = (losses.l2_normalize(RNG.normal(size=(b, d))) for _ in range(2))
    negatives = losses.l2_normalize(RNG.normal(size=(count, d)))
    ids = (tf.range(b), tf.range(count) % (b + 2)) if masked else (None, None)
    return (queries, positives, negatives), ids


def value_and_gradients(arguments, ids, **keywords):
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        loss = losses.info_nce(*arguments, 0.2, *ids, **keywords)
    return [loss, *tape.gradient(loss, arguments)]


@pytest.mark.parametrize("masked", [False, True])
def test_info_nce_is_the_cross_entropy_of_the_own_key_among_the_negatives_of_other_ids(masked):
    (q, p, n), (ids, negative_ids) = info_nce_problem(masked=masked)
    total = 0.0
    for i in range(7):
        counted = [j for j in range(11) if not masked or ids[i] != negative_ids[j]]
        own = np.exp(np.dot(q[i], p[i]) / 0.2)
        total -= np.log(own / (own + sum(np.exp(np.dot(q[i], n[j]) / 0.2) for j in counted)))
    np.testing.assert_allclose(losses.info_nce(q, p, n, 0.2, ids, negative_ids), total / 7, rtol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("chunk", [1, 11, 44, 60])  # rows of a chunk: 1 (even of fewer columns), 1, 4, 5
def test_info_nce_in_chunks_has_the_value_and_gradients_of_the_whole(chunk, masked, jit_compile, monkeypatch):
    arguments, ids = info_nce_problem(masked=masked)
    expected = value_and_gradients(arguments, ids)
    monkeypatch.setattr(chunked_loss, "CHUNK", chunk)
    chunked = tf.function(lambda *x: value_and_gradients(x, ids), jit_compile=jit_compile)(*arguments)
    for ours, whole in zip(chunked, expected, strict=True):
        np.testing.assert_allclose(ours, whole, rtol=1e-5, atol=1e-6)


def test_constant_negatives_get_no_gradient_and_leave_the_others_theirs(monkeypatch):
    arguments, ids = info_nce_problem()
    expected = value_and_gradients(arguments, ids)
    for chunk in (chunked_loss.CHUNK, 44):
        monkeypatch.setattr(chunked_loss, "CHUNK", chunk)
        *ours, to_negatives = value_and_gradients(arguments, ids, constant_negatives=True)
        assert to_negatives is None
        for a, b in zip(ours, expected):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def largest_tensor(function, *arguments):
    """Elements of the largest tensor in the graph of a function, loops and all."""
    definition = tf.function(function).get_concrete_function(*arguments).graph.as_graph_def(add_shapes=True)
    nodes = [*definition.node, *(node for f in definition.library.function for node in f.node_def)]
    shapes = [shape for node in nodes for shape in node.attr["_output_shapes"].list.shape]
    return max(tf.TensorShape(shape).num_elements() or 0 for shape in shapes)


def test_large_problems_are_never_held_whole(monkeypatch):
    b, d = 4096, 16
    z = tf.zeros([b, d])

    def step(z1, z2):
        with tf.GradientTape() as tape:
            tape.watch([z1, z2])
            loss = losses.nt_xent(z1, z2, 0.2)
        return tape.gradient(loss, [z1, z2])

    assert largest_tensor(step, z, z) <= chunked_loss.CHUNK < (2 * b) ** 2
    monkeypatch.setattr(chunked_loss, "CHUNK", (2 * b) ** 2)
    assert largest_tensor(lambda *views: step(*views), z, z) >= (2 * b) ** 2


def test_large_nt_xent_has_the_value_and_gradient_of_the_plain_formula():
    z1, z2 = tf.constant(RNG.normal(size=(2, 1100, 8)), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([z1, z2])
        z = losses.l2_normalize(tf.concat([z1, z2], 0))
        logits = tf.linalg.set_diag(tf.matmul(z, z, transpose_b=True) / 0.2, tf.fill([2200], -1e9))
        labels = (tf.range(2200) + 1100) % 2200
        plain = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        assert chunked_loss.CHUNK < 2200**2
        ours = losses.nt_xent(z1, z2, 0.2)
    np.testing.assert_allclose(ours, plain, rtol=1e-6)
    for a, b in zip(tape.gradient(ours, [z1, z2]), tape.gradient(plain, [z1, z2]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-8)


def test_nt_xent_in_chunks_over_replicas_has_the_gradient_of_one(two_replicas, monkeypatch):
    monkeypatch.setattr(chunked_loss, "CHUNK", 48)
    check_nt_xent_over_replicas(two_replicas)


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
