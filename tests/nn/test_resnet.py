"""ResNets have torchvision's structure, sizes and padding."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.nn.backbones import BACKBONES, build_backbone
from ssl_keras.nn.batch_norm import FusedBatchNormalization, as_stock
from ssl_keras.nn.resnet import build


def num_parameters(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


@pytest.mark.parametrize("name, parameters", [("resnet18", 11176512), ("resnet34", 21284672), ("resnet50", 23508032)])
def test_as_many_parameters_as_torchvision_without_its_classifier(name, parameters):
    model = build(name, 224, stem="imagenet")
    assert num_parameters(model) == parameters
    assert model.output_shape == (None, BACKBONES[name])


@pytest.mark.parametrize(
    "name, stem, sides", [("resnet8", "cifar", (32, 16, 8)), ("resnet18", "cifar", (32, 16, 8, 4)),
                          ("resnet50", "imagenet", (8, 4, 2, 1))],
)  # fmt: skip
def test_stages_can_be_cut_at_their_output(name, stem, sides):
    model = build(name, 32, stem=stem)
    for stage, side in enumerate(sides, 1):
        output = model.get_layer(f"stage{stage}").output
        assert output.shape[1:3] == (side, side)
    cut = keras.Model(model.input, model.get_layer("stage2").output)
    assert tf.reduce_min(cut(np.ones((1, 32, 32, 3), "float32"))) >= 0  # after the ReLU


def test_the_stem_follows_the_image_size():
    assert build("resnet18", 64).get_layer("stem_conv").kernel.shape == (3, 3, 3, 64)
    assert build("resnet18", 96).get_layer("stem_conv").kernel.shape == (7, 7, 3, 64)


@pytest.mark.parametrize("side", [13, 16])
def test_strided_convolutions_pad_all_sides_alike(side):
    """PyTorch's Conv2d(3, stride=2, padding=1), against a convolution written out in NumPy."""
    model = build("resnet8", side, width=0.25, seed=0)
    before, conv = model.get_layer("stage1"), model.get_layer("stage2_block1_1_conv")
    net = keras.Model(model.input, [before.output, conv.output])
    x, y = net(np.random.default_rng(0).random((2, side, side, 3), "float32"))
    kernel = conv.kernel.numpy()
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    for i in range(y.shape[1]):
        for j in range(y.shape[2]):
            window = padded[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            np.testing.assert_allclose(y[:, i, j], np.einsum("bhwc,hwcd->bd", window, kernel), atol=1e-4)
    assert y.shape[1] == (side + 1) // 2


@pytest.mark.parametrize("side", [13, 16])
def test_a_shortcut_takes_every_second_pixel(side):
    """PyTorch's Conv2d(1, stride=2)."""
    model = build("resnet8", side, width=0.25, seed=0)
    before, conv = model.get_layer("stage1"), model.get_layer("stage2_block1_shortcut_conv")
    x, y = keras.Model(model.input, [before.output, conv.output])(np.random.default_rng(0).random((2, side, side, 3)))
    np.testing.assert_allclose(y, x[:, ::2, ::2] @ conv.kernel[0, 0], atol=1e-5)


@pytest.mark.parametrize("width", [0.125, pytest.param(0.25, marks=pytest.mark.slow)])
def test_narrow_nets_train_on_large_images(width):
    """In a process of its own: the gradient of a strided 1×1 kernel with few channels overwrites memory in oneDNN."""
    step = f"""
import tensorflow as tf
from ssl_keras.nn.resnet import build
model = build("resnet8", 64, width={width}, stem="cifar")
for _ in range(10):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(tf.random.uniform([16, 64, 64, 3]), training=True))
    tape.gradient(loss, model.trainable_variables)
"""
    done = subprocess.run([sys.executable, "-c", step], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


def test_max_pooling_pads_all_sides_alike():
    model = build("resnet18", 64, width=0.125, stem="imagenet", seed=0)
    net = keras.Model(model.input, [model.get_layer("stem_relu").output, model.get_layer("stem_pool").output])
    x, y = net(np.random.default_rng(0).random((1, 64, 64, 3), "float32"))
    assert x.shape[1] == 32 and y.shape[1] == 16
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    expected = [[padded[0, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((0, 1)) for j in range(16)] for i in range(16)]
    np.testing.assert_array_equal(y[0], expected)


def test_convolutions_start_he_normal_in_fan_out_and_differ():
    model = build("resnet18", 32, seed=3)
    kernel = model.get_layer("stage4_block2_2_conv").kernel.numpy()
    assert abs(kernel.std() / np.sqrt(2 / (9 * 512)) - 1) < 0.01
    assert abs(kernel).max() > 4 * kernel.std()  # not truncated
    other = model.get_layer("stage4_block2_1_conv").kernel.numpy()
    assert abs(np.corrcoef(kernel.ravel(), other.ravel())[0, 1]) < 0.01


def test_a_seed_fixes_every_initial_weight():
    one, same, other = (build("resnet8", 32, seed=s) for s in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), same.get_weights()))
    assert not np.array_equal(one.get_weights()[0], other.get_weights()[0])


def test_zero_init_last_starts_blocks_as_the_identity():
    model = build("resnet18", 32, width=0.25, zero_init_last=True, seed=0)
    gammas = [np.all(v.numpy() == 0) for v in model.trainable_variables if v.path.endswith("gamma")]
    assert sum(gammas) == 8
    cut = keras.Model(model.input, [model.get_layer("stem_relu").output, model.get_layer("stage1").output])
    stem, stage1 = cut(np.random.default_rng(0).random((2, 32, 32, 3), "float32"))
    np.testing.assert_allclose(stem, stage1, atol=1e-6)


def test_mean_and_std_are_part_of_the_model():
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    plain, normalizing = build("resnet8", 32, seed=0), build("resnet8", 32, seed=0, mean=mean, std=std)
    x = np.random.default_rng(0).random((2, 32, 32, 3), "float32")
    np.testing.assert_allclose(normalizing(x), plain((x - mean) / std), rtol=1e-4, atol=1e-5)


def test_mixed_precision_computes_in_half_and_returns_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build("resnet8", 32, seed=0, mean=0.5, std=0.25)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("stage3").compute_dtype == "bfloat16"
    x = np.random.default_rng(0).random((4, 32, 32, 3), "float32")
    h = model(x, training=True)
    assert h.dtype == tf.float32
    full = build("resnet8", 32, seed=0, mean=0.5, std=0.25)(x, training=True)
    assert np.abs(h - full).max() < 0.1 * np.abs(full).max()


def test_any_number_of_channels_and_width():
    model = build_backbone("resnet8", 24, channels=5, width=0.5)
    assert model.output_shape == (None, 64) and model.input_shape == (None, 24, 24, 5)
    assert model(np.zeros((1, 24, 24, 5), "float32")).shape == (1, 64)


def test_the_stock_form_gives_the_same_features():
    model = build("resnet8", 32, width=0.25, seed=0)
    x = np.random.default_rng(0).random((8, 32, 32, 3), "float32")
    model(x, training=True)
    stock = as_stock(model)
    assert not any(isinstance(layer, FusedBatchNormalization) for layer in stock.layers)
    np.testing.assert_allclose(stock(x), model(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("resnet19", {}, "resnet8, resnet18"),
        ("resnet18", {"stem": "tiny"}, "imagenet, cifar"),
        ("resnet18", {"width": 0.001}, "at least"),
        ("resnet18", {"mean": (0.5, 0.5)}, "3 channels"),
        ("resnet18", {"std": 0.0}, "positive"),
        ("resnet18", {"patch": 4}, "options of a ViT"),
        ("vit_tiny", {"stem": "cifar"}, "options of a ResNet"),
        ("vit_tiny", {"patch": 5}, "multiple of the patch"),
    ],
)
def test_errors_say_what_is_expected(name, options, message):
    with pytest.raises(ValueError, match=message):
        build_backbone(name, 32, **options)
