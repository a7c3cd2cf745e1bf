"""The first frame of a GIF, in graph operations (GIF89a specification, CompuServe 1990).

TensorFlow decodes all frames before it hands out the first, paints what is transparent black, and takes the largest
frame for the canvas. So it is given a file of one frame at the origin, whose transparent color is white; the canvas
is put around it here.
"""

import tensorflow as tf

from ssl_keras.data.formats.headers import fits, sound

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

    def byte(at):
        """The bytes at some places, int32."""
        return tf.cast(tf.gather(data, at), tf.int32)

    def fields(at):
        """The 16-bit numbers at some places, int32."""
        return byte(at) + 256 * byte(tf.add(at, 1))

    def table(flags):
        """Bytes of the color table that a byte of flags announces."""
        return tf.where(flags >= 128, 3 * 2 ** (flags % 8 + 1), 0)

    def after_blocks(at):
        """The place behind the chain of data blocks that begins at a place, or behind the file's end."""

        def is_block(at):
            return (at < length) & (byte(at) != 0)

        def next_block(at):
            # Blocks are mostly as long as the one before: so many of them are passed at once.
            stride = byte(at) + 1
            ahead = tf.minimum(at + stride * tf.range(LOOK_AHEAD), length)
            alike = tf.cast(byte(ahead) == stride - 1, tf.int32)
            return (at + stride * tf.reduce_sum(tf.math.cumprod(alike)),)

        return tf.while_loop(is_block, next_block, (at,), maximum_iterations=MOST_STEPS)[0] + 1

    def next_extension(at, clear):
        label, size, flags, found = tf.unstack(byte(tf.add(at, [1, 2, 3, 6])))
        found = tf.where(flags % 2 == 1, found, -1)
        return after_blocks(at + 2), tf.where((label == CONTROL) & (size == 4), found, clear)

    shared = table(byte(10))
    at, clear = tf.while_loop(
        lambda at, clear: (at < length) & (byte(at) == EXTENSION),
        next_extension,
        (13 + shared, tf.constant(-1)),
        maximum_iterations=MOST_STEPS,
    )
    at = tf.minimum(at, length)
    own = table(byte(at + 9))
    place, frame = tf.split(fields(tf.add(at, [3, 1, 7, 5])), 2)  # top and left, height and width
    end = after_blocks(tf.minimum(at + 11 + own, length))

    canvas = tf.maximum(fields([8, 6]), place + frame)
    claimed = tf.cast(canvas, tf.int64)
    encoded = sound(
        encoded,
        (byte(at) == FRAME, "GIF without a frame"),
        fits(encoded, claimed[0], claimed[1]),
    )

    def part(start, stop):
        start = tf.minimum(start, length)
        return tf.strings.substr(encoded, start, tf.maximum(stop - start, 0))

    def colours(start, size):
        """The color table at a place, its transparent entry white."""
        entry = tf.where((clear >= 0) & (3 * clear < size), start + 3 * clear, start + size)
        white = tf.strings.substr(b"\xff\xff\xff", 0, tf.minimum(start + size - entry, 3))
        return tf.strings.join([part(start, entry), white, part(entry + 3, start + size)])

    parts = [part(at, at + 1), b"\0\0\0\0", part(at + 5, at + 10), colours(at + 10, own), part(at + 10 + own, end)]
    image = tf.io.decode_gif(tf.strings.join([part(0, 13), colours(13, shared), *parts, b";"]))[0]
    around = tf.stack([place, canvas - place - tf.shape(image)[:2]], 1)
    return tf.ensure_shape(tf.pad(image, tf.pad(around, [[0, 1], [0, 0]]), constant_values=255), [None, None, 3])
