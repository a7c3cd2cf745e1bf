"""Colour jitter and grayscale of a view as one affine map of its colours.

Brightness, contrast, saturation, hue and grayscale are each affine in colour, so any order of them is one matrix and one offset per
image. Contrast pivots on the mean luma of the image it meets, which follows from the channel means of the view.

Two departures from torchvision's ColorJitter, both measured in docs/views.md: values are clipped once, at the end, not after
every operation, and hue turns the chroma plane of YIQ instead of HSV's hexagon. `exact_color` has neither.
"""

import math
from itertools import permutations

import numpy as np
import tensorflow as tf

from ssl_keras.views.draws import between

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's "L"
RGB_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], np.float32)
YIQ_TO_RGB = np.linalg.inv(RGB_TO_YIQ)
ORDERS = tuple(permutations(range(4)))  # of brightness, contrast, saturation, hue


def jitter_factors(draws: dict, policy) -> dict[str, tf.Tensor]:
    """Draws the factors of brightness, contrast, saturation (1: unchanged) and hue (turns, 0: unchanged), float32 [B] each.

    As in torchvision, a strength s gives factors uniform in [max(0, 1 - s), 1 + s], hue shifts in [-s, s] turns. The jitter's
    probability gates all four together.
    """
    on = draws["jitter"] < policy.jitter
    factors = {}
    for name in ("brightness", "contrast", "saturation"):
        strength = getattr(policy, name)
        factors[name] = tf.where(on, between(draws[name], max(0.0, 1.0 - strength), 1.0 + strength), 1.0)
    factors["hue"] = tf.where(on, between(draws["hue"], -policy.hue, policy.hue), 0.0)
    return factors


def random_order(draws: dict) -> tf.Tensor:
    """Draws one of the 24 orders of the four operations per image: int32 [B, 4], the operation at each place."""
    choice = tf.cast(tf.floor(draws["order"] * len(ORDERS)), tf.int32)
    return tf.gather(tf.constant(ORDERS, tf.int32), tf.minimum(choice, len(ORDERS) - 1))


def hue_rotation(turns: tf.Tensor) -> tf.Tensor:
    """Computes the rotation of the chroma plane of YIQ, as a map of RGB: float32 [B, 3, 3]. Red moves towards green for turns > 0."""
    angle = 2.0 * math.pi * turns
    cos, sin, zero = tf.cos(angle), tf.sin(angle), tf.zeros_like(angle)
    rotation = tf.stack([zero + 1, zero, zero, zero, cos, sin, zero, -sin, cos], axis=-1)
    return tf.constant(YIQ_TO_RGB) @ tf.reshape(rotation, [-1, 3, 3]) @ tf.constant(RGB_TO_YIQ)


def fused_color(draws: dict, policy, channel_means: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Composes jitter in random order, then grayscale, into one affine map of RGB.

    Args:
        draws: see `draws.image_draws`.
        policy: the view's `Policy`.
        channel_means: float32 [B, 3], of the view before any colour operation.

    Returns:
        matrix float32 [B, 3, 3] and offset float32 [B, 3], to be applied as `matrix @ rgb + offset`.
    """
    factors = jitter_factors(draws, policy)
    identity, to_gray = tf.eye(3)[None], tf.constant([LUMA] * 3)[None]
    brightness, contrast, saturation = (
        factors[name][:, None, None] for name in ("brightness", "contrast", "saturation")
    )
    steps = tf.stack(
        [
            brightness * identity,
            contrast * identity,
            saturation * identity + (1 - saturation) * to_gray,
            hue_rotation(factors["hue"]),
        ],
        axis=1,
    )  # [B, 4, 3, 3]
    pull = tf.pad((1 - contrast)[:, :, 0], [[0, 0], [1, 2]])  # [B, 4]: only contrast pulls towards the mean luma
    order = random_order(draws)
    steps, pull = tf.gather(steps, order, batch_dims=1), tf.gather(pull, order, batch_dims=1)

    matrix, offset = tf.broadcast_to(identity, tf.shape(steps[:, 0])), tf.zeros_like(channel_means)
    for k in range(4):
        mean_luma = _luma(tf.linalg.matvec(matrix, channel_means) + offset)
        matrix = steps[:, k] @ matrix
        offset = tf.linalg.matvec(steps[:, k], offset) + (pull[:, k] * mean_luma)[:, None]

    gray = (draws["grayscale"] < policy.grayscale)[:, None]
    matrix = tf.where(gray[:, None], to_gray @ matrix, matrix)
    offset = tf.where(gray, _luma(offset)[:, None], offset)
    return matrix, offset


def fused_intensity(draws: dict, policy, channel_means: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Composes brightness and contrast, in random order, for images that are not RGB: a gain [B] and an offset [B].

    The pivot of contrast is the mean over all channels.
    """
    factors = jitter_factors(draws, policy)
    brightness, contrast = factors["brightness"], factors["contrast"]
    mean = tf.reduce_mean(channel_means, axis=1)
    brightness_first = draws["order"] < 0.5
    pivot = tf.where(brightness_first, mean * brightness, mean)
    after = tf.where(brightness_first, 1.0, brightness)
    return brightness * contrast, after * (1 - contrast) * pivot


def solarize(images: tf.Tensor, on: tf.Tensor, threshold: float) -> tf.Tensor:
    """Inverts the values at or above the threshold, x -> 1 - x, in the images where `on`, bool [B], is set."""
    on = tf.reshape(on, [-1] + [1] * (len(images.shape) - 1))
    return tf.where(on & (images >= threshold), 1.0 - images, images)


def _luma(rgb):
    return tf.reduce_sum(rgb * tf.constant(LUMA), axis=-1)
