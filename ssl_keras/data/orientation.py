"""Which way up an image is: its EXIF orientation, read and applied in graph operations (EXIF 2.3, tag 0x0112).

JPEG, PNG and WebP carry EXIF, each in a chain of segments or chunks that is walked only where its name occurs in the
file at all. An orientation in XMP, which browsers ignore as well, is left alone.
"""

import tensorflow as tf

from ssl_keras.data.headers import first_bytes, holds, number

ORIENTATION, SHORT, LONG = 0x0112, 3, 4
MOST_STEPS = 20_000  # of a walk: a PNG of 160 MB has as many chunks


def jpeg_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """The orientation that a JPEG's first EXIF segment states, int32 scalar 1..8; 1 (upright) where there is none.

    Args:
        encoded: string scalar, the file.
    """

    def segment(at):
        """Marker, and where the next segment begins; 0xFF before a marker is filling."""
        head = tf.cast(first_bytes(_text(encoded, at, 4), 4), tf.int64)
        marker = head[0] * 256 + head[1]
        return marker, at + tf.where(marker != 0xFFFF, 2 + tf.maximum(number(head[2:], "big"), 2), 1)

    def is_passed(at, marker, after):
        # EXIF stands before the pixels (0xFFDA) and the end (0xFFD9).
        is_segment = (marker >= 0xFFC0) & (marker != 0xFFDA) & (marker != 0xFFD9)
        return is_segment & ((marker != 0xFFE1) | (_text(encoded, at + 4, 6) != b"Exif\0\0"))

    def walk():
        start = tf.constant(2, tf.int64)
        at, marker, after = tf.while_loop(
            is_passed,
            lambda at, marker, after: (after, *segment(after)),
            (start, *segment(start)),
            maximum_iterations=MOST_STEPS,
        )
        return tf.cond(marker == 0xFFE1, lambda: _tiff_orientation(_text(encoded, at + 4, after - at - 4)), lambda: 1)

    return tf.cond(holds(encoded, b"Exif\0\0"), walk, lambda: 1)


def png_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """As above, from a PNG's eXIf chunk, before its pixels or behind them."""

    def chunk(at):
        size = number(first_bytes(_text(encoded, at, 4), 4), "big")
        return _text(encoded, at + 4, 4), at + 8, size, at + 12 + size

    return tf.cond(holds(encoded, b"eXIf"), lambda: _chunk_orientation(encoded, 8, chunk, b"eXIf", b"IEND"), lambda: 1)


def webp_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """As above, from the EXIF chunk of an extended WebP."""

    def chunk(at):
        size = number(first_bytes(_text(encoded, at + 4, 4), 4))
        return _text(encoded, at, 4), at + 8, size, at + 8 + size + size % 2

    return tf.cond(holds(encoded, b"EXIF"), lambda: _chunk_orientation(encoded, 12, chunk, b"EXIF", b""), lambda: 1)


def _chunk_orientation(encoded: tf.Tensor, start: int, chunk, wanted: bytes, last: bytes) -> tf.Tensor:
    """Walks from a place in the file to a chunk: `chunk` tells its name, where its data begins, its size, the next."""
    start = tf.constant(start, tf.int64)
    name, body, size, _ = tf.while_loop(
        lambda name, body, size, after: (name != wanted) & (name != last) & (name != b""),
        lambda name, body, size, after: chunk(after),
        chunk(start),
        maximum_iterations=MOST_STEPS,
    )
    return tf.cond(name == wanted, lambda: _tiff_orientation(_text(encoded, body, size)), lambda: 1)


def _tiff_orientation(body: tf.Tensor) -> tf.Tensor:
    """The orientation in the first directory of EXIF's TIFF structure; 1 where that is damaged or silent."""
    # JPEG puts a name before the structure, and some writers of PNG and WebP do too.
    body = _text(body, tf.where(_text(body, 0, 6) == b"Exif\0\0", 6, 0), tf.strings.length(body))
    big = _text(body, 0, 2) == b"MM"
    size = tf.strings.length(body)
    digits = tf.pad(tf.io.decode_raw(body, tf.uint8), [[0, 8]])

    def unsigned(at, count):
        """The number in some bytes at one place or at many."""
        found = tf.gather(digits, tf.expand_dims(at, -1) + tf.range(count))
        return tf.where(big, number(found, "big"), number(found))

    directory = tf.cast(tf.minimum(unsigned(4, 4), tf.cast(size, tf.int64)), tf.int32)
    count = tf.minimum(tf.cast(unsigned(directory, 2), tf.int32), (size - directory - 2) // 12)
    entry = directory + 2 + 12 * tf.range(tf.maximum(count, 0))
    tag, kind = unsigned(entry, 2), unsigned(entry + 2, 2)
    value = tf.where(kind == LONG, unsigned(entry + 8, 4), unsigned(entry + 8, 2))
    is_stated = (tag == ORIENTATION) & ((kind == SHORT) | (kind == LONG))
    found = tf.cast(tf.reduce_max(tf.where(is_stated, value, 0)), tf.int32)
    return tf.where((found >= 1) & (found <= 8), found, 1)


def _text(encoded: tf.Tensor, at, size) -> tf.Tensor:
    """`size` bytes at a place, fewer at the end of the string scalar."""
    length = tf.strings.length(encoded)
    at, size = (tf.cast(tf.clip_by_value(tf.cast(v, tf.int64), 0, 2**31 - 1), tf.int32) for v in (at, size))
    return tf.strings.substr(encoded, tf.minimum(at, length), size)


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """The image as it is to be looked at.

    Args:
        image: [H, W, C] as stored.
        orientation: int32 scalar 1..8.
    Returns:
        [H, W, C], or [W, H, C] for orientations 5 to 8.
    """

    def turned():
        turned = tf.cond(orientation >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        mirror = tf.reduce_any(orientation == [2, 3, 6, 7])
        flip = tf.reduce_any(orientation == [3, 4, 7, 8])
        turned = tf.cond(mirror, lambda: tf.reverse(turned, [1]), lambda: turned)
        return tf.cond(flip, lambda: tf.reverse(turned, [0]), lambda: turned)

    return tf.ensure_shape(tf.cond(orientation == 1, lambda: image, turned), [None, None, image.shape[-1]])
