"""The transformations of Exemplar-CNN (Dosovitskiy et al. 2014, arXiv:1406.6909, section 3.1) that no later recipe has.

Rotation by a few degrees, the contrast of principal colour components, and powers, gains and shifts of HSV. All take
and give float32 [B, s, s, 3] in [0, 1]; `tilt` any number of channels.
"""

import math

import tensorflow as tf

from ssl_keras.views import draws
from ssl_keras.views.exact_color import hsv_to_rgb, rgb_to_hsv

# Principal components of the colours of natural images: intensity, red against blue, green against magenta. The paper
# takes those of its own patches; these are the fixed orthogonal axes that such data comes close to.
COMPONENTS = ((3**-0.5, 3**-0.5, 3**-0.5), (2**-0.5, 0.0, -(2**-0.5)), (6**-0.5, -2 * 6**-0.5, 6**-0.5))


def tilt(images: tf.Tensor, draw: dict, degrees: float) -> tf.Tensor:
    """Rotates about the centre by an angle in [-degrees, degrees], bilinear, continued at the edges by their pixels."""
    _, height, width, channels = images.shape
    angle = draws.between(draw["tilt"], -degrees, degrees)[:, None, None] * (math.pi / 180)
    y = tf.range(height, dtype=tf.float32)[None, :, None] - (height - 1) / 2
    x = tf.range(width, dtype=tf.float32)[None, None] - (width - 1) / 2
    row = tf.clip_by_value(tf.cos(angle) * y - tf.sin(angle) * x + (height - 1) / 2, 0.0, height - 1.0)
    column = tf.clip_by_value(tf.sin(angle) * y + tf.cos(angle) * x + (width - 1) / 2, 0.0, width - 1.0)

    pixels = tf.reshape(images, [-1, height * width, channels])
    top, left = tf.floor(row), tf.floor(column)
    rotated = 0.0
    for r, row_weight in ((top, 1 - (row - top)), (tf.minimum(top + 1, height - 1.0), row - top)):
        for c, weight in ((left, 1 - (column - left)), (tf.minimum(left + 1, width - 1.0), column - left)):
            place = tf.reshape(tf.cast(r * width + c, tf.int32), [-1, height * width])
            rotated += tf.reshape(row_weight * weight, [-1, height * width, 1]) * tf.gather(pixels, place, batch_dims=1)
    return tf.reshape(rotated, [-1, height, width, channels])


def component_contrast(images: tf.Tensor, draw: dict, gain: tuple[float, float]) -> tf.Tensor:
    """Multiplies each principal component of the colours, about the image's mean, by its own factor in `gain`."""
    factors = tf.stack([draws.between(draw[f"component_{k}"], *gain) for k in (1, 2, 3)], axis=1)
    axes = tf.constant(COMPONENTS)
    matrix = tf.einsum("kc,bk,kd->bcd", axes, factors, axes)
    mean = tf.reduce_mean(images, axis=[1, 2], keepdims=True)
    scaled = tf.reduce_sum(matrix[:, None, None] * (images - mean)[:, :, :, None], axis=-1)
    return tf.clip_by_value(mean + scaled, 0.0, 1.0)


def hsv_jitter(images: tf.Tensor, draw: dict, policy) -> tf.Tensor:
    """Raises saturation and value to a power, scales and shifts them, and shifts the hue (contrast 2 and colour)."""
    hue, *rest = rgb_to_hsv(images)
    changed = []
    for name, values in zip(("saturation", "value"), rest):
        power = draws.between(draw[f"{name}_power"], *policy.hsv_power)[:, None, None]
        gain = draws.between(draw[f"{name}_gain"], *policy.hsv_gain)[:, None, None]
        shift = draws.between(draw[f"{name}_shift"], -policy.hsv_shift, policy.hsv_shift)[:, None, None]
        changed.append(tf.clip_by_value(gain * tf.pow(values, power) + shift, 0.0, 1.0))
    turns = draws.between(draw["hue_shift"], -policy.hsv_shift, policy.hsv_shift)[:, None, None]
    return hsv_to_rgb(hue + turns, *changed)
