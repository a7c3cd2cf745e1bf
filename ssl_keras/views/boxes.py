"""Random crop boxes in the image's own geometry: area uniform, aspect ratio log-uniform, as in torchvision."""

import math
from typing import NamedTuple

import tensorflow as tf

from ssl_keras.views.draws import between


class Boxes(NamedTuple):
    """Boxes as fractions of the image's height and width, float32 [B] each; some reach beyond [0, 1]."""

    top: tf.Tensor
    left: tf.Tensor
    height: tf.Tensor
    width: tf.Tensor


def whole(batch_size) -> Boxes:
    """The whole image."""
    zeros, ones = tf.zeros([batch_size]), tf.ones([batch_size])
    return Boxes(zeros, zeros, ones, ones)


def random_resized(draws: dict, log_ratio: tf.Tensor, area: tuple, aspect: tuple) -> Boxes:
    """Draws boxes whose area fraction a and log aspect ratio l are uniform over all pairs that fit into the image.

    torchvision's RandomResizedCrop draws (a, l) uniformly up to ten times until the box fits, else takes a center crop.
    This is the limit of that rule with no end of tries, drawn without any: given l, a box fits while a <= exp(-|l -
    r|), with r the image's own log ratio. So l has density max(0, min(a_max, exp(-|l - r|)) - a_min), whose integral is
    known in closed form and is inverted; a is then uniform. Boxes are not rounded to whole pixels. Where nothing fits
    (a long panorama), the largest box of the nearest allowed aspect ratio lies at a random position.

    Args:
        draws: see `draws.image_draws`.
        log_ratio: float32 [B], log(width / height) of the true image.
        area: smallest and largest fraction of the image's area.
        aspect: smallest and largest width / height of the box.
    """
    a_min, a_max = area
    low, high = math.log(aspect[0]), math.log(aspect[1])
    reach = -math.log(a_min)  # beyond |l - r| = reach not even the smallest area fits
    first = tf.clip_by_value(low - log_ratio, -reach, reach)
    last = tf.clip_by_value(high - log_ratio, -reach, reach)

    nearest = tf.clip_by_value(tf.zeros_like(log_ratio), low - log_ratio, high - log_ratio)
    offset = tf.where(last > first, _random_offset(draws["crop_aspect"], first, last, a_min, a_max), nearest)
    largest = tf.minimum(tf.exp(-tf.abs(offset)), a_max)
    a = between(draws["crop_area"], tf.minimum(a_min, largest), largest)
    a = tf.where(last > first, a, largest)

    height = tf.minimum(tf.sqrt(a * tf.exp(-offset)), 1.0)
    width = tf.minimum(tf.sqrt(a * tf.exp(offset)), 1.0)
    return Boxes(draws["crop_top"] * (1 - height), draws["crop_left"] * (1 - width), height, width)


def _random_offset(u, first, last, a_min, a_max, iterations: int = 6):
    """Draws l - r: finds where the integral of its density reaches the fraction u, by Newton's method.

    The slope of the integral is the density, which vanishes at worst at the ends of [first, last].
    """
    target = between(u, _fitting_area(first, a_min, a_max)[0], _fitting_area(last, a_min, a_max)[0])
    offset = between(u, first, last)
    for _ in range(iterations):
        reached, density = _fitting_area(offset, a_min, a_max)
        step = (target - reached) / tf.maximum(density, 1e-6)
        offset = tf.clip_by_value(offset + step, first, last)
    return offset


def _fitting_area(offset, a_min, a_max):
    """The integral from 0 to `offset` of min(a_max, exp(-|v|)) - a_min, and that function's value at `offset`."""
    flat = -math.log(a_max)
    beyond = tf.maximum(tf.abs(offset) - flat, 0.0)
    largest = a_max * tf.exp(-beyond)
    inside = tf.abs(offset) - beyond
    return tf.sign(offset) * (a_max * inside + a_max - largest - a_min * tf.abs(offset)), largest - a_min


def shifted(draws: dict, padding: float) -> Boxes:
    """Draws boxes of the image's own size, moved by whole pixels within a padding (He et al. 2016, section 4.2).

    Args:
        draws: see `draws.image_draws`.
        padding: (pixels of padding, pixels of the side).
    """
    pixels, side = padding
    choices = 2 * pixels + 1
    top = tf.floor(draws["crop_top"] * choices) - pixels
    left = tf.floor(draws["crop_left"] * choices) - pixels
    ones = tf.ones_like(top)
    return Boxes(top / side, left / side, ones, ones)


def zoomed(draws: dict, zoom: tuple, shift: float) -> Boxes:
    """Draws boxes that enlarge the image by a uniform factor, their center moved by up to `shift` of its side.

    They reach beyond the image where the factor is below 1 or the center has moved.
    """
    side = 1 / between(draws["zoom"], *zoom)
    top, left = (0.5 * (1 - side) + between(draws[name], -shift, shift) for name in ("crop_top", "crop_left"))
    return Boxes(top, left, side, side)


def inside(outer: Boxes, inner: Boxes) -> Boxes:
    """Turns inner boxes, fractions of the outer ones, into fractions of the image."""
    top, left = outer.top + inner.top * outer.height, outer.left + inner.left * outer.width
    return Boxes(top, left, inner.height * outer.height, inner.width * outer.width)


def grown(box: Boxes, factor: float) -> Boxes:
    """Enlarges the boxes about their centers."""
    more = 0.5 * (factor - 1)
    top, left = box.top - more * box.height, box.left - more * box.width
    return Boxes(top, left, factor * box.height, factor * box.width)
