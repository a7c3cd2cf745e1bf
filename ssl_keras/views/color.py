"""Colour jitter and grayscale of a view as one affine map of its colours.

In luma and chroma (YIQ) brightness and contrast scale both, contrast adds a share of the mean luma, saturation scales
chroma, hue turns it and grayscale removes it. So, but for clipping, all of them commute: a random order has no effect,
and together they are one 3x3 matrix and one offset per image,

    x' = b c (Y 1 + s R(hue) (x - Y 1)) + (1 - c) b mean(Y) 1,    Y = luma(x).

Two departures from torchvision's ColorJitter, whose size is in docs/views.md: values are clipped once, at the end, not
after every operation, and hue turns the chroma plane of YIQ where torchvision walks along HSV's hexagon. The module
`exact_color` has neither.
"""

import math

import numpy as np
import tensorflow as tf

from ssl_keras.views.draws import between

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's "L"
RGB_TO_YIQ = np.array([LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)])

# x = gray @ x + chroma @ x; a hue of angle t maps chroma to (cos(t) chroma + sin(t) quarter_turn) @ x.
GRAY = np.array([LUMA] * 3)
CHROMA = np.eye(3) - GRAY
QUARTER_TURN = np.linalg.inv(RGB_TO_YIQ) @ [[0, 0, 0], [0, 0, 1], [0, -1, 0]] @ RGB_TO_YIQ


def jitter_factors(draws: dict, policy) -> dict[str, tf.Tensor]:
    """Draws the factors of brightness, contrast and saturation (unchanged: 1) and of hue (turns, unchanged: 0).

    As in torchvision, a strength s gives factors uniform in [max(0, 1 - s), 1 + s] and hue shifts in [-s, s] turns. The
    jitter's probability gates all four together. Each is float32 [B].
    """
    on = draws["jitter"] < policy.jitter
    factors = {}
    for name in ("brightness", "contrast", "saturation"):
        strength = getattr(policy, name)
        factors[name] = tf.where(on, between(draws[name], max(0.0, 1.0 - strength), 1.0 + strength), 1.0)
    factors["hue"] = tf.where(on, between(draws["hue"], -policy.hue, policy.hue), 0.0)
    return factors


def fused_color(draws: dict, policy, channel_means: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Composes jitter and grayscale into one affine map of RGB: `matrix @ rgb + offset`.

    Args:
        draws: see `draws.image_draws`.
        policy: the view's `Policy`.
        channel_means: float32 [B, 3], of the view before any colour operation.

    Returns:
        matrix float32 [B, 3, 3] and offset float32 [B], the same for the three channels.
    """
    factors = jitter_factors(draws, policy)
    brightness, contrast = factors["brightness"], factors["contrast"]
    saturation = tf.where(draws["grayscale"] < policy.grayscale, 0.0, factors["saturation"])
    angle = 2.0 * math.pi * factors["hue"]
    gain = (brightness * contrast)[:, None, None]
    cos, sin = (saturation * tf.cos(angle))[:, None, None], (saturation * tf.sin(angle))[:, None, None]
    matrix = gain * (_constant(GRAY) + cos * _constant(CHROMA) + sin * _constant(QUARTER_TURN))
    mean_luma = tf.reduce_sum(channel_means * _constant(LUMA), axis=1)
    return matrix, (1.0 - contrast) * brightness * mean_luma


def solarize(images: tf.Tensor, on: tf.Tensor, threshold: float) -> tf.Tensor:
    """Inverts the values at or above the threshold, x -> 1 - x, in the images where `on`, bool [B], is set."""
    on = tf.reshape(on, [-1] + [1] * (len(images.shape) - 1))
    return tf.where(on & (images >= threshold), 1.0 - images, images)


def _constant(values):
    return tf.constant(values, tf.float32)
