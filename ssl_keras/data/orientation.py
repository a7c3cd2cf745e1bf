"""Which way up an image is: its EXIF orientation, read and applied in graph operations (EXIF 2.3, tag 0x0112).

JPEG, PNG and WebP carry EXIF, each in a chain of segments or chunks that is walked only where its name occurs in the
file at all. An orientation in XMP, which browsers ignore as well, is left alone.
"""

import tensorflow as tf

from ssl_keras.data.headers import first_bytes, holds, length, number

ORIENTATION, SHORT, LONG = 0x0112, 3, 4
NAME = b"Exif\0\0"
MOST_STEPS = 20_000  # of a walk: a PNG of 160 MB has as many chunks


def jpeg_exif(encoded: tf.Tensor) -> tf.Tensor:
    """The first EXIF segment of a JPEG, empty where there is none: string scalars."""

    def segment(at):
        """Marker, and where the next segment begins; 0xFF before a marker is filling."""
        head = first_bytes(_part(encoded, at, 4), 4)
        marker = number(head[:2], "big")
        return marker, at + tf.where(marker != 0xFFFF, 2 + tf.maximum(number(head[2:], "big"), 2), 1)

    def is_passed(at, marker, after):
        # EXIF stands before the pixels (0xFFDA) and the end (0xFFD9).
        is_segment = (marker >= 0xFFC0) & (marker != 0xFFDA) & (marker != 0xFFD9)
        return is_segment & ((marker != 0xFFE1) | (_part(encoded, at + 4, 6) != NAME))

    def walk():
        start = tf.constant(2, tf.int64)
        at, marker, after = tf.while_loop(
            is_passed,
            lambda at, marker, after: (after, *segment(after)),
            (start, *segment(start)),
            maximum_iterations=MOST_STEPS,
        )
        return _part(encoded, at + 4, tf.where(marker == 0xFFE1, after - at - 4, 0))

    return tf.cond(holds(encoded, NAME), walk, lambda: b"")


def png_exif(encoded: tf.Tensor) -> tf.Tensor:
    """The same of a PNG's eXIf chunk, before its pixels or behind them."""
    return _chunk(
        encoded, 8, b"eXIf", b"IEND", lambda head: (number(head[:4], "big"), head[4:]), lambda size: size + 12
    )


def webp_exif(encoded: tf.Tensor) -> tf.Tensor:
    """The same of the EXIF chunk of an extended WebP."""
    return _chunk(
        encoded, 12, b"EXIF", b"", lambda head: (number(head[4:]), head[:4]), lambda size: size + size % 2 + 8
    )


def _chunk(encoded: tf.Tensor, start: int, wanted: bytes, last: bytes, header, whole) -> tf.Tensor:
    """The data of a chunk, empty where there is none before the last.

    Args:
        start: where the chunks begin.
        header: the first eight bytes of a chunk -> the size of its data, its name.
        whole: the size of its data -> its own.
    """

    def chunk(at):
        size, name = header(first_bytes(_part(encoded, at, 8), 8))
        return number(name), at + 8, size, at + whole(size)

    stops = {int.from_bytes(name, "little") for name in (wanted, last, b"")}
    wanted_number = int.from_bytes(wanted, "little")

    def walk():
        name, body, size, _ = tf.while_loop(
            lambda name, body, size, after: tf.reduce_all(name != list(stops)),
            lambda name, body, size, after: chunk(after),
            chunk(tf.constant(start, tf.int64)),
            maximum_iterations=MOST_STEPS,
        )
        return _part(encoded, body, tf.where(name == wanted_number, size, 0))

    return tf.cond(holds(encoded, wanted), walk, lambda: b"")


def exif_orientation(exif: tf.Tensor) -> tf.Tensor:
    """The orientation that EXIF states, int32 scalar 1..8; 1 (upright) where it is empty, damaged or silent.

    Args:
        exif: string scalar, a TIFF structure; before it may stand the name that JPEG puts there.
    """
    return tf.cond(exif == b"", lambda: 1, lambda: _tiff_orientation(exif))


def _tiff_orientation(exif: tf.Tensor) -> tf.Tensor:
    """As above, from the first directory."""
    body = _part(exif, tf.where(_part(exif, 0, 6) == NAME, tf.constant(6, tf.int64), 0), 2**31)
    is_big = _part(body, 0, 2) == b"MM"
    size = length(body)
    digits = tf.pad(tf.io.decode_raw(body, tf.uint8), [[0, 12]])

    def unsigned(at, count):
        """The number in some bytes at one place or at many."""
        places = tf.where(is_big, tf.range(count), tf.range(count)[::-1])
        return number(tf.gather(digits, tf.expand_dims(at, -1) + tf.cast(places, tf.int64)), "big")

    directory = tf.minimum(unsigned(tf.constant(4, tf.int64), 4), size)
    count = tf.minimum(unsigned(directory, 2), (size - directory - 2) // 12)
    entry = directory + 2 + 12 * tf.range(tf.maximum(count, 0))
    tag, kind = unsigned(entry, 2), unsigned(entry + 2, 2)
    value = tf.where(kind == LONG, unsigned(entry + 8, 4), unsigned(entry + 8, 2))
    is_stated = (tag == ORIENTATION) & ((kind == SHORT) | (kind == LONG))
    found = tf.cast(tf.reduce_max(tf.where(is_stated, value, 0)), tf.int32)
    return tf.where((found >= 1) & (found <= 8), found, 1)


def _part(encoded: tf.Tensor, at, size) -> tf.Tensor:
    """`size` bytes at a place, int64, fewer at the end of the string scalar."""
    at = tf.minimum(tf.cast(at, tf.int64), length(encoded))
    return tf.strings.substr(encoded, at, tf.maximum(tf.cast(size, tf.int64), 0))


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
