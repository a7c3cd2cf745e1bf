"""Pieces of images: cut out, drawn, made gray; on the device, without a loop over images."""

import tensorflow as tf

from ssl_keras.views.color import LUMA

FLAT = 1e-8  # variance below which a patch counts as flat: its noise is not blown up


def cut(images, top, left, side):
    """Cuts squares from images, every channel where it should.

    Args:
        images: [b, H, W, C] of any dtype.
        top, left: int32 [b, n], or [b, n, C] where channels differ: the squares' corners, which lie inside.
        side: int, of the squares.

    Returns:
        [b, n, side, side, C] of the images' dtype.
    """
    _, height, width, channels = images.shape
    if top.shape.rank == 2:
        top, left = top[..., None], left[..., None]
    row = top[:, :, None, None] + tf.range(side)[:, None, None]  # [b, n, side, 1, C or 1]
    column = left[:, :, None, None] + tf.range(side)[:, None]  # [b, n, 1, side, C or 1]
    place = row * width + column
    if place.shape[-1] == 1:
        return tf.gather(tf.reshape(images, [-1, height * width, channels]), place[..., 0], batch_dims=1)
    values = tf.reshape(images, [-1, height * width * channels])
    return tf.gather(values, place * channels + tf.range(channels), batch_dims=1)


def pick(u, count):
    """U(0, 1) -> integers in [0, count), equally often: int32 of u's shape; `count` an int or int32 that broadcasts."""
    return tf.minimum(tf.cast(u * tf.cast(count, tf.float32), tf.int32), count - 1)


def to_gray(images):
    """Each pixel's luma (of other than three channels: their mean) in all its channels."""
    channels = images.shape[3]
    weights = LUMA if channels == 3 else [1 / channels] * channels
    return tf.broadcast_to(tf.reduce_sum(images * tf.constant(weights), axis=-1, keepdims=True), tf.shape(images))
