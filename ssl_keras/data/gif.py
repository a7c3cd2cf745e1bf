"""The first frame of a GIF, in graph operations (GIF89a specification, CompuServe 1990).

TensorFlow decodes all frames before it hands out the first, paints what is transparent black, and takes the largest
frame for the canvas. So it is given a file of one frame at the origin, whose transparent colour is white; the canvas
is put around it here.
"""

import tensorflow as tf

from ssl_keras.data.headers import fits, number, sound

EXTENSION, FRAME, CONTROL = 0x21, 0x2C, 0xF9
LOOK_AHEAD = 64
MOST_STEPS = 100_000  # of blocks of other sizes; a file of one byte a block would take minutes


def gif_pixels(encoded: tf.Tensor) -> tf.Tensor:
    """uint8 [H, W, 3] of the first frame on its canvas; white where the frame is transparent or does not reach.

    Raises:
        InvalidArgumentError: the string scalar is no whole GIF frame, or claims too many pixels.
    """
    length = tf.strings.length(encoded)
    data = tf.pad(tf.io.decode_raw(encoded, tf.uint8), [[0, 16]])

    def field(at, size):
        return tf.cast(number(tf.ensure_shape(data[at : at + size], [size])), tf.int32)

    def table(flags):
        """Bytes of the colour table that a byte of flags announces."""
        return tf.where(flags >= 128, 3 * 2 ** (flags % 8 + 1), 0)

    def after_blocks(at):
        """The place behind the chain of data blocks that begins at a place, or behind the file's end."""

        def is_block(at):
            return (at < length) & (data[at] != 0)

        def next_block(at):
            # Blocks are mostly as long as the one before: so many of them are passed at once.
            stride = tf.cast(data[at], tf.int32) + 1
            ahead = tf.minimum(at + stride * tf.range(LOOK_AHEAD), length)
            alike = tf.cast(tf.gather(data, ahead) == data[at], tf.int32)
            return (at + stride * tf.reduce_sum(tf.math.cumprod(alike)),)

        return tf.while_loop(is_block, next_block, (at,), maximum_iterations=MOST_STEPS)[0] + 1

    def next_extension(at, clear):
        is_control = (data[at + 1] == CONTROL) & (data[at + 2] == 4)
        found = tf.where(data[at + 3] % 2 == 1, tf.cast(data[at + 6], tf.int32), -1)
        return after_blocks(at + 2), tf.where(is_control, found, clear)

    shared = table(field(10, 1))
    at, clear = tf.while_loop(
        lambda at, clear: (at < length) & (data[at] == EXTENSION),
        next_extension,
        (13 + shared, tf.constant(-1)),
        maximum_iterations=MOST_STEPS,
    )
    at = tf.minimum(at, length)
    own = table(field(at + 9, 1))
    left, top, width, height = tf.unstack(tf.stack([field(at + k, 2) for k in (1, 3, 5, 7)]))
    end = after_blocks(tf.minimum(at + 11 + own, length))

    canvas = tf.maximum(tf.stack([field(8, 2), field(6, 2)]), tf.stack([top + height, left + width]))
    claimed = tf.cast(canvas, tf.int64)
    encoded = sound(
        encoded,
        (data[at] == FRAME, "GIF without a frame"),
        fits(encoded, claimed[0], claimed[1]),
    )

    def part(start, stop):
        start = tf.minimum(start, length)
        return tf.strings.substr(encoded, start, tf.maximum(stop - start, 0))

    def colours(start, size):
        """The colour table at a place, its transparent entry white."""
        entry = tf.where((clear >= 0) & (3 * clear < size), start + 3 * clear, start + size)
        white = tf.strings.substr(b"\xff\xff\xff", 0, tf.minimum(start + size - entry, 3))
        return tf.strings.join([part(start, entry), white, part(entry + 3, start + size)])

    frame = [part(at, at + 1), b"\0\0\0\0", part(at + 5, at + 10), colours(at + 10, own), part(at + 10 + own, end)]
    image = tf.io.decode_gif(tf.strings.join([part(0, 13), colours(13, shared), *frame, b";"]))[0]
    beyond = canvas - tf.stack([top, left]) - tf.shape(image)[:2]
    return tf.pad(image, [[top, beyond[0]], [left, beyond[1]], [0, 0]], constant_values=255)
