"""Passes in pieces: the embeddings and gradients of one pass, and batch normalization piece by piece."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.nn import norm
from ssl_keras.nn.batch_norm import FusedBatchNormalization
from ssl_keras.nn.micro_batches import MicroBatches

X = np.random.default_rng(0).normal(1.0, 2.0, (12, 4)).astype("float32")


def network(kind="group"):
    with norm.using(kind):
        layers = [keras.Input((4,)), keras.layers.Dense(32), norm.normalization("norm", 32, vector=True)]
        return keras.Sequential([*layers, keras.layers.ReLU(), keras.layers.Dense(3)])


def contrast(z):
    """A loss that compares all rows with all."""
    return tf.reduce_logsumexp(tf.matmul(z, z, transpose_b=True))


def cached(net, x, rows):
    """Embeddings and gradients by gradient caching."""
    pieces = MicroBatches(lambda x: (net(x, training=True),), [x], rows)
    (z,) = pieces.embeddings(move=False)
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = contrast(z)
    return z, pieces.gradients([tape.gradient(loss, z)], net.trainable_variables)


@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
@pytest.mark.parametrize("rows", [1, 4, 12])
def test_embeddings_and_gradients_are_those_of_one_pass(how, rows):
    net = network()
    with tf.GradientTape() as tape:
        expected = net(X, training=True)
        loss = contrast(expected)
    gradients = tape.gradient(loss, net.trainable_variables)
    step = (lambda x: cached(net, x, rows)) if how == "eager" else tf.function(
        lambda x: cached(net, x, rows), jit_compile=how == "xla"
    )
    z, ours = step(tf.constant(X))
    np.testing.assert_allclose(z, expected, rtol=1e-5, atol=1e-5)
    for a, b in zip(ours, gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_the_graph_does_not_grow_with_the_pieces():
    def nodes(rows):
        graph = tf.function(lambda x: cached(net, x, rows)[1]).get_concrete_function(tf.constant(X)).graph
        definition = graph.as_graph_def()
        return len(definition.node) + sum(len(f.node_def) for f in definition.library.function)

    net = network()
    assert nodes(2) == nodes(6)


@pytest.mark.parametrize("calls", [1, 2])
def test_moving_statistics_move_once_by_the_mean_of_the_pieces(calls):
    layer = FusedBatchNormalization()
    layer.build((None, 4))
    layer.moving_mean.assign([1.0, 2.0, 3.0, 4.0])

    def embed(x):  # the second call sees other values
        return (sum(layer(x * (i + 1), training=True) for i in range(calls)),)

    pieces = MicroBatches(embed, [tf.constant(X)], 3)
    before = [w.copy() for w in layer.get_weights()]
    pieces.embeddings(move=False)
    for w, start in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(w, start)

    mean, variance = np.array([1.0, 2, 3, 4]), np.ones(4)
    for i in range(calls):
        mean = 0.9 * mean + 0.1 * (i + 1) * X.mean(0)
        variance = 0.9 * variance + 0.1 * (i + 1) ** 2 * X.reshape(4, 3, 4).var(1).mean(0)
    pieces.gradients([tf.ones([12, 4])], layer.trainable_variables)
    np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-5)


def test_statistics_are_of_the_piece_alone():
    net = network("batch")
    pieces = MicroBatches(lambda x: (net(x, training=True),), [tf.constant(X)], 4)
    (z,) = pieces.embeddings(move=True)
    np.testing.assert_allclose(z[4:8], net(X[4:8], training=True), rtol=1e-4, atol=1e-5)


def test_moving_statistics_are_averaged_over_replicas(two_replicas):
    with two_replicas.scope():
        layer = FusedBatchNormalization(synchronized=False)
        layer.build((None, 4))
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.constant(X[6 * context.replica_id_in_sync_group :][:6])
    )

    def step(x):
        return MicroBatches(lambda x: (layer(x, training=True),), [x], 3).embeddings(move=True)

    tf.function(lambda x: two_replicas.run(step, args=(x,)))(halves)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.1 * X.mean(0), rtol=1e-5)
    variance = X.reshape(4, 3, 4).var(1).mean(0)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.9 + 0.1 * variance, rtol=1e-5)


def test_what_the_embeddings_do_not_reach_gets_no_gradient():
    net, other = network(), keras.Variable(1.0)
    pieces = MicroBatches(lambda x: (net(x, training=True), 2.0 * x), [tf.constant(X)], 4)
    *reached, missing = pieces.gradients([tf.ones([12, 3]), None], [*net.trainable_variables, other])
    assert missing is None and all(g is not None for g in reached)


@pytest.mark.parametrize("rows", [5, 24])
def test_pieces_that_do_not_fit_are_refused(rows):
    with pytest.raises(ValueError, match=f"12 rows does not divide into pieces of {rows}"):
        MicroBatches(lambda x: (x,), [tf.constant(X)], rows)


def test_synchronized_statistics_are_refused():
    layer = FusedBatchNormalization(synchronized=True, name="bn1")
    layer.build((None, 4))
    with pytest.raises(ValueError, match=r"bn1.*synchronized=False"):
        MicroBatches(lambda x: (layer(x, training=True),), [tf.constant(X)], 4)
