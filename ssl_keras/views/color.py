"""Color jitter and grayscale of a view as one affine map of its colors.

In luma and chroma (YIQ) brightness and contrast scale both, contrast adds a share of the mean luma, saturation scales
chroma, hue turns it and grayscale removes it. So, except for clipping, all of them commute: a random order has no
effect. Together they are one 3x3 matrix per image, followed by contrast about the view's mean luma:

    y = b (Y 1 + s R(hue) (x - Y 1)),    view = c y + (1 - c) mean(luma(y)),    Y = luma(x).

There are two departures from torchvision's ColorJitter; docs/views.md says how large they are. Values are clipped once,
at the end, not after every operation; and hue turns the chroma plane of YIQ where torchvision walks along HSV's
hexagon. The module `exact_color` has neither.
"""

import math

import numpy as np
import tensorflow as tf

from ssl_keras.views.draws import between

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's "L"
RGB_TO_YIQ = np.array([LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)])

# x = GRAY x + CHROMA x; a hue of angle t maps the chroma to (cos(t) CHROMA + sin(t) QUARTER_TURN) x.
GRAY = np.array([LUMA] * 3)
CHROMA = np.eye(3) - GRAY
QUARTER_TURN = np.linalg.inv(RGB_TO_YIQ) @ [[0, 0, 0], [0, 0, 1], [0, -1, 0]] @ RGB_TO_YIQ


def jitter_factors(draws: dict, policy) -> dict[str, tf.Tensor]:
    """Draws the factors of brightness, contrast and saturation (unchanged: 1) and of hue (turns, unchanged: 0).

    As in torchvision, a strength s gives factors uniform in [max(0, 1 - s), 1 + s] and hue shifts in [-s, s] turns. The
    jitter's probability decides on all four together. Each is float32 [B].
    """
    on = draws["jitter"] < policy.jitter
    factors = {}
    for name in ("brightness", "contrast", "saturation"):
        strength = getattr(policy, name)
        factors[name] = tf.where(on, between(draws[name], max(0.0, 1.0 - strength), 1.0 + strength), 1.0)
    factors["hue"] = tf.where(on, between(draws["hue"], -policy.hue, policy.hue), 0.0)
    return factors


def mixing_matrix(draws: dict, policy) -> tf.Tensor:
    """Composes brightness, saturation, hue and grayscale: float32 [B, 3, 3], to be applied as `matrix @ rgb`."""
    factors = jitter_factors(draws, policy)
    saturation = tf.where(draws["grayscale"] < policy.grayscale, 0.0, factors["saturation"])
    angle = 2.0 * math.pi * factors["hue"]
    cos, sin = saturation * tf.cos(angle), saturation * tf.sin(angle)
    weights = factors["brightness"][:, None] * tf.stack([tf.ones_like(cos), cos, sin], axis=1)
    parts = tf.constant(np.stack([GRAY, CHROMA, QUARTER_TURN]).reshape(3, 9), tf.float32)
    return tf.reshape(weights @ parts, [-1, 3, 3])


def contrast(images: tf.Tensor, factor: tf.Tensor, channel_weights, mixing: tf.Tensor | None = None) -> tf.Tensor:
    """Scales each image about its mean intensity: `factor x + (1 - factor) mean(intensity)`.

    Args:
        images: float32 [B, h, w, C].
        factor: float32 [B].
        channel_weights: C numbers that sum to 1 and turn the channels into intensity, `LUMA` for RGB.
        mixing: float32 [B, C, C] that maps the channels of every pixel first, in the same pass; None: the identity.

    Returns:
        float32 [B, h, w, C], not clipped.
    """
    _, height, width, channels = images.shape
    if mixing is None:
        # Channel by channel, as dense products leave them: XLA then builds the interleaved view once, at the end.
        planes = tf.unstack(images, axis=3)
        means = tf.stack([tf.reduce_sum(tf.reduce_sum(plane, axis=1), axis=1) for plane in planes], axis=1)
        pivot = (1.0 - factor) * tf.linalg.matvec(means / (height * width), tf.constant(channel_weights))
        return tf.stack([factor[:, None, None] * plane + pivot[:, None, None] for plane in planes], axis=3)
    rows = tf.reshape(images, [-1, height, width * channels])  # long rows: XLA's loops over them are vectors
    means = tf.reshape(tf.reduce_sum(rows, axis=1), [-1, width, channels])
    means = tf.linalg.matvec(mixing, tf.reduce_sum(means, axis=1) / (height * width))
    pivot = (1.0 - factor) * tf.linalg.matvec(means, tf.constant(channel_weights))
    matrix = factor[:, None, None] * mixing
    mixed = tf.reduce_sum(matrix[:, None, None] * images[:, :, :, None], axis=-1)
    return mixed + pivot[:, None, None, None]


def solarize(images: tf.Tensor, on: tf.Tensor, threshold: float) -> tf.Tensor:
    """Inverts the values at or above the threshold, x -> 1 - x, in the images where `on`, bool [B], is set."""
    return tf.where(on[:, None, None, None] & (images >= threshold), 1.0 - images, images)
