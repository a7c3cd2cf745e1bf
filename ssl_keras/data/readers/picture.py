"""Ordinary images as pixels, for what needs these: files that are the channels of an image, and tiles.

JPEG, PNG, GIF, WebP and BMP, decoded as all ordinary images are; it is asked by name, not by a file's ending.
"""

import io
from pathlib import Path

import tensorflow as tf

from ssl_keras.data.formats.decode import decode
from ssl_keras.data.formats.look import header
from ssl_keras.data.formats.transcode import decodable
from ssl_keras.data.readers.arrays import pick
from ssl_keras.data.readers.contract import Facts, Picture, ReadOptions
from ssl_keras.errors import UserError

ENDINGS = ()
PACKAGES = ()
NATIVE = ()  # TensorFlow is not imported in other processes
MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"BM")


def is_one(head: bytes) -> bool:
    """Whether a file that begins so is such an image."""
    return head.startswith(MAGIC)


def facts(path: str, options: ReadOptions) -> Facts:
    """One picture, gray or in color, of the size before it is turned upright.

    Raises:
        UserError: it is no such image.
    """
    with open(path, "rb") as file:
        try:
            found = header(file)
        except Exception:
            raise UserError("no JPEG, PNG, GIF, WebP or BMP, or one whose header is damaged") from None
    return Facts(1, (*found.size, found.channels), "uint16" if found.bits == 16 else "uint8")


def read(path: str, number: int, options: ReadOptions) -> Picture:
    """The image [H, W, 1 or 3], upright, over white where it is transparent.

    Raises:
        UserError: it is damaged, too large, or of a kind that is not read.
    """
    found = facts(path, options)
    pick(number, found.count)
    encoded = decodable(Path(path).read_bytes())
    try:
        with tf.device("CPU"):
            return Picture(decode(encoded, found.shape[2], found.dtype).numpy())
    except tf.errors.OpError:
        kind = header(io.BytesIO(encoded))
        raise UserError(
            f"damaged or cut off, or of a kind that TensorFlow does not decode ({kind.mode}): save it as PNG"
        ) from None
