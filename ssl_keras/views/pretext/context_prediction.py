"""Pairs of patches, the pieces of context prediction (Doersch et al., 2015, arXiv:1505.05192)."""

import keras
import numpy as np
import tensorflow as tf

from ssl_keras.errors import UserError
from ssl_keras.views import draws
from ssl_keras.views.pretext.layer import PretextLayer, places
from ssl_keras.views.pretext.patches import FLAT, cut, pick
from ssl_keras.views.resample import resample, resampling_matrix

COLORS = ("drop", "project", "keep")
# The eight neighbors of a patch in reading order: label -> (rows down, columns to the right).
NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


@keras.saving.register_keras_serializable("ssl_keras")
class PatchPairs(PretextLayer):
    """A patch and one of its eight neighbors (Doersch et al. 2015, arXiv:1505.05192, section 3).

    Pieces: float32 [b, 2, p, p, C], the patch and its neighbor; labels: int32 [b], the neighbor's place, an index
    into `NEIGHBOURS`. Each patch has its channels' means taken away and is divided by the root mean square of all its
    values; `std` and `mean` then bring it to the images' scale.

    Args:
        patch, gap, jitter: side of a patch, pixels between neighbors, and by how many each patch is moved at most
            along each axis. None: the paper's 96, 48 and 7 pixels in images of 256 or more, else 10/32, 3/32 and 1/32
            of the side.
        color: against chromatic aberration, which tells where in the lens a patch lies: "drop" keeps one channel of
            each patch and makes the others noise, a hundredth as strong; "project" takes the green-magenta axis away
            (of RGB); or "keep".
        downsample: probability that a patch is reduced to 100 to 9,025 pixels of the paper's 9,216 (their number is
            uniform; at other sizes the same fractions) and enlarged again.
        mean, std: floats or [C], in units of the images.
    """

    def __init__(
        self,
        patch=None,
        gap=None,
        jitter=None,
        color="drop",
        downsample=0.33,
        mean=0.0,
        std=1.0,
        seed=0,
        **kwargs,
    ):
        if color not in COLORS:
            raise UserError(f"color must be one of {', '.join(COLORS)}, got {color!r}")
        if not 0 <= downsample <= 1:
            raise UserError(f"downsample must be a probability in [0, 1], got {downsample}")
        options = {"patch": patch, "gap": gap, "jitter": jitter, "color": color, "downsample": downsample}
        lists = {"mean": np.asarray(mean).tolist(), "std": np.asarray(std).tolist()}
        super().__init__(seed, options | lists, **kwargs)
        self.patch, self.gap, self.jitter, self.color, self.downsample = patch, gap, jitter, color, downsample
        self.mean, self.std = mean, std

    def geometry(self, side):
        """(patch, gap, jitter) in pixels, for images of `side`."""
        usual = (96, 48, 7) if side >= 256 else tuple(max(1, round(k * side / 32)) for k in (10, 3, 1))
        given = (self.patch, self.gap, self.jitter)
        patch, gap, jitter = (own if ours is None else ours for ours, own in zip(given, usual))
        if patch < 1 or min(gap, jitter) < 0 or 2 * patch + gap + 2 * jitter > side:
            raise UserError(
                f"patch {patch}, gap {gap} and jitter {jitter} must make a pair that fits into images of {side}: "
                "2 patch + gap + 2 jitter at most"
            )
        return patch, gap, jitter

    def make(self, images, step):
        _, side, _, channels = images.shape
        patch, gap, jitter = self.geometry(side)
        u = self.draws(images, step, 13)
        label = pick(u[:, 0], len(NEIGHBOURS))
        offset = (patch + gap) * tf.gather(tf.constant(NEIGHBOURS), label)  # [b, 2] down, right
        lowest = jitter + tf.maximum(-offset, 0)
        highest = side - patch - jitter - tf.maximum(offset, 0)
        first = lowest + pick(u[:, 1:3], highest - lowest + 1)
        moved = pick(tf.reshape(u[:, 3:7], [-1, 2, 2]), 2 * jitter + 1) - jitter  # [b, patch, axis]
        corner = tf.stack([first, first + offset], axis=1) + moved
        pairs = cut(images, corner[:, :, 0], corner[:, :, 1], patch)

        patches = tf.reshape(pairs, [-1, patch, patch, channels])  # [2b, ...]; their draws alike
        reduced, size, kept = (tf.reshape(u[:, k : k + 2], [-1]) for k in (7, 9, 11))
        number = 2 * places(images)[:, None] + tf.range(2)
        # As the authors' code does: colors go last, so that the noise in their place is as fine in every patch.
        patches = tf.where((reduced < self.downsample)[:, None, None, None], coarse(patches, size), patches)
        patches = self._colors(patches, kept, draws.Key(self.seed, step, tf.constant(-1), tf.reshape(number, [-1])))
        patches -= tf.reduce_mean(patches, axis=[1, 2], keepdims=True)
        energy = tf.reduce_mean(tf.square(patches), axis=[1, 2, 3], keepdims=True)
        patches = patches * tf.math.rsqrt(energy + FLAT) * self.std + self.mean
        return tf.reshape(patches, [-1, 2, patch, patch, channels]), label

    def _colors(self, patches, draw, key):
        channels = patches.shape[3]
        if self.color == "project":
            if channels != 3:
                raise UserError(f"color must be 'drop' or 'keep' where images have {channels} channels, not 3")
            axis = np.array([[-1.0, 2.0, -1.0]], np.float32)
            return tf.matmul(patches, tf.constant(np.eye(3, dtype=np.float32) - axis.T @ axis / (axis @ axis.T)))
        if self.color == "keep" or channels == 1:
            return patches
        chosen = tf.one_hot(pick(draw, channels), channels)[:, None, None]
        only = tf.reduce_sum(chosen * patches, axis=-1, keepdims=True)
        noise = 0.01 * tf.math.reduce_std(only, axis=[1, 2], keepdims=True)
        return tf.where(chosen > 0, patches, noise * draws.pixel_normals(key, tuple(patches.shape[1:])))


def coarse(patches, draw):
    """Reduces patches [n, p, p, C] to a share of their pixels and enlarges them again.

    Args:
        draw: float32 [n] in [0, 1): the share is between 100 and 9,025 of 9,216.
    """
    side = patches.shape[1]
    small = tf.round(side * tf.sqrt(draws.between(draw, 100 / 9216, 9025 / 9216)))
    small = tf.clip_by_value(small, 1.0, side)
    zero = tf.zeros_like(small)
    # Rows from `small` on look beyond the patch; the way back does not see them.
    down = resampling_matrix(zero, side * side / small, side, side)
    up = resampling_matrix(zero, small, side, side, extent=small)
    both = up._replace(weights=tf.matmul(up.weights, down.weights))
    return resample(patches, both, both)
