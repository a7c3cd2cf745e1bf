"""What replaces color operations where images are not RGB: gain, offset, gamma and sensor noise per channel.

Saturation, hue and grayscale have no meaning for depth, spectra or microscopy channels. A recipe's strengths are kept:

- Brightness and contrast act as ever, on all channels together; contrast is about the mean over the channels.
- A saturation strength s gives every channel its own gain in [1 - s/2, 1 + s/2] and the image a gamma in
  [exp(-s/2), exp(s/2)].
- A hue strength h gives every channel its own offset in [-h/2, h/2].
- Where RGB would turn gray, each channel gets Gaussian noise of up to a quarter of its own standard deviation.

This is a choice of this project, not of a paper.
"""

from collections.abc import Callable

import tensorflow as tf

from ssl_keras.views import draws
from ssl_keras.views.color import jitter_factors
from ssl_keras.views.value_ops import own_noise

NOISE = 0.25  # largest standard deviation, as a share of the channel's own in the view


def jitter(policy, measured: tf.Tensor | None = None) -> list[Callable]:
    """What jitters images, in order: functions of (float32 [B, C, h, w] in [0, 1], draws, key), whose results are such.

    Args:
        measured: see `value_ops.own_noise`.
    """
    steps = [lambda images, draw, _: _brightness_and_contrast(images, draw, policy)]
    if policy.saturation or policy.hue:
        steps.append(lambda images, draw, key: _of_each_channel(images, draw, policy, key))
    if policy.grayscale:
        steps.append(lambda images, draw, key: own_noise(images, _noise(draw, policy), measured, key))
    return steps


def _brightness_and_contrast(images, draw, policy):
    factors = jitter_factors(draw, policy)
    images = images * _per_image(factors["brightness"])
    contrast = _per_image(factors["contrast"])
    images = contrast * images + (1.0 - contrast) * tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    return tf.clip_by_value(images, 0.0, 1.0)


def _of_each_channel(images, draw, policy, key):
    on, half = draw["jitter"] < policy.jitter, 0.5 * policy.saturation
    drawn = draws.channel_draws(key, images.shape[1])
    gamma = tf.exp(tf.where(on, draws.between(draw["saturation"], -half, half), 0.0))
    gain = tf.where(on[:, None], draws.between(drawn["gain"], 1 - half, 1 + half), 1.0)
    offset = tf.where(on[:, None], draws.between(drawn["offset"], -0.5 * policy.hue, 0.5 * policy.hue), 0.0)
    images = gain[:, :, None, None] * tf.pow(images, _per_image(gamma)) + offset[:, :, None, None]
    return tf.clip_by_value(images, 0.0, 1.0)


def _noise(draw, policy):
    return tf.where(draw["grayscale"] < policy.grayscale, NOISE * draw["noise_sigma"], 0.0)


def _per_image(x: tf.Tensor) -> tf.Tensor:
    return x[:, None, None, None]
