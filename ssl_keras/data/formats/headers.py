"""What an encoded image says of itself in its first bytes, and whether TensorFlow may decode it.

TensorFlow's decoders trust some headers: an animated WebP makes them write past their buffer, a palette BMP is taken
for gray levels, and forty bytes that claim a thousand million pixels get the memory for them. So each format is
checked first, in graph operations that look at a few bytes.
"""

import tensorflow as tf

from ssl_keras.data.formats.size import MOST_PIXELS, PIXELS_PER_BYTE, TOO_LARGE, may_hold

ANIMATED_WEBP = "animated WebP, which TensorFlow cannot decode: save its first frame as PNG"
ODD_BMP = "BMP with a palette, compression, bit masks or an OS/2 header, which TensorFlow cannot decode: save it as PNG"
NO_IMAGE = "no JPEG, PNG, GIF, BMP or WebP"


def first_bytes(encoded: tf.Tensor, count: int) -> tf.Tensor:
    """The first bytes of a string scalar as int64 [count], zeros past its end."""
    return tf.ensure_shape(tf.cast(tf.io.decode_raw(encoded, tf.uint8, fixed_length=count), tf.int64), [count])


def length(encoded: tf.Tensor) -> tf.Tensor:
    """The bytes of a string scalar, int64."""
    return tf.cast(tf.strings.length(encoded), tf.int64)


def number(digits: tf.Tensor, order: str = "little") -> tf.Tensor:
    """The unsigned number that up to seven bytes [..., K] (K known) spell, int64 [...]."""
    weights = [256**k for k in range(digits.shape[-1])]
    weights = weights if order == "little" else weights[::-1]
    return tf.reduce_sum(tf.cast(digits, tf.int64) * tf.constant(weights, tf.int64), -1)


def starts(head: tf.Tensor, text: bytes) -> tf.Tensor:
    """Whether bytes, int64 [K], begin with a text."""
    return tf.reduce_all(head[: len(text)] == list(text))


def holds(encoded: tf.Tensor, text: bytes) -> tf.Tensor:
    """Whether the bytes occur anywhere in a string scalar."""
    # The bare operation: tf.strings.split makes a dozen for the ragged rows of other uses.
    return tf.size(tf.raw_ops.StringSplitV2(input=encoded[tf.newaxis], sep=text, maxsplit=1).values) > 1


def fits(encoded: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, str]:
    """The check that a file may claim its size, int64 scalars from 0 to 2^32."""
    height, width = tf.minimum(height, 2**31), tf.minimum(width, 2**31)  # their product stays below 2^63
    return may_hold(height, width, length(encoded)), TOO_LARGE


def sound(encoded: tf.Tensor, *checks: tuple[tf.Tensor, str]) -> tf.Tensor:
    """The string scalar itself, once each check holds.

    Raises:
        InvalidArgumentError: with the sentence of a check that does not.
    """
    # The bare operation: tf.debugging.Assert makes a condition with two branches of it, which take long to set up.
    asserted = [tf.raw_ops.Assert(condition=holds, data=[sentence]) for holds, sentence in checks]
    with tf.control_dependencies([op for op in asserted if op is not None]):  # None: done already, in eager mode
        return tf.identity(encoded)


def sound_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    def claims_little():
        shape = tf.cast(tf.io.extract_jpeg_shape(encoded), tf.int64)
        return may_hold(shape[0], shape[1], length(encoded))

    # A longer file may claim all that the decoder itself allows.
    is_long = length(encoded) * PIXELS_PER_BYTE >= MOST_PIXELS
    return sound(encoded, (tf.cond(is_long, lambda: True, claims_little), TOO_LARGE))


def sound_png(encoded: tf.Tensor) -> tf.Tensor:
    head = first_bytes(encoded, 24)
    width, height = number(head[16:20], "big"), number(head[20:24], "big")
    return sound(encoded, fits(encoded, height, width))


def sound_webp(encoded: tf.Tensor) -> tf.Tensor:
    head = first_bytes(encoded, 30)
    is_extended, is_lossless = starts(head[12:], b"VP8X"), starts(head[12:], b"VP8L")
    is_animated = is_extended & (tf.bitwise.bitwise_and(head[20], 2) != 0)
    # An extended file says 24 bits each, less one; the lossless stream 14 bits each, less one; the lossy one 14 bits.
    packed = number(head[21:25])
    width = tf.where(is_lossless, packed, number(head[26:28])) % 2**14
    height = tf.where(is_lossless, packed // 2**14, number(head[28:30])) % 2**14
    width = tf.where(is_extended, number(head[24:27]), width) + 1
    height = tf.where(is_extended, number(head[27:30]), height) + 1
    return sound(encoded, (~is_animated, ANIMATED_WEBP), fits(encoded, height, width))


def sound_bmp(encoded: tf.Tensor) -> tf.Tensor:
    """A BMP of 24 or 32 bits a pixel, cut where its pixels end: TensorFlow takes no byte more."""
    head = first_bytes(encoded, 34)
    depth = number(head[28:30])
    is_plain = (number(head[14:18]) >= 40) & ((depth == 24) | (depth == 32)) & (number(head[30:34]) == 0)
    width, height = number(head[18:22]), number(head[22:26])
    height = tf.where(height < 2**31, height, 2**32 - height)  # negative: rows from the top
    whole = sound(encoded, (is_plain, ODD_BMP), fits(encoded, height, width))
    with tf.control_dependencies([whole]):
        end = number(head[10:14]) + (width * depth + 31) // 32 * 4 * height
        return tf.strings.substr(whole, tf.constant(0, tf.int64), end)
