"""Heads have the papers' layers, biases and initial values."""

import keras
import numpy as np
import pytest

from ssl_keras.nn import heads


def layout(head):
    """What follows what: "linear+bias", "bn", "bn-beta" (without beta), "bn-beta-gamma", "relu"."""
    words = []
    for layer in head.layers:
        if isinstance(layer, keras.layers.Dense):
            words.append("linear+bias" if layer.use_bias else "linear")
        elif isinstance(layer, keras.layers.BatchNormalization):
            words.append("bn" + "" * layer.center + (not layer.center) * "-beta" + (not layer.scale) * "-gamma")
        else:
            words.append(type(layer).__name__.lower())
    return " ".join(words)


@pytest.mark.parametrize(
    "head, expected",
    [
        (heads.simclr_projector(8, num_layers=3), "linear bn relu linear bn relu linear bn-beta"),
        (heads.simclr_projector(8, num_layers=2), "linear bn relu linear bn-beta"),
        (heads.simclr_projector(8, num_layers=1), "linear bn-beta"),
        (heads.simclr_projector(8, num_layers=0), "identity"),
        (heads.simsiam_projector(8), "linear bn relu linear bn relu linear bn"),
        (heads.simsiam_projector(8, num_layers=2, last_bn_affine=False), "linear bn relu linear bn-beta-gamma"),
        (heads.simsiam_predictor(16, 4), "linear bn relu linear+bias"),
        (heads.byol_mlp(8, 16, 4), "linear+bias bn relu linear"),
        (heads.moco_head(8), "linear+bias"),
        (heads.moco_head(8, 8), "linear+bias relu linear+bias"),
        # Barlow Twins' projector and VICReg's expander
        (heads.mlp((8, 4, 4, 4), "z", use_bias=(False, False, False)), "linear bn relu linear bn relu linear"),
        (heads.mlp((8, 4, 4), "z", use_bias=(True, False)), "linear+bias bn relu linear"),
    ],
)
def test_layers_in_the_papers_order(head, expected):
    assert layout(head) == expected
    assert head(np.zeros((3, head.input_shape[-1]), "float32")).shape == (3, head.output_shape[-1])


def test_dimensions():
    units = [layer.units for layer in heads.simclr_projector(512).layers if isinstance(layer, keras.layers.Dense)]
    assert units == [512, 512, 128]
    assert heads.simsiam_projector(512).output_shape == (None, 2048)
    assert heads.simsiam_predictor().layers[0].kernel.shape == (2048, 512)


def test_torch_init_is_uniform_within_one_over_root_fan_in():
    head = heads.mlp((400, 300), "head", batch_norm="none", seed=0)
    kernel, bias = head.get_weights()
    assert np.abs(kernel).max() <= 0.05 and np.abs(bias).max() <= 0.05
    assert np.isclose(kernel.std(), 0.05 / np.sqrt(3), rtol=0.02)
    assert np.isclose(bias.std(), 0.05 / np.sqrt(3), rtol=0.2)


def test_seeded_layers_of_one_shape_differ_and_are_reproducible():
    first, second = (heads.simsiam_projector(32, output_dim=32, seed=5).get_weights() for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second))
    kernels = [w for w in first if w.shape == (32, 32)]
    assert len(kernels) == 3 and not np.allclose(kernels[0], kernels[1])


def test_an_affine_free_output_is_standardised_over_the_batch():
    head = heads.simsiam_projector(8, output_dim=16, last_bn_affine=False, seed=0)
    z = head(np.random.default_rng(0).random((64, 8)), training=True)
    np.testing.assert_allclose(np.mean(z, 0), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(z, 0), 1, atol=1e-2)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"dims": (8,)}, "at least one layer"),
        ({"dims": (8, 4), "batch_norm": "some"}, "hidden, all, none"),
        ({"dims": (8, 4), "use_bias": (True, True)}, "one value for each of 1"),
    ],
)
def test_errors_say_what_is_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        heads.mlp(name="head", **arguments)
