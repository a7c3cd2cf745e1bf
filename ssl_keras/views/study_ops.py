"""Operations that only studies of augmentation use: quarter turns, cutout, Sobel gradients, noise.

Chen et al. 2020 (SimCLR), figures 4 and 5. All take and return float32 [B, s, s, C] in [0, 1].
"""

import tensorflow as tf

from ssl_keras.views import draws


def quarter_turn(images: tf.Tensor, draw: dict, probability: float) -> tf.Tensor:
    """Rotates by 90, 180 or 270 degrees, equally often, with the given probability."""
    turns = 1 + tf.cast(tf.minimum(draw["quarter_turns"] * 3.0, 2.5), tf.int32)
    turns = tf.where(draw["quarter_turn"] < probability, turns, 0)[:, None, None, None]
    images = tf.where(turns % 2 == 1, tf.reverse(tf.transpose(images, [0, 2, 1, 3]), axis=[1]), images)
    return tf.where(turns >= 2, tf.reverse(images, axis=[1, 2]), images)


def cutout(images: tf.Tensor, draw: dict, probability: float, side: tuple[float, float]) -> tf.Tensor:
    """Blackens a square inside the image; its side is a fraction in `side` of the image's."""
    length = tf.where(draw["cutout"] < probability, draws.between(draw["cutout_side"], *side), 0.0)
    kept = []
    for start, pixels in (("cutout_top", images.shape[1]), ("cutout_left", images.shape[2])):
        position = (tf.range(pixels, dtype=tf.float32) + 0.5) / pixels - (draw[start] * (1 - length))[:, None]
        kept.append((position < 0) | (position >= length[:, None]))
    return tf.where((kept[0][:, :, None] | kept[1][:, None])[..., None], images, 0.0)


def sobel(images: tf.Tensor, draw: dict, probability: float) -> tf.Tensor:
    """Replaces each channel by the magnitude of its Sobel gradient, 1 for a full step between two halves."""
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="SYMMETRIC")
    height, width = images.shape[1:3]

    def gradient(shifted):
        return (shifted(2, 0) - shifted(0, 0)) + 2 * (shifted(2, 1) - shifted(0, 1)) + (shifted(2, 2) - shifted(0, 2))

    def rows_first(a, b):
        return padded[:, a : a + height, b : b + width]

    along_rows, along_columns = gradient(rows_first), gradient(lambda a, b: rows_first(b, a))
    magnitude = tf.sqrt(tf.square(along_rows) + tf.square(along_columns)) / 4.0
    on = (draw["sobel"] < probability)[:, None, None, None]
    return tf.where(on, tf.minimum(magnitude, 1.0), images)


def noise(images: tf.Tensor, draw: dict, probability: float, sigma: tuple[float, float], key: draws.Key) -> tf.Tensor:
    """Adds Gaussian noise of a standard deviation in `sigma` and clips."""
    sigma = tf.where(draw["noise"] < probability, draws.between(draw["noise_sigma"], *sigma), 0.0)
    normals = draws.pixel_normals(key, tuple(images.shape[1:]))
    return tf.clip_by_value(images + sigma[:, None, None, None] * normals, 0.0, 1.0)
