"""The fused colour map, against the same operations carried out one after the other."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.views import color, draws
from ssl_keras.views.policies import SIMCLR, Policy

LUMA = np.array([0.299, 0.587, 0.114])


def one_after_the_other(image, factors, order, gray):
    """torchvision's definitions without clipping, hue as a rotation in YIQ."""
    for operation in order:
        if operation == 0:
            image = image * factors["brightness"]
        elif operation == 1:
            image = factors["contrast"] * image + (1 - factors["contrast"]) * (image @ LUMA).mean()
        elif operation == 2:
            image = factors["saturation"] * image + (1 - factors["saturation"]) * (image @ LUMA)[..., None]
        else:
            to_yiq = color.RGB_TO_YIQ.astype(float)
            angle = 2 * np.pi * factors["hue"]
            turn = np.array([[1, 0, 0], [0, np.cos(angle), np.sin(angle)], [0, -np.sin(angle), np.cos(angle)]])
            image = image @ (np.linalg.inv(to_yiq) @ turn @ to_yiq).T
    return np.repeat((image @ LUMA)[..., None], 3, -1) if gray else image


def test_fused_color_equals_the_operations_in_their_order():
    images = np.random.default_rng(0).uniform(0, 1, (200, 5, 7, 3))
    draw = draws.image_draws(1, 2, 0, 200)
    matrix, offset = color.fused_color(draw, SIMCLR, tf.constant(images.mean((1, 2)), tf.float32))
    fused = np.einsum("bkc,bhwc->bhwk", matrix, images) + offset.numpy()[:, None, None]

    factors = {name: value.numpy() for name, value in color.jitter_factors(draw, SIMCLR).items()}
    order = color.random_order(draw).numpy()
    gray = draw["grayscale"].numpy() < SIMCLR.grayscale
    for k, image in enumerate(images):
        reference = one_after_the_other(image, {name: v[k] for name, v in factors.items()}, order[k], gray[k])
        np.testing.assert_allclose(fused[k], reference, atol=2e-5)


def test_intensity_of_other_channel_counts_keeps_contrast_about_the_mean():
    policy = Policy(jitter=1.0, brightness=0.4, contrast=0.4)
    images = np.random.default_rng(0).uniform(0, 1, (100, 6, 6, 2))
    draw = draws.image_draws(1, 2, 0, 100)
    gain, offset = color.fused_intensity(draw, policy, tf.constant(images.mean((1, 2)), tf.float32))
    factors = {name: value.numpy() for name, value in color.jitter_factors(draw, policy).items()}
    for k, image in enumerate(images):
        b, c = factors["brightness"][k], factors["contrast"][k]
        if draw["order"][k] < 0.5:
            reference = c * b * image + (1 - c) * (b * image).mean()
        else:
            reference = b * (c * image + (1 - c) * image.mean())
        np.testing.assert_allclose(gain[k] * image + offset[k], reference, atol=2e-5)


def test_all_orders_occur_equally_often():
    orders = color.random_order(draws.image_draws(0, 0, 0, 24000)).numpy()
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 24
    assert np.abs(counts - 1000).max() < 160  # 5 standard deviations


def test_jitter_is_gated_as_a_whole():
    factors = color.jitter_factors(draws.image_draws(0, 0, 0, 10000), SIMCLR)
    untouched = np.all([factors[n] == 1 for n in ("brightness", "contrast", "saturation")], axis=0)
    assert np.mean(untouched) == pytest.approx(0.2, abs=0.02)
    np.testing.assert_array_equal(factors["hue"].numpy()[untouched], 0)
    strong = factors["brightness"].numpy()[~untouched]
    assert strong.min() >= 0.2 and strong.max() <= 1.8 and np.mean(strong) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("turns", [1 / 3, -1 / 3, 0.1])
def test_hue_turns_the_way_of_hsv_and_keeps_luma(turns):
    rgb = np.array([0.7, 0.4, 0.4])
    ours = color.hue_rotation(tf.constant([turns]))[0].numpy() @ rgb
    h, s, v = colorsys.rgb_to_hsv(*rgb)
    hsv = colorsys.hsv_to_rgb((h + turns) % 1, s, v)
    assert np.argmax(ours) == np.argmax(hsv)
    assert ours @ LUMA == pytest.approx(rgb @ LUMA, abs=1e-3)


def test_solarize_inverts_from_the_threshold_on():
    images = tf.constant([[0.2, 0.5, 0.9]] * 2)[:, :, None, None]
    out = color.solarize(images, tf.constant([True, False]), 0.5).numpy()[..., 0, 0]
    np.testing.assert_allclose(out, [[0.2, 0.5, 0.1], [0.2, 0.5, 0.9]], atol=1e-6)
