"""Where a view holds no measurement: what the sensor left out, and what sensors leave out as well.

Images with gaps go through a view with masks, full scale where something was measured, as channels of their own. Both
go through the same matrices, so that `values / masks` is the mean of what was measured (Knutsson and Westin 1993,
"Normalized and differential convolution"): a view has no edge between a surface and nothing.
"""

import math

import tensorflow as tf

from ssl_keras.views import draws

BLOBS = 4  # of which the holes of a view are made
LEAST = 0.5  # weight of measured pixels above which a pixel of a view counts as measured


def measured_mean(view: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A view of values and masks [B, 2 C, s, s] -> (values in [0, 1], bool: what was measured), [B, C, s, s] both.

    Gaps have the mean of their channel, so that the statistics of the view are those of what was measured.
    """
    values, weights = tf.split(view, 2, axis=1)
    there = weights > LEAST
    values = tf.clip_by_value(values / tf.maximum(weights, 1e-6), 0.0, 1.0)
    count = tf.reduce_sum(tf.cast(there, tf.float32), axis=[2, 3], keepdims=True)
    mean = tf.reduce_sum(tf.where(there, values, 0.0), axis=[2, 3], keepdims=True) / tf.maximum(count, 1.0)
    return tf.where(there, values, mean), there


def holes(measured: tf.Tensor, draw: dict, policy, key: draws.Key) -> tf.Tensor:
    """Takes blobs out of what was measured, as dark, shiny and far surfaces do to depth cameras.

    Args:
        measured: bool [B, C, s, s].
    """
    _, _, height, width = measured.shape
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
    return measured & ~hole[:, None]


def eroded(images: tf.Tensor, measured: tf.Tensor, draw: dict, policy) -> tf.Tensor:
    """Takes the pixels beside gaps, and beside steps larger than `policy.erosion_step`, out of what was measured.

    A pixel that sees two surfaces at once has the distance of neither; cameras give none, or a wrong one.

    Args:
        images, measured: [B, C, s, s].
    """
    highest = _largest_around(tf.where(measured, images, 0.0))
    lowest = 1.0 - _largest_around(tf.where(measured, 1.0 - images, 0.0))
    beside_gap = _largest_around(tf.cast(~measured, tf.float32)) > 0
    edge = beside_gap | (highest - lowest > policy.erosion_step)
    return measured & ~(edge & (draw["erosion"] < policy.erosion)[:, None, None, None])


def _largest_around(images: tf.Tensor) -> tf.Tensor:
    """The largest value of each pixel and its eight neighbors, all at least 0: [B, C, s, s]."""
    padded = tf.pad(images, [[0, 0], [0, 0], [1, 1], [1, 1]])
    rows = tf.maximum(tf.maximum(padded[:, :, :-2], padded[:, :, 1:-1]), padded[:, :, 2:])
    return tf.maximum(tf.maximum(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:])
