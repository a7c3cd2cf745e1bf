"""Which way up a JPEG is: its EXIF orientation, read and applied in graph operations (EXIF 2.3, tag 0x0112)."""

import tensorflow as tf

ORIENTATION = 0x0112


def first_bytes(encoded: tf.Tensor, count: int) -> tf.Tensor:
    """The first bytes of a string scalar as int32 [count], zeros past its end."""
    padded = tf.strings.join([tf.strings.substr(encoded, 0, count), b"\0" * count])
    return tf.cast(tf.io.decode_raw(padded, tf.uint8)[:count], tf.int32)


def exif_orientation(jpeg: tf.Tensor) -> tf.Tensor:
    """The orientation that a JPEG's EXIF segment states, int32 scalar 1..8; 1 (upright) where there is none.

    Args:
        jpeg: string scalar, the encoded file.
    """
    # The commonest head, a bare JFIF segment and then the tables, is told at a glance: the walk costs more.
    head = first_bytes(jpeg, 22)
    is_plain = tf.reduce_all(tf.gather(head, [2, 3, 4, 5, 20, 21]) == [0xFF, 0xE0, 0x00, 0x10, 0xFF, 0xDB])
    return tf.cond(is_plain, lambda: 1, lambda: _segment_orientation(jpeg))


def _segment_orientation(jpeg: tf.Tensor) -> tf.Tensor:
    """Walks from segment to segment; EXIF stands among the application segments, before any table or pixel."""
    length = tf.strings.length(jpeg)

    def header(at):
        """Marker and length of the segment at a byte position, zeros past the end."""
        found = tf.cond(at + 10 <= length, lambda: tf.strings.substr(jpeg, at, 4), lambda: b"\0\0\0\0")
        found = tf.cast(tf.io.decode_raw(found, tf.uint8), tf.int32)
        return found[0] * 256 + found[1], found[2] * 256 + found[3]

    def is_other(at, marker, size):
        application = ((marker >= 0xFFE0) & (marker <= 0xFFEF)) | (marker == 0xFFFE)
        return tf.cond(
            application,
            lambda: (marker != 0xFFE1) | (tf.strings.substr(jpeg, at + 4, 6) != b"Exif\0\0"),
            lambda: False,
        )

    def next_segment(at, marker, size):
        at = at + 2 + tf.maximum(size, 2)
        return at, *header(at)

    at, marker, size = tf.while_loop(is_other, next_segment, (tf.constant(2), *header(tf.constant(2))))
    return tf.cond(
        marker == 0xFFE1,  # the walk stops at such a segment only where it is EXIF's
        lambda: _tiff_orientation(tf.strings.substr(jpeg, at + 10, tf.maximum(size - 8, 0))),
        lambda: 1,
    )


def _tiff_orientation(body: tf.Tensor) -> tf.Tensor:
    """The orientation in the first directory of EXIF's TIFF structure; 1 where that is damaged or silent."""
    big = tf.strings.substr(body, 0, 2) == b"MM"
    bytes_ = tf.cast(tf.io.decode_raw(body, tf.uint8), tf.int32)
    size = tf.size(bytes_)
    bytes_ = tf.pad(bytes_, [[0, 8]])

    def number(high_first, low_first):
        return tf.where(big, high_first, low_first)

    def uint16(at):
        return number(bytes_[at] * 256 + bytes_[at + 1], bytes_[at + 1] * 256 + bytes_[at])

    # A directory is at most 64 kB into the segment: only the low half of its uint32 offset can be set.
    directory = tf.minimum(uint16(tf.where(big, 6, 4)), size)
    count = tf.maximum(tf.minimum(uint16(directory), (size - directory - 2) // 12), 0)
    entries = tf.reshape(bytes_[directory + 2 : directory + 2 + 12 * count], [count, 12])
    tag = number(entries[:, 0] * 256 + entries[:, 1], entries[:, 1] * 256 + entries[:, 0])
    value = number(entries[:, 8] * 256 + entries[:, 9], entries[:, 9] * 256 + entries[:, 8])
    found = tf.reduce_max(tf.where(tag == ORIENTATION, value, 0))
    return tf.where((found >= 1) & (found <= 8), found, 1)


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
