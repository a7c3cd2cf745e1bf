"""Random crop boxes in the image's own geometry: area uniform, aspect ratio log-uniform (Inception crop, as torchvision draws it)."""

import math
from typing import NamedTuple

import tensorflow as tf

from ssl_keras.views.draws import between


class Boxes(NamedTuple):
    """Boxes as fractions of the image's height and width, float32 [B] each. May reach beyond [0, 1] for padded crops."""

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

    torchvision's RandomResizedCrop draws (a, l) uniformly over [area] x [log aspect], up to ten times until the box fits, else takes
    a centre crop. This is the limit of that rule with no end of tries, drawn exactly: given l, a box fits while
    a <= exp(-|l - r|) with r the image's own log ratio, so l has density max(0, min(a_max, exp(-|l - r|)) - a_min), whose integral
    is closed and inverted by bisection; a is then uniform. Boxes are not rounded to whole pixels.
    Where nothing fits (a long panorama), the largest box of the nearest allowed aspect ratio is placed at random.

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

    offset = _invert(lambda u: _fitting_area(u, a_min, a_max), first, last, draws["crop_aspect"])
    largest = tf.minimum(a_max, tf.exp(-tf.abs(offset)))
    a = between(draws["crop_area"], tf.minimum(a_min, largest), largest)

    nothing_fits = last <= first
    offset = tf.where(nothing_fits, tf.maximum(low - log_ratio, tf.minimum(high - log_ratio, 0.0)), offset)
    a = tf.where(nothing_fits, tf.minimum(a_max, tf.exp(-tf.abs(offset))), a)

    height = tf.minimum(tf.sqrt(a * tf.exp(-offset)), 1.0)
    width = tf.minimum(tf.sqrt(a * tf.exp(offset)), 1.0)
    return Boxes(draws["crop_top"] * (1 - height), draws["crop_left"] * (1 - width), height, width)


def _fitting_area(u, a_min, a_max):
    """Integral from 0 to u of min(a_max, exp(-|v|)) - a_min: odd, increasing while exp(-|u|) > a_min."""
    v = tf.abs(u)
    flat = -math.log(a_max)
    beyond = tf.maximum(v - flat, 0.0)
    return tf.sign(u) * ((a_max - a_min) * tf.minimum(v, flat) + a_max * (1 - tf.exp(-beyond)) - a_min * beyond)


def _invert(integral, first, last, u, halvings: int = 24):
    """Finds x in [first, last] where the integral has reached the fraction u of its range."""
    target = between(u, integral(first), integral(last))
    for _ in range(halvings):
        middle = 0.5 * (first + last)
        below = integral(middle) < target
        first, last = tf.where(below, middle, first), tf.where(below, last, middle)
    return 0.5 * (first + last)


def shifted(draws: dict, padding: float) -> Boxes:
    """Draws boxes of the image's own size after padding it on all sides, moved by whole pixels (He et al. 2016, CIFAR: padding 4 of 32).

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
