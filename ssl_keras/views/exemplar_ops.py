"""The transformations of Exemplar-CNN (Dosovitskiy et al. 2014, arXiv:1406.6909, section 3.1) that no later recipe has.

They are rotation by a few degrees, the contrast of principal color components, and powers, gains and shifts of HSV.
Factors and powers are log-uniform, as the released code draws them; only for the components that code draws normal
logarithms, while here they keep within the paper's range. That code also stretches each patch to the whole range before
the powers, which the paper does not say and which is not done here.
"""

import math

import tensorflow as tf

from ssl_keras.views import draws
from ssl_keras.views.exact_color import hsv_to_rgb, rgb_to_hsv

# Principal components of the colors of natural images: intensity, red against blue, green against magenta. The paper
# takes those of its own patches; these are the fixed orthogonal axes that such data comes close to.
COMPONENTS = ((3**-0.5, 3**-0.5, 3**-0.5), (2**-0.5, 0.0, -(2**-0.5)), (6**-0.5, -2 * 6**-0.5, 6**-0.5))


def tilt_margin(size: int, degrees: float) -> int:
    """Pixels on each side by which a view of `size` must be rendered larger, so that `tilt` finds what it turns in."""
    angle = math.radians(min(degrees, 45.0))  # its corners reach farthest at 45 degrees
    return math.ceil(0.5 * (size - 1) * (math.cos(angle) + math.sin(angle) - 1) + 1e-6) if degrees else 0


def tilt(images: tf.Tensor, draw: dict, degrees: float, size: int) -> tf.Tensor:
    """Rotates about the center by an angle in [-degrees, degrees], bilinear, and keeps the central part.

    Args:
        images: float32 [B, s, s, C], s = size + 2 tilt_margin(size, degrees): nothing beyond is looked for.

    Returns:
        float32 [B, size, size, C].
    """
    _, side, _, channels = images.shape
    angle = draws.between(draw["tilt"], -degrees, degrees)[:, None, None] * (math.pi / 180)
    y = tf.range(size, dtype=tf.float32)[None, :, None] - (size - 1) / 2
    x = tf.range(size, dtype=tf.float32)[None, None] - (size - 1) / 2
    row = tf.cos(angle) * y - tf.sin(angle) * x + (side - 1) / 2
    column = tf.sin(angle) * y + tf.cos(angle) * x + (side - 1) / 2

    pixels = tf.reshape(images, [-1, side * side, channels])
    top, left = (tf.clip_by_value(tf.floor(position), 0.0, side - 2.0) for position in (row, column))
    first = tf.reshape(tf.cast(top * side + left, tf.int32), [-1, size * size])
    rotated = 0.0
    for down, row_weight in ((0, 1 - (row - top)), (side, row - top)):
        for right, weight in ((0, 1 - (column - left)), (1, column - left)):
            corner = tf.gather(pixels, first + (down + right), batch_dims=1)
            rotated += tf.reshape(row_weight * weight, [-1, size * size, 1]) * corner
    return tf.reshape(rotated, [-1, size, size, channels])


def component_contrast(images: tf.Tensor, draw: dict, gain: tuple[float, float]) -> tf.Tensor:
    """Multiplies each principal component of the colors, about the image's mean, by its own factor in `gain`."""
    factors = tf.stack([draws.log_between(draw[f"component_{k}"], *gain) for k in (1, 2, 3)], axis=1)
    axes = tf.constant(COMPONENTS)
    matrix = tf.einsum("kc,bk,kd->bcd", axes, factors, axes)
    mean = tf.reduce_mean(images, axis=[1, 2], keepdims=True)
    scaled = tf.reduce_sum(matrix[:, None, None] * (images - mean)[:, :, :, None], axis=-1)
    return tf.clip_by_value(mean + scaled, 0.0, 1.0)


def hsv_jitter(images: tf.Tensor, draw: dict, policy) -> tf.Tensor:
    """Raises saturation and value to a power, scales and shifts them, and shifts the hue (contrast 2 and color)."""
    hue, *rest = rgb_to_hsv(images)
    changed = []
    for name, values in zip(("saturation", "value"), rest):
        power = draws.log_between(draw[f"{name}_power"], *policy.hsv_power)[:, None, None]
        gain = draws.log_between(draw[f"{name}_gain"], *policy.hsv_gain)[:, None, None]
        shift = draws.between(draw[f"{name}_shift"], -policy.hsv_shift, policy.hsv_shift)[:, None, None]
        changed.append(tf.clip_by_value(gain * tf.pow(values, power) + shift, 0.0, 1.0))
    turns = draws.between(draw["hue_shift"], -policy.hsv_shift, policy.hsv_shift)[:, None, None]
    return hsv_to_rgb(hue + turns, *changed)
