"""Color jitter and grayscale one operation after the other, as torchvision's ColorJitter carries them out.

Values are clipped after every operation, in a random order per image, and hue is shifted in HSV. This is slower than
`color`, which composes the operations. It is there for comparison and for those who want it.
"""

from itertools import permutations

import tensorflow as tf

from ssl_keras.views.color import LUMA, jitter_factors

ORDERS = tuple(permutations(range(4)))  # of brightness, contrast, saturation, hue


def random_order(draws: dict) -> tf.Tensor:
    """Draws one of the 24 orders of the four operations per image: int32 [B, 4], the first operation first."""
    choice = tf.cast(draws["order"] * len(ORDERS), tf.int32)
    return tf.gather(tf.constant(ORDERS, tf.int32), tf.minimum(choice, len(ORDERS) - 1))


def jitter(images: tf.Tensor, draws: dict, policy) -> tf.Tensor:
    """Jitters float32 [B, h, w, 3] in [0, 1], each image in its own order, and turns some to gray."""
    factors = {name: factor[:, None, None, None] for name, factor in jitter_factors(draws, policy).items()}
    order = random_order(draws)
    for k in range(4):
        operation = order[:, k, None, None, None]
        gray = _luma(images)
        blended = images * factors["brightness"]
        pivot = tf.reduce_mean(gray, axis=[1, 2], keepdims=True)
        blended = tf.where(operation == 1, _blend(images, pivot, factors["contrast"]), blended)
        blended = tf.where(operation == 2, _blend(images, gray, factors["saturation"]), blended)
        blended = tf.clip_by_value(blended, 0.0, 1.0)
        images = tf.where(operation == 3, shift_hue(images, factors["hue"]), blended)
    gray = tf.broadcast_to(_luma(images), tf.shape(images))
    return tf.where((draws["grayscale"] < policy.grayscale)[:, None, None, None], gray, images)


def shift_hue(images: tf.Tensor, turns: tf.Tensor) -> tf.Tensor:
    """Shifts the hue of HSV by `turns`, float32 that broadcasts against [..., 1], of float32 [..., 3] in [0, 1]."""
    hue, saturation, value = rgb_to_hsv(images)
    return hsv_to_rgb(hue + turns[..., 0], saturation, value)


def rgb_to_hsv(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Converts float32 [..., 3] in [0, 1] to hue (turns, in [-1/6, 5/6)), saturation and value, [...] each."""
    red, green, blue = tf.unstack(images, axis=-1)
    value = tf.maximum(tf.maximum(red, green), blue)
    span = value - tf.minimum(tf.minimum(red, green), blue)
    # Not `value == red`: XLA may compute a channel twice, rounded otherwise, and then none equals the largest.
    sector = tf.where(
        red >= tf.maximum(green, blue),
        green - blue,
        tf.where(green >= blue, blue - red + 2.0 * span, red - green + 4.0 * span),
    )
    hue = tf.math.divide_no_nan(sector, 6.0 * span)
    return hue, tf.math.divide_no_nan(span, value), value


def hsv_to_rgb(hue: tf.Tensor, saturation: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Converts hue (turns, any real), saturation and value in [0, 1], [...] each, to float32 [..., 3]."""
    channels = []
    for phase in (5.0, 3.0, 1.0):
        k = tf.math.floormod(phase + 6.0 * hue, 6.0)
        channels.append(value - value * saturation * tf.clip_by_value(tf.minimum(k, 4.0 - k), 0.0, 1.0))
    return tf.stack(channels, axis=-1)


def _luma(images):
    return tf.reduce_sum(images * tf.constant(LUMA), axis=-1, keepdims=True)


def _blend(images, other, factor):
    return factor * images + (1.0 - factor) * other
