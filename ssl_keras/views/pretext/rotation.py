"""Turned images, the pieces of the rotation task (Gidaris et al., 2018, arXiv:1803.07728)."""

import math

import keras
import numpy as np
import tensorflow as tf

from ssl_keras.errors import UserError
from ssl_keras.views.pretext.layer import PretextLayer

DIAGONAL_SCALE = 2**-0.5  # side of the square that lies inside an image however it is turned


@keras.saving.register_keras_serializable("ssl_keras")
class Rotations(PretextLayer):
    """Every image at each of several angles (Gidaris et al. 2018, arXiv:1803.07728).

    Pieces: float32 [b, n, S, S, C], counter-clockwise by first_angle + k 360/n degrees; labels: int32 [b, n], each k.
    Multiples of 90 degrees are exact transposes and flips. Where there are others (n = 8), every angle shows only the
    center square of S/√2 pixels that lies inside the image at all of them, enlarged to S by bilinear interpolation:
    empty corners would give the angle away, and so would a zoom of some angles only.

    Args:
        count: n: 2, 4 or 8.
        first_angle: a multiple of 90: count=2 means {0, 180}, with first_angle=90 {90, 270}.
    """

    def __init__(self, count=4, first_angle=0, seed=0, **kwargs):
        if count not in (2, 4, 8):
            raise UserError(f"rotations must be 2, 4 or 8, got {count}")
        if first_angle % 90:
            raise UserError(f"first_angle must be a multiple of 90, got {first_angle}")
        super().__init__(seed, {"count": count, "first_angle": first_angle}, **kwargs)
        self.angles = tuple((first_angle + 360 * k // count) % 360 for k in range(count))

    def make(self, images, step):
        if all(angle % 90 == 0 for angle in self.angles):
            turned = [quarter_turn(images, angle // 90) for angle in self.angles]
        else:
            upright, tilted = turn_inside(images, 0.0), turn_inside(images, 45.0)
            turned = [quarter_turn(tilted if angle % 90 else upright, angle // 90) for angle in self.angles]
        labels = tf.tile(tf.range(len(turned))[None], [tf.shape(images)[0], 1])
        return tf.stack(turned, axis=1), labels


def quarter_turn(images, turns):
    """Turns [b, S, S, C] counter-clockwise by a number of right angles, as `numpy.rot90`; nothing is interpolated."""
    turns %= 4
    if turns % 2:
        images = tf.transpose(images, [0, 2, 1, 3])
    return tf.reverse(images, axis=[[], [1], [1, 2], [2]][turns]) if turns else images


def turn_inside(images, degrees):
    """The center square of side S/√2, turned counter-clockwise, enlarged to S: [b, S, S, C], bilinear."""
    side = images.shape[1]
    angle = math.radians(degrees)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    row = DIAGONAL_SCALE * (np.cos(angle) * y + np.sin(angle) * x) + (side - 1) / 2
    column = DIAGONAL_SCALE * (np.cos(angle) * x - np.sin(angle) * y) + (side - 1) / 2
    row, column = row.clip(0, side - 1), column.clip(0, side - 1)
    top, left = np.floor(row).astype(int), np.floor(column).astype(int)
    pixels = tf.reshape(images, [-1, side * side, images.shape[3]])
    turned = 0.0
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = np.abs(1 - down - (row - top)) * np.abs(1 - right - (column - left))
        place = np.minimum(top + down, side - 1) * side + np.minimum(left + right, side - 1)
        turned += weight.reshape(-1, 1).astype(np.float32) * tf.gather(pixels, place.reshape(-1), axis=1)
    return tf.reshape(turned, [-1, side, side, images.shape[3]])
