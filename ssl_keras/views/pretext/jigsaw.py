"""Shuffled tiles, the pieces of the jigsaw task (Noroozi and Favaro, 2016, arXiv:1603.09246)."""

import keras
import numpy as np
import tensorflow as tf

from ssl_keras.errors import UserError
from ssl_keras.views.pretext.layer import PretextLayer
from ssl_keras.views.pretext.patches import FLAT, cut, pick, to_gray


@keras.saving.register_keras_serializable("ssl_keras")
class JigsawTiles(PretextLayer):
    """Nine shuffled tiles of each image (Noroozi and Favaro 2016, arXiv:1603.09246, section 3).

    The center of the image is a grid of 3 x 3 cells, 75 pixels wide in the paper; in each lies a tile of 64, anywhere.
    Pieces: float32 [b, 9, t, t, C]; the one presented at place j is that of cell permutation[j], cells counted in
    reading order. Labels: int32 [b], the permutation's number.

    Each of these can be switched off, to see what it keeps the network from exploiting:

    Args:
        permutations: int [P, 9].
        tile: side of a tile in pixels; None: 64/75 of a cell, which is a third of the image.
        gap: whether cells are wider than tiles. False: tiles of the same side touch each other.
        jitter: whether a tile lies anywhere in its cell; False: in its middle.
        normalize: whether each tile's channels get the same mean and standard deviation, `mean` and `std`.
        color: what is done against chromatic aberration, which tells where in the lens a tile lies: "gray", the paper's
            weak means (`grayscale`, `channel_jitter`); or "drop", which shows each image by one of its channels, drawn
            at random, and leaves nothing of it.
        grayscale: probability of taking the color from an image, all tiles alike.
        channel_shift: up to so many levels (of 255) are added to each channel of each tile.
        channel_jitter: each channel of each tile is moved by up to so many pixels (2 in the paper, against chromatic
            aberration), but not those of images made gray; None: 2/64 of the tile, at least 1.
        mean, std: floats or [C], in units of the images.
    """

    def __init__(
        self,
        permutations,
        tile=None,
        gap=True,
        jitter=True,
        normalize=True,
        color="gray",
        grayscale=0.3,
        channel_shift=2,
        channel_jitter=None,
        mean=0.0,
        std=1.0,
        seed=0,
        **kwargs,
    ):
        permutations = np.asarray(permutations)
        if color not in ("gray", "drop"):
            raise UserError(f"color must be one of gray, drop, got {color!r}")
        if permutations.ndim != 2 or permutations.shape[1] != 9:
            raise UserError(f"permutations must be of nine tiles, [P, 9], got {list(permutations.shape)}")
        if not 0 <= grayscale <= 1:
            raise UserError(f"grayscale must be a probability in [0, 1], got {grayscale}")
        if channel_shift < 0 or (channel_jitter or 0) < 0:
            raise UserError(f"channel_shift and channel_jitter must be >= 0, got {channel_shift}, {channel_jitter}")
        options = {"tile": tile, "gap": gap, "jitter": jitter, "normalize": normalize, "color": color}
        options |= {"grayscale": grayscale, "channel_shift": channel_shift, "channel_jitter": channel_jitter}
        lists = {"permutations": permutations, "mean": mean, "std": std}
        super().__init__(seed, options | {name: np.asarray(v).tolist() for name, v in lists.items()}, **kwargs)
        self.permutations = tf.constant(permutations, tf.int32)
        self.tile, self.gap, self.jitter, self.normalize = tile, gap, jitter, normalize
        self.color, self.grayscale = color, grayscale
        self.channel_shift, self.channel_jitter = channel_shift, channel_jitter
        self.mean, self.std = mean, std

    def geometry(self, side):
        """(side of a tile, side of a cell, where the grid starts) in pixels, for images of `side`."""
        cell = side // 3
        tile = self.tile or cell * 64 // 75
        if not 1 <= tile <= cell:
            raise UserError(f"tile must be 1 to {cell} pixels, a third of the image of {side}, got {tile}")
        cell = cell if self.gap else tile
        return tile, cell, (side - 3 * cell) // 2

    def make(self, images, step):
        _, side, _, channels = images.shape
        tile, cell, start = self.geometry(side)
        u = self.draws(images, step, 2 + 18 + 27 * channels)
        label = pick(u[:, 0], len(self.permutations))
        if self.color == "drop":
            gray = tf.ones_like(u[:, 1], tf.bool)
            images = tf.repeat(tf.gather(images, pick(u[:, 1:2], channels), axis=3, batch_dims=1), channels, axis=3)
        else:
            gray = u[:, 1] < self.grayscale
            images = tf.where(gray[:, None, None, None], to_gray(images), images)

        room = cell - tile  # pixels that a tile can be moved by within its cell
        order = tf.gather(self.permutations, label)  # [b, 9], the cell that is presented at each place
        within = tf.reshape(pick(u[:, 2:20], room + 1), [-1, 9, 2]) if self.jitter else room // 2
        corner = start + cell * tf.stack([order // 3, order % 3], axis=-1) + within  # [b, 9, 2]
        reach = max(1, round(2 * tile / 64)) if self.channel_jitter is None else self.channel_jitter
        move = pick(tf.reshape(u[:, 20 : 20 + 18 * channels], [-1, 9, 2, channels]), 2 * reach + 1) - reach
        corner = corner[..., None] + tf.where(gray[:, None, None, None], 0, move)
        corner = tf.clip_by_value(corner, 0, side - tile)  # [b, 9, 2, C]
        tiles = cut(images, corner[:, :, 0], corner[:, :, 1], tile)

        if self.channel_shift:
            levels = pick(u[:, 20 + 18 * channels :], 2 * self.channel_shift + 1) - self.channel_shift
            shift = tf.cast(tf.reshape(levels, [-1, 9, 1, 1, channels]), tf.float32) / 255
            tiles = tf.clip_by_value(tiles + shift, 0.0, 1.0)
        if self.normalize:
            centred = tiles - tf.reduce_mean(tiles, axis=[2, 3], keepdims=True)
            variance = tf.reduce_mean(tf.square(centred), axis=[2, 3], keepdims=True)
            tiles = centred * tf.math.rsqrt(variance + FLAT) * self.std + self.mean
        return tiles, label
