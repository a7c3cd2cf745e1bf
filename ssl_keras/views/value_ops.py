"""Changes of values that have a meaning for measured images of any number of channels: no colors are supposed.

All take and return float32 [B, C, s, s] in [0, 1]: channels first, of which XLA makes long loops. `kinds` says which of
them suit which images, and why.
"""

import tensorflow as tf

from ssl_keras.views import draws


def scale_and_shift(images: tf.Tensor, draw: dict, policy) -> tf.Tensor:
    """Multiplies all channels by one factor in `policy.gain` and adds one number of up to `policy.shift`."""
    if policy.gain:
        images = images * _per_image(draws.log_between(draw["gain"], *policy.gain))
    if policy.shift:
        images = images + _per_image(draws.between(draw["shift"], -policy.shift, policy.shift))
    return tf.clip_by_value(images, 0.0, 1.0)


def gamma(images: tf.Tensor, draw: dict, strength: float) -> tf.Tensor:
    """Raises all values to one power in [exp(-strength), exp(strength)], log-uniform."""
    return tf.pow(images, _per_image(tf.exp(draws.between(draw["gamma"], -strength, strength))))


def bias_field(images: tf.Tensor, draw: dict, strength: float) -> tf.Tensor:
    """Multiplies by a smooth field in [exp(-strength), exp(strength)], as the coils of a scanner do.

    The logarithm of the field is a random polynomial of the second degree (Van Leemput et al. 1999 have the fourth).
    """
    y, x = (tf.linspace(-1.0, 1.0, side) for side in images.shape[2:])
    y, x = y[None, :, None], x[None, None]
    slopes = [draws.between(draw[f"bias_{k}"], -1.0, 1.0)[:, None, None] for k in (1, 2, 3)]
    terms = sum(slope * term for slope, term in zip(slopes, (y, x, y * y + x * x - 1.0)))  # each in [-1, 1]
    return tf.clip_by_value(images * tf.exp(strength / 3.0 * terms)[:, None], 0.0, 1.0)


def channel_gain(images: tf.Tensor, key: draws.Key, strength: float) -> tf.Tensor:
    """Gives each channel a factor of its own in [1 - strength, 1 + strength]."""
    drawn = draws.channel_draws(key, images.shape[1])["gain"]
    return tf.clip_by_value(images * _per_channel(draws.between(drawn, 1 - strength, 1 + strength)), 0.0, 1.0)


def channel_drop(images: tf.Tensor, key: draws.Key, probability: float) -> tf.Tensor:
    """Empties each channel with the given probability, but one at least stays (Cell-DINO; SSL4EO-S12's ChannelDrop)."""
    if images.shape[1] == 1:
        return images
    drawn = draws.channel_drops(key, images.shape[1])  # [B, C]
    stays = (drawn >= probability) | (drawn >= tf.reduce_max(drawn, axis=1, keepdims=True))
    return tf.where(_per_channel(stays), images, 0.0)


def channel_mean(images: tf.Tensor, draw: dict, probability: float) -> tf.Tensor:
    """Replaces all channels by their mean, with the given probability: the grayscale of spectra (SSL4EO-S12)."""
    mean = tf.reduce_mean(images, axis=1, keepdims=True)
    return tf.where(_per_image(draw["channel_mean"] < probability), mean, images)


def own_noise(images: tf.Tensor, sigma: tf.Tensor, measured: tf.Tensor | None, key: draws.Key) -> tf.Tensor:
    """Adds Gaussian noise whose standard deviation is a share of each channel's own in the view.

    Noise of a given size hides some channels and does nothing to others: bands of a satellite differ a hundredfold.

    Args:
        sigma: float32 [B], the share.
        measured: bool [B, C, s, s]; what was not measured has the mean of its channel. None: all was.
    """
    spread = tf.math.reduce_std(images, axis=[2, 3])  # [B, C]
    if measured is not None:
        share = tf.reduce_mean(tf.cast(measured, tf.float32), axis=[2, 3])
        spread *= tf.math.rsqrt(tf.maximum(share, 1e-3))
    normals = draws.pixel_normals(key, tuple(images.shape[1:]))
    return tf.clip_by_value(images + _per_channel(sigma[:, None] * spread) * normals, 0.0, 1.0)


def _per_image(x: tf.Tensor) -> tf.Tensor:
    return x[:, None, None, None]


def _per_channel(x: tf.Tensor) -> tf.Tensor:
    return x[:, :, None, None]
