"""What replaces color operations where images are not RGB: gain, offset, gamma and sensor noise per channel.

Saturation, hue and grayscale have no meaning for depth, spectra or microscopy channels. A recipe's strengths are kept:

- Brightness and contrast act as ever, on all channels together; contrast is about the mean over the channels.
- A saturation strength s gives every channel its own gain in [1 - s/2, 1 + s/2] and the image a gamma in
  [exp(-s/2), exp(s/2)].
- A hue strength h gives every channel its own offset in [-h/2, h/2].
- Where RGB would turn gray, each channel gets Gaussian noise of up to a quarter of its own standard deviation.

This is a choice of this project, not of a paper.
"""

import tensorflow as tf

from ssl_keras.views import draws
from ssl_keras.views.color import contrast, jitter_factors
from ssl_keras.views.value_ops import own_noise

NOISE = 0.25  # largest standard deviation, as a share of the channel's own in the view


def jitter(images: tf.Tensor, draw: dict, policy, key: draws.Key, measured: tf.Tensor | None = None) -> tf.Tensor:
    """Jitters float32 [B, h, w, C] in [0, 1], any C: the result lies in [0, 1].

    Args:
        measured: see `value_ops.own_noise`.
    """
    channels = images.shape[3]
    factors = jitter_factors(draw, policy)
    images = images * factors["brightness"][:, None, None, None]
    images = tf.clip_by_value(contrast(images, factors["contrast"], [1 / channels] * channels), 0.0, 1.0)

    on = (draw["jitter"] < policy.jitter)[:, None]
    half = 0.5 * policy.saturation
    gamma = tf.exp(tf.where(on[:, 0], draws.between(draw["saturation"], -half, half), 0.0))
    drawn = draws.channel_draws(key, channels)
    gain = tf.where(on, draws.between(drawn["gain"], 1 - half, 1 + half), 1.0)[:, None, None]
    offset = tf.where(on, draws.between(drawn["offset"], -0.5 * policy.hue, 0.5 * policy.hue), 0.0)[:, None, None]
    images = tf.clip_by_value(gain * tf.pow(images, gamma[:, None, None, None]) + offset, 0.0, 1.0)
    if policy.grayscale:
        sigma = tf.where(draw["grayscale"] < policy.grayscale, NOISE * draw["noise_sigma"], 0.0)
        images = own_noise(images, sigma, measured, key)
    return images
