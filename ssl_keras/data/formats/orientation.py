"""Which way up an image is: its EXIF orientation, read and applied in graph operations (EXIF 2.3, tag 0x0112).

JPEG, PNG and WebP carry EXIF, each in a chain of segments or chunks that is walked only where its name occurs in the
file at all: one walk for the three, because every function that maps files sets up all of this anew. An orientation
in XMP, which browsers ignore as well, is left alone.
"""

import tensorflow as tf

from ssl_keras.data.formats.headers import first_bytes, holds, length, number, starts

FORMATS = ("JPEG", "PNG", "WebP")
NAMES = (b"Exif\0\0", b"eXIf", b"EXIF")
CHAIN, DATA = (2, 8, 12), (4, 8, 8)  # where the chain begins in the file, and the data in a link
ORIENTATION, SHORT, LONG = 0x0112, 3, 4
MOST_STEPS = 20_000  # of a walk: a PNG of 160 MB has as many chunks


def exif_orientation(encoded: tf.Tensor, form: tf.Tensor) -> tf.Tensor:
    """The orientation that the first EXIF of a file states, int32 scalar 1..8.

    1 (upright) where there is none before a JPEG's pixels or a PNG's end, or where it is damaged or silent.

    Args:
        encoded: string scalar, the file.
        form: int32 scalar, its format's number in FORMATS; others have no EXIF.
    """
    return tf.cond(form < len(FORMATS), lambda: _named_orientation(encoded, form), lambda: 1)


def _named_orientation(encoded: tf.Tensor, form: tf.Tensor) -> tf.Tensor:
    return tf.cond(holds(encoded, tf.gather(NAMES, form)), lambda: _tiff_orientation(_exif(encoded, form)), lambda: 1)


def _exif(encoded: tf.Tensor, form: tf.Tensor) -> tf.Tensor:
    """The data of the first EXIF segment or chunk, empty where the name stands elsewhere."""
    end = length(encoded)

    def choose(*of_each):
        return tf.stack(of_each)[form]

    def look(at):
        """Whether the link at a place is EXIF, and where the next one begins."""
        head = first_bytes(_part(encoded, at, 10), 10)
        marker, size = number(head[:2], "big"), number(head[2:4], "big")
        jpeg_step = tf.where(marker == 0xFFFF, tf.constant(1, tf.int64), tf.maximum(size, 2) + 2)  # or filling
        is_pixels = (marker < 0xFFC0) | (marker == 0xFFDA) | (marker == 0xFFD9)
        png_step, webp_size = number(head[:4], "big") + 12, number(head[4:8])
        is_exif = choose(
            (marker == 0xFFE1) & starts(head[4:], NAMES[0]), starts(head[4:], NAMES[1]), starts(head, NAMES[2])
        )
        is_last = choose(is_pixels, starts(head[4:], b"IEND"), False)
        step = choose(jpeg_step, png_step, webp_size + webp_size % 2 + 8)
        return is_exif, tf.where(is_last, end, at + step)

    start = tf.gather(tf.constant(CHAIN, tf.int64), form)
    at, is_exif, after = tf.while_loop(
        lambda at, is_exif, after: ~is_exif & (at < end),
        lambda at, is_exif, after: (after, *look(after)),
        (start, *look(start)),
        maximum_iterations=MOST_STEPS,
    )
    data = at + tf.gather(tf.constant(DATA, tf.int64), form)
    return _part(encoded, data, tf.where(is_exif, tf.maximum(after - data, 0), 0))


def _tiff_orientation(exif: tf.Tensor) -> tf.Tensor:
    """The orientation in the first directory of a TIFF structure, before which JPEG's name may stand."""
    body = _part(exif, tf.where(_part(exif, 0, 6) == NAMES[0], tf.constant(6, tf.int64), 0), 2**31)
    size = length(body)
    digits = tf.pad(tf.io.decode_raw(body, tf.uint8), [[0, 12]])
    is_big = digits[0] == ord("M")

    def highest_first(at, big, little):
        """The bytes of numbers at some places [...], in the one order or the other: [..., K]."""
        return tf.gather(
            digits, tf.expand_dims(at, -1) + tf.where(is_big, *(tf.constant(v, tf.int64) for v in (big, little)))
        )

    start = tf.minimum(number(highest_first(tf.constant(0, tf.int64), [4, 5, 6, 7], [7, 6, 5, 4]), "big"), size)
    count = tf.minimum(number(highest_first(start, [0, 1], [1, 0]), "big"), (size - start - 2) // 12)
    entries = highest_first(
        start + 2 + 12 * tf.range(tf.maximum(count, 0)),
        [0, 1, 2, 3, 8, 9, 8, 9, 10, 11],
        [1, 0, 3, 2, 9, 8, 11, 10, 9, 8],
    )  # tag, type, the value as SHORT and as LONG
    tag, kind = number(entries[:, :2], "big"), number(entries[:, 2:4], "big")
    value = tf.where(kind == LONG, number(entries[:, 6:], "big"), number(entries[:, 4:6], "big"))
    is_stated = (tag == ORIENTATION) & ((kind == SHORT) | (kind == LONG))
    found = tf.cast(tf.reduce_max(tf.where(is_stated, value, 0)), tf.int32)
    return tf.where((found >= 1) & (found <= 8), found, 1)


def _part(encoded: tf.Tensor, at, size) -> tf.Tensor:
    """`size` bytes at a place, int64, fewer at the end of the string scalar."""
    at = tf.minimum(tf.cast(at, tf.int64), length(encoded))
    return tf.strings.substr(encoded, at, tf.cast(size, tf.int64))


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
