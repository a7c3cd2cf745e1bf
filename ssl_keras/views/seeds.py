"""Where the seed patch of an image lies: the part that all views of a class show (Exemplar-CNN)."""

import numpy as np
import tensorflow as tf

from ssl_keras.errors import UserError
from ssl_keras.views import draws
from ssl_keras.views.boxes import Boxes
from ssl_keras.views.render import FULL_SCALE

FLAT = 1e-12  # added to squared gradients: in a flat image every position is as good as any other


class SeedBoxes:
    """A square of each image, drawn in proportion to its mean squared gradient (Dosovitskiy et al. 2014, section 3.1).

    It is a function of the seed and of the image's index: the same in every epoch. Nothing is cut: views of the seed
    patch see the image around it. The authors draw a patch of one of four sizes, and look at squared differences from a
    low-passed image.

    Args:
        share: side of the square, as a fraction of the image's shorter side.
        seed: the run's, in [0, 2^31).
    """

    STEP = 2**31 - 1  # stands for no step: the draws are the same in every epoch

    def __init__(self, share: float = 0.75, seed: int = 0):
        if not 0 < share <= 1:
            raise UserError(f"patch must be a fraction of the image's side in (0, 1], got {share}")
        self.share, self.seed = share, seed

    def __call__(self, images: tf.Tensor, sizes: tf.Tensor, index: tf.Tensor) -> Boxes:
        """Draws the seed patches.

        Args:
            images: canvases [b, S, S, C] of any pixel type.
            sizes: float32 [b, 2], true height and width: a square of the image is no square of a canvas to which the
                image was squashed.
            index: int64 [b], each image's number in the data.

        Returns:
            Boxes inside the images, whole pixels of the canvas.
        """
        side = images.shape[1]
        shorter = tf.reduce_min(sizes, axis=1, keepdims=True)
        patch = tf.maximum(tf.round(self.share * side * shorter / sizes), 1.0)  # [b, 2]
        energy = patch_energy(tf.cast(images, tf.float32) / FULL_SCALE[images.dtype.name], patch)
        u = draws.place_draws(self.seed, tf.constant(self.STEP, tf.int64), tf.cast(index, tf.int32), 1)
        reached = tf.cumsum(tf.reshape(energy, [-1, side**2]), axis=1)
        chosen = tf.reduce_sum(tf.cast(reached <= u * reached[:, -1:], tf.int32), axis=1, keepdims=True)
        corner = tf.cast(tf.concat([chosen // side, chosen % side], axis=1), tf.float32)
        corner = tf.minimum(corner, side - patch)  # rounding may lead past the last position
        return Boxes(*tf.unstack(corner / side, axis=1), *tf.unstack(patch / side, axis=1))


def patch_energy(images: tf.Tensor, patch: tf.Tensor) -> tf.Tensor:
    """Mean squared gradient of every rectangle of some pixels that lies inside the image.

    Args:
        images: float32 [b, S, S, C].
        patch: float32 [b, 2], height and width in pixels.

    Returns:
        float32 [b, S, S], by the rectangle's top left corner: positive, but 0 where it would reach beyond the image.
    """
    side = images.shape[1]
    down = tf.pad(images[:, 1:] - images[:, :-1], [[0, 0], [0, 1], [0, 0], [0, 0]])
    right = tf.pad(images[:, :, 1:] - images[:, :, :-1], [[0, 0], [0, 0], [0, 1], [0, 0]])
    squared = tf.reduce_sum(tf.square(down) + tf.square(right), axis=-1) + FLAT

    pixel = np.arange(side, dtype=np.float32)
    start = pixel[:, None]

    def mean(length):
        """[b, S, S]: row i is the mean over the pixels from i on."""
        length = length[:, None, None]
        within = (pixel >= start) & (pixel < start + length) & (start + length <= side)
        return tf.cast(within, tf.float32) / length

    return tf.matmul(mean(patch[:, 0]) @ squared, mean(patch[:, 1]), transpose_b=True)
