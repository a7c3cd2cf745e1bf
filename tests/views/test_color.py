"""The fused color map and the exact one, against the same operations carried out one after the other."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance

from ssl_keras.views import color, exact_color
from ssl_keras.views.policies import simclr
from ssl_keras.views.policy import Policy
from tests.views.inputs import some_draws

LUMA = np.array([0.299, 0.587, 0.114])
SIMCLR = simclr()


def drawn(count):
    draw = some_draws(count)
    factors = {name: value.numpy() for name, value in color.jitter_factors(draw, SIMCLR).items()}
    return draw, factors, exact_color.random_order(draw).numpy(), draw["grayscale"].numpy() < SIMCLR.grayscale


def turned_in_yiq(image, turns):
    angle = 2 * np.pi * turns
    turn = np.array([[1, 0, 0], [0, np.cos(angle), np.sin(angle)], [0, -np.sin(angle), np.cos(angle)]])
    return image @ (np.linalg.inv(color.RGB_TO_YIQ) @ turn @ color.RGB_TO_YIQ).T


def turned_in_hsv(image, turns):
    flat = [colorsys.rgb_to_hsv(*pixel) for pixel in image.reshape(-1, 3)]
    return np.array([colorsys.hsv_to_rgb((h + turns) % 1, s, v) for h, s, v in flat]).reshape(image.shape)


def one_after_the_other(image, factors, order, gray, turned, limit):
    """torchvision's definitions, with `limit` applied after each operation."""
    for operation in order:
        luma = image @ LUMA
        if operation == 0:
            image = image * factors["brightness"]
        elif operation == 1:
            image = factors["contrast"] * image + (1 - factors["contrast"]) * luma.mean()
        elif operation == 2:
            image = factors["saturation"] * image + (1 - factors["saturation"]) * luma[..., None]
        else:
            image = turned(image, factors["hue"])
        image = limit(image)
    return np.repeat((image @ LUMA)[..., None], 3, -1) if gray else image


@pytest.mark.parametrize("mixed", ["before", "within"])
def test_fused_color_equals_the_operations_in_any_order_without_clipping(mixed):
    images = np.random.default_rng(0).uniform(0, 1, (200, 5, 7, 3)).astype(np.float32)
    draw, factors, order, gray = drawn(200)
    matrix = color.mixing_matrix(draw, SIMCLR)
    if mixed == "before":
        premixed = tf.einsum("bkc,bhwc->bhwk", matrix, images)
        fused = color.contrast(premixed, factors["contrast"], color.LUMA)
    else:
        fused = color.contrast(images, factors["contrast"], color.LUMA, matrix)
    for k, image in enumerate(images):
        own = {name: value[k] for name, value in factors.items()}
        reference = one_after_the_other(image, own, order[k], gray[k], turned_in_yiq, limit=lambda x: x)
        np.testing.assert_allclose(fused[k], reference, atol=2e-5)


def test_exact_color_equals_the_operations_in_their_order_with_clipping():
    images = np.random.default_rng(0).uniform(0, 1, (60, 4, 5, 3)).astype(np.float32)
    draw, factors, order, gray = drawn(60)
    exact = exact_color.jitter(tf.constant(images), draw, SIMCLR)
    for k, image in enumerate(images):
        own = {name: value[k] for name, value in factors.items()}
        reference = one_after_the_other(image, own, order[k], gray[k], turned_in_hsv, lambda x: np.clip(x, 0, 1))
        np.testing.assert_allclose(exact[k], reference, atol=1e-4)


@pytest.mark.parametrize("operation", ["Brightness", "Contrast", "Color"])
def test_operations_are_those_of_pillow(operation):
    name = {"Color": "saturation"}.get(operation, operation.lower())
    policy = Policy(jitter=1.0, **{name: 0.8})
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    draw = some_draws(8)
    ours = exact_color.jitter(tf.constant(np.tile(image / np.float32(255), (8, 1, 1, 1))), draw, policy).numpy()
    for k, factor in enumerate(color.jitter_factors(draw, policy)[name].numpy()):
        pillow = np.asarray(getattr(ImageEnhance, operation)(Image.fromarray(image)).enhance(float(factor)))
        assert np.abs(255 * ours[k] - pillow).max() <= 1.6  # Pillow truncates to gray levels, of luma too


def test_all_orders_occur_equally_often():
    _, counts = np.unique(exact_color.random_order(some_draws(24000)), axis=0, return_counts=True)
    assert len(counts) == 24
    assert np.abs(counts - 1000).max() < 160  # 5 standard deviations


def test_jitter_is_gated_as_a_whole():
    factors = {name: value.numpy() for name, value in color.jitter_factors(some_draws(10000), SIMCLR).items()}
    untouched = np.all([factors[name] == 1 for name in ("brightness", "contrast", "saturation")], axis=0)
    assert np.mean(untouched) == pytest.approx(0.2, abs=0.02)
    np.testing.assert_array_equal(factors["hue"][untouched], 0)
    drawn_factors = factors["brightness"][~untouched]
    assert drawn_factors.min() >= 0.2 and drawn_factors.max() <= 1.8
    assert np.mean(drawn_factors) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("turns", [1 / 3, -1 / 3, 0.1])
def test_fused_hue_turns_the_way_of_hsv_and_keeps_luma(turns):
    rgb = np.array([0.7, 0.4, 0.4])
    ours = turned_in_yiq(rgb, turns)
    assert np.argmax(ours) == np.argmax(turned_in_hsv(rgb, turns))
    assert ours @ LUMA == pytest.approx(rgb @ LUMA, abs=1e-3)


def test_hsv_round_trip():
    images = np.random.default_rng(0).uniform(0, 1, (50, 3)).astype(np.float32)
    images[:3] = [[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.2]]
    np.testing.assert_allclose(exact_color.hsv_to_rgb(*exact_color.rgb_to_hsv(tf.constant(images))), images, atol=1e-6)


def test_solarize_inverts_from_the_threshold_on():
    images = tf.constant([[0.2, 0.5, 0.9]] * 2)[:, :, None, None]
    out = color.solarize(images, tf.constant([True, False]), 0.5).numpy()[..., 0, 0]
    np.testing.assert_allclose(out, [[0.2, 0.5, 0.1], [0.2, 0.5, 0.9]], atol=1e-6)
