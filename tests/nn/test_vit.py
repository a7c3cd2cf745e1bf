"""Vision transformers: MAE's positions and initial values, and a model that loads anywhere."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.nn import vit


@pytest.fixture(scope="module")
def model():
    return vit.build("vit_tiny", 16, patch=4, seed=0, mean=0.5, std=0.25)


def images(n, side=16):
    return np.random.default_rng(0).random((n, side, side, 3), "float32")


@pytest.mark.parametrize("name, parameters", [("vit_tiny", 5524416), ("vit_small", 21665664), ("vit_base", 85798656)])
def test_as_many_parameters_as_timm_without_its_classifier(name, parameters):
    """timm's *_patch16_224 learn their 197 positions; these are fixed."""
    model = vit.build(name, 224)
    dim = vit.ARCHITECTURES[name].dim
    assert model.count_params() == parameters - 197 * dim


def test_default_patch():
    assert [vit.default_patch(s) for s in (32, 64, 96, 224)] == [4, 8, 8, 16]


def test_positions_are_maes_table():
    grid, dim = 3, 8
    column, row = vit.sin_cos_positions(grid, dim)
    table = column + row  # [row, column, D]
    for r in range(grid):
        for c in range(grid):
            halves = [
                f(p / 10000 ** (2 * i / (dim / 2))) for p in (c, r) for f in (np.sin, np.cos) for i in range(dim // 4)
            ]
            np.testing.assert_allclose(table[r, c], halves, atol=1e-12)


def test_embed_adds_positions_row_by_row(model):
    embed = model.get_layer("embed")
    kernel, bias = embed.get_layer("patch_projection").get_weights()
    x = images(2)
    patches = x.reshape(2, 4, 4, 4, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(2, 16, -1)
    expected = patches @ kernel.reshape(-1, 192) + bias + np.add(*vit.sin_cos_positions(4, 192)).reshape(16, 192)
    np.testing.assert_allclose(embed(x), expected, atol=1e-4)


def test_the_transformer_takes_any_tokens_and_does_not_see_their_order(model):
    transformer = model.get_layer("transformer")
    tokens = model.get_layer("embed")(images(2))
    visible = tf.gather(tokens, [9, 2, 5], axis=1)
    out = transformer(visible)
    assert out.shape == (2, 4, 192)
    shuffled = transformer(tf.gather(tokens, [2, 5, 9], axis=1))
    np.testing.assert_allclose(out[:, 0], shuffled[:, 0], atol=1e-4)
    np.testing.assert_allclose(tf.gather(out[:, 1:], [1, 2, 0], axis=1), shuffled[:, 1:], atol=1e-4)


def test_attention_against_the_equation(model):
    layer = {e.name: e for e in model.get_layer("transformer").layers}
    net = keras.Model(
        model.get_layer("transformer").input,
        [layer["block1_norm1"].output, layer["block1_attention_output"].output],
    )
    x, y = net(np.random.default_rng(1).normal(size=(1, 5, 192)).astype("float32"))
    q, k, v = (
        (x[0] @ w + b).numpy().reshape(6, 3, 64).transpose(1, 0, 2)
        for w, b in (layer[f"block1_attention_{part}"].get_weights() for part in ("query", "key", "value"))
    )
    scores = np.exp(q @ k.transpose(0, 2, 1) / np.sqrt(64))
    heads = scores / scores.sum(-1, keepdims=True) @ v
    w, b = layer["block1_attention_output"].get_weights()
    np.testing.assert_allclose(y[0], heads.transpose(1, 0, 2).reshape(6, 192) @ w + b, atol=1e-4)


def test_initial_values(model):
    weights = {v.path: v.numpy() for v in model.trainable_variables}
    query, key = (next(w for p, w in weights.items() if f"block1_attention_{n}/kernel" in p) for n in ("query", "key"))
    assert not np.allclose(query, key)
    assert np.isclose(query.std(), np.sqrt(2 / (192 + 3 * 192)), rtol=0.02)  # a part of one matrix [D, 3 D]
    patch = next(w for p, w in weights.items() if "patch_projection/kernel" in p)
    assert np.isclose(patch.std(), np.sqrt(2 / (48 + 192)), rtol=0.02)
    assert all(np.all(w == 0) for p, w in weights.items() if p.endswith("bias"))


def test_pooling(model):
    x = images(2)
    tokens = model.get_layer("transformer")(model.get_layer("embed")((x - 0.5) / 0.25))
    np.testing.assert_allclose(model(x), tokens[:, 0], atol=1e-4)
    mean = vit.build("vit_tiny", 16, patch=4, pool="mean", seed=0, mean=0.5, std=0.25)
    np.testing.assert_allclose(mean(x), tf.reduce_mean(tokens[:, 1:], 1), atol=1e-4)


def test_every_weight_learns(model):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(images(2)) ** 3)
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    assert all(g is not None for g in gradients)
    assert not model.non_trainable_variables


def test_mixed_precision_returns_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = vit.build("vit_tiny", 8, patch=4, seed=0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model(images(1, 8)).dtype == tf.float32


def test_query_key_and_value_start_as_parts_of_one_matrix(model):
    """Xavier's bound of a kernel [D, 3 D], as in the released code, and that of [D, D] for the output."""
    kernels = {v.path: v.numpy() for v in model.trainable_variables}
    for part, fan_out in (("query", 3 * 192), ("key", 3 * 192), ("value", 3 * 192), ("output", 192)):
        kernel = next(w for path, w in kernels.items() if f"block1_attention_{part}/kernel" in path)
        assert np.abs(kernel).max() == pytest.approx((6 / (192 + fan_out)) ** 0.5, rel=1e-3)
