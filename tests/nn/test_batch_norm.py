"""The fused batch normalization computes what Keras's does, and leaves as Keras's."""

import contextlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.nn.batch_norm import FusedBatchNormalization, as_stock, holding, one_pass

STOCK = {"momentum": 0.9, "epsilon": 1e-5}


def train_once(layer, x, jit_compile=False):
    """Output, gradients by input and weights, and moving statistics of one training step."""
    layer.build(x.shape)
    for v in layer.trainable_variables:
        v.assign(np.linspace(0.5, 1.5, v.shape[0]))

    @tf.function(jit_compile=jit_compile)
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(tf.cast(y, tf.float32) ** 3)
        return y, tape.gradient(loss, [x, *[v.value for v in layer.trainable_variables]])

    y, gradients = step(tf.constant(x))
    return [np.asarray(t, np.float32) for t in (y, *gradients, layer.moving_mean, layer.moving_variance)]


def is_fused(layer, x):
    graph = tf.function(lambda x: layer(x, training=True)).get_concrete_function(tf.constant(x)).graph
    return any(op.type == "FusedBatchNormV3" for op in graph.get_operations())


@pytest.mark.parametrize("shape", [(6, 5, 4, 3), (12, 3)])
@pytest.mark.parametrize("affine", [{}, {"center": False}, {"center": False, "scale": False}])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_training_step_equals_stock_keras(shape, affine, jit_compile):
    x = np.random.default_rng(0).normal(2.0, 3.0, shape).astype("float32")
    fused = FusedBatchNormalization(**affine)
    for ours, keras_s in zip(
        train_once(fused, x, jit_compile), train_once(keras.layers.BatchNormalization(**STOCK, **affine), x)
    ):
        np.testing.assert_allclose(ours, keras_s, rtol=2e-4, atol=2e-4)
    assert is_fused(fused, x)


def test_the_moving_variance_averages_the_biased_variance():
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    *_, mean, variance = train_once(FusedBatchNormalization(), x)
    np.testing.assert_allclose(mean, 0.1 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(variance, 0.9 + 0.1 * x.var(0, ddof=0), rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_in_and_out_with_float32_statistics(policy):
    x = np.random.default_rng(0).normal(1.0, 2.0, (8, 4, 4, 3)).astype("float32")
    layer = FusedBatchNormalization(dtype=policy)
    y = layer(x, training=True)
    assert y.dtype == layer.compute_dtype
    assert layer.moving_mean.dtype == layer.gamma.dtype == "float32"
    expected = (x - x.mean((0, 1, 2))) / x.std((0, 1, 2))
    np.testing.assert_allclose(np.asarray(y, "float32"), expected, atol=0.03)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * x.mean((0, 1, 2)), rtol=0.01)


def test_one_row_does_not_divide_by_zero():
    *_, variance = train_once(FusedBatchNormalization(), np.ones((1, 3), "float32"))
    np.testing.assert_allclose(variance, 0.9, rtol=1e-6)


def test_a_frozen_layer_and_inference_use_the_moving_statistics():
    x = np.random.default_rng(0).normal(2.0, 3.0, (6, 3)).astype("float32")
    layer = FusedBatchNormalization()
    np.testing.assert_allclose(layer(x, training=False), x, rtol=1e-4)
    layer.trainable = False
    np.testing.assert_allclose(layer(x, training=True), x, rtol=1e-4)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(3))


def test_two_replicas_equal_one(two_replicas):
    x = np.random.default_rng(0).normal(2.0, 3.0, (8, 3, 3, 4)).astype("float32")
    alone = FusedBatchNormalization()
    expected = alone(x, training=True)
    assert not alone.synchronized

    strategy = two_replicas
    with strategy.scope():
        layer = FusedBatchNormalization()
        layer.build(x.shape)
    assert layer.synchronized
    halves = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(x[4 * context.replica_id_in_sync_group :][:4])
    )
    run = tf.function(lambda h: strategy.run(lambda v: layer(v, training=True), args=(h,)))
    y = tf.concat(strategy.experimental_local_results(run(halves)), 0)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean.numpy(), alone.moving_mean.numpy(), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance.numpy(), alone.moving_variance.numpy(), rtol=1e-5)


def test_as_stock_loads_without_this_package(tmp_path):
    inner = keras.Sequential([keras.Input((4,)), FusedBatchNormalization(), keras.layers.Dense(3)], name="inner")
    x = keras.Input((4,))
    model = keras.Model(x, FusedBatchNormalization(center=False)(inner(x)))
    data = np.random.default_rng(0).normal(2.0, 3.0, (16, 4)).astype("float32")
    for _ in range(3):
        model(data, training=True)

    stock = as_stock(model)
    kinds = {type(layer) for layer in stock._flatten_layers()}
    assert keras.layers.BatchNormalization in kinds and FusedBatchNormalization not in kinds
    assert len(model.layers) == len(stock.layers)
    stock.save(tmp_path / "model.keras")
    np.save(tmp_path / "data.npy", data)
    program = (
        "import keras, numpy as np, sys;"
        "m = keras.saving.load_model('model.keras'); np.save('out.npy', m(np.load('data.npy')));"
        "assert 'ssl_keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-I", "-c", program], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), model(data), rtol=1e-6)


def test_its_own_config_survives_saving(tmp_path):
    layer = FusedBatchNormalization(momentum=0.7, scale=False, synchronized=True, gamma_initializer="zeros")
    model = keras.Sequential([keras.Input((4,)), layer])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras").layers[0]
    assert isinstance(again, FusedBatchNormalization)
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize("momentum", [0.9, 0.0])
@pytest.mark.parametrize("synchronized", [False, True])
@pytest.mark.parametrize("held", [False, True])
def test_several_passes_move_the_statistics_once_by_their_mean(momentum, synchronized, held):
    if synchronized and held:
        return  # refused
    parts = np.random.default_rng(0).normal(2.0, 3.0, (5, 6, 3)).astype("float32")
    layer = FusedBatchNormalization(momentum=momentum, synchronized=synchronized)
    layer.build((None, 3))
    statistics = {}
    with holding(statistics) if held else contextlib.nullcontext():
        for i, part in enumerate(parts):
            with one_pass(i + 1, len(parts)):
                layer(part, training=True)
    mean, variance = (statistics[id(v)][1] if held else v for v in (layer.moving_mean, layer.moving_variance))
    np.testing.assert_allclose(mean, (1 - momentum) * parts.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(variance, momentum + (1 - momentum) * parts.var(1).mean(0), rtol=1e-5)
    assert layer.momentum == layer.get_config()["momentum"] == momentum
