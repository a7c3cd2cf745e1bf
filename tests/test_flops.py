"""Counted operations, against the formulas of single layers."""

import keras
import pytest
import tensorflow as tf

from ssl_keras.benchmarks import flops


def counted(function, *inputs):
    return flops.count(tf.function(function).get_concrete_function(*inputs).graph)


def test_a_matrix_product_and_its_gradients():
    x, kernel = tf.ones([8, 5]), tf.Variable(tf.ones([5, 3]))
    product = 2 * 8 * 5 * 3

    def forward(x):
        return tf.matmul(x, kernel)

    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(forward(x))
        return tape.gradient(y, [x, kernel])

    assert counted(forward, x) == product
    assert counted(lambda x: tf.matmul(kernel, x, transpose_a=True, transpose_b=True), x) == product
    assert counted(both, x) == 3 * product


@pytest.mark.parametrize("stride, groups", [(1, 1), (2, 1), (1, 2)])
def test_a_convolution_and_its_gradients(stride, groups):
    x, kernel = tf.ones([2, 8, 8, 4]), tf.Variable(tf.ones([3, 3, 4 // groups, 6]))
    once = 2 * 2 * (8 // stride) ** 2 * 6 * 3 * 3 * (4 // groups)

    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(tf.nn.conv2d(x, kernel, stride, "SAME"))
        return tape.gradient(y, [x, kernel])

    assert counted(both, x) == 3 * once


def test_products_of_many_matrices_and_sums_over_letters():
    x, y = tf.ones([2, 3, 4, 5]), tf.ones([2, 3, 5, 6])
    product = 2 * 2 * 3 * 4 * 5 * 6
    assert counted(tf.matmul, x, y) == product
    assert counted(lambda x, y: tf.einsum("abij,abjk->aibk", x, y), x, y) == product
    assert counted(lambda x: tf.einsum("abij->baij", x), x) == 0


def test_what_is_called_counts_each_time_and_loops_are_refused():
    x = tf.ones([4, 4])
    inner = tf.function(lambda x: tf.matmul(x, x))
    assert counted(lambda x: inner(inner(x)), x) == 2 * 2 * 4**3
    loop = lambda x: tf.while_loop(lambda x: tf.reduce_sum(x) < 9, lambda x: (inner(x),), [x])  # noqa: E731
    with pytest.raises(ValueError, match="loop"):
        counted(loop, x)


def test_a_network_is_the_sum_of_its_layers():
    dense = keras.Sequential([keras.Input([8]), keras.layers.Dense(16), keras.layers.Dense(2)])
    assert counted(lambda x: dense(x), tf.ones([3, 8])) == 2 * 3 * (8 * 16 + 16 * 2)
