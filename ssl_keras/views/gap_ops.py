"""Where a view holds no measurement: what the sensor left out, and what sensors leave out as well.

A batch of images with gaps has its channels twice: the values (0 in gaps), and masks, full scale where something was
measured. Both go through the same matrices, so that `values / masks` is the mean of what was measured (Knutsson and
Westin 1993, "Normalized and differential convolution"): a view has no edge between a surface and nothing.
"""

import math

import tensorflow as tf

from ssl_keras.views import draws

BLOBS = 4  # of which the holes of a view are made
LEAST = 0.5  # weight of measured pixels above which a pixel of a view counts as measured


def measured(images: tf.Tensor) -> tf.Tensor:
    """Where something was measured: where integers are not 0, and floats are finite. bool of the images' shape."""
    return tf.math.is_finite(images) if images.dtype.is_floating else images > 0


def with_masks(images: tf.Tensor, full_scale: float) -> tf.Tensor:
    """Images with gaps [B, H, W, C] -> [B, H, W, 2 C], values and masks, of the same dtype."""
    there, nothing = measured(images), tf.zeros((), images.dtype)
    values = tf.where(there, images, nothing)
    return tf.concat([values, tf.where(there, tf.cast(full_scale, images.dtype), nothing)], axis=3)


def measured_mean(view: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A view of values and masks -> (float32 [B, s, s, C] in [0, 1], bool [B, s, s, C]: what was measured).

    Gaps have the mean of their channel, so that the statistics of the view are those of what was measured.
    """
    values, weights = tf.split(view, 2, axis=3)
    there = weights > LEAST
    values = tf.clip_by_value(values / tf.maximum(weights, 1e-6), 0.0, 1.0)
    count = tf.reduce_sum(tf.cast(there, tf.float32), axis=[1, 2], keepdims=True)
    mean = tf.reduce_sum(tf.where(there, values, 0.0), axis=[1, 2], keepdims=True) / tf.maximum(count, 1.0)
    return tf.where(there, values, mean), there


def holes(measured: tf.Tensor, draw: dict, policy, key: draws.Key) -> tf.Tensor:
    """Takes blobs out of what was measured, as dark, shiny and far surfaces do to depth cameras.

    Args:
        measured: bool [B, s, s, C].
    """
    _, height, width, _ = measured.shape
    share = tf.where(draw["holes"] < policy.holes, draws.between(draw["hole_share"], *policy.hole_share), 0.0)
    drawn = draws.shape_draws(key, BLOBS)  # [B, BLOBS, 4]
    size = tf.sqrt(share / (BLOBS * math.pi))[:, None]  # of a blob, as the radius of a circle
    stretch = tf.exp(draws.between(drawn[..., 2], -0.7, 0.7))
    distances = []  # from the blobs' centers, in their radii: [B, BLOBS, side]
    for side, center, radius in ((height, drawn[..., 0], size * stretch), (width, drawn[..., 1], size / stretch)):
        place = (tf.range(side, dtype=tf.float32) + 0.5) / side
        distances.append((place - center[..., None]) / tf.maximum(radius, 1e-6)[..., None])
    vertical, horizontal = map(tf.square, distances)
    hole = tf.reduce_any(vertical[..., None] + horizontal[:, :, None] < 1.0, axis=1)  # [B, s, s]
    return measured & ~hole[..., None]


def eroded(images: tf.Tensor, measured: tf.Tensor, draw: dict, policy) -> tf.Tensor:
    """Takes the pixels beside gaps, and beside steps larger than `policy.erosion_step`, out of what was measured.

    A pixel that sees two surfaces at once has the distance of neither; cameras give none, or a wrong one.

    Args:
        images, measured: [B, s, s, C].
    """
    highest = _largest_around(tf.where(measured, images, 0.0))
    lowest = 1.0 - _largest_around(tf.where(measured, 1.0 - images, 0.0))
    beside_gap = _largest_around(tf.cast(~measured, tf.float32)) > 0
    edge = beside_gap | (highest - lowest > policy.erosion_step)
    return measured & ~(edge & (draw["erosion"] < policy.erosion)[:, None, None, None])


def _largest_around(images: tf.Tensor) -> tf.Tensor:
    """The largest value of each pixel and its eight neighbors, all at least 0: [B, s, s, C]."""
    _, height, width, _ = images.shape
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]])
    rows = tf.maximum(tf.maximum(padded[:, :height], padded[:, 1:-1]), padded[:, 2:])
    return tf.maximum(tf.maximum(rows[:, :, :width], rows[:, :, 1:-1]), rows[:, :, 2:])
