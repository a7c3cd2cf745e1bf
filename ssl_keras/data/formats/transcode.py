"""Image files that TensorFlow cannot decode, or decodes wrongly, rewritten without loss as PNG.

`tiff` reads TIFF, `bmp` odd BMPs, Pillow animated WebP; everything else goes to TensorFlow untouched.
"""

import io

import numpy as np
from PIL import Image, ImageOps

from ssl_keras.data.apart import pool
from ssl_keras.data.formats.bmp import is_plain, read_bmp
from ssl_keras.data.formats.size import check_size, claimed
from ssl_keras.data.formats.tiff import tiff_pixels
from ssl_keras.data.formats.tiff_kind import is_tiff
from ssl_keras.errors import UserError


def decodable(encoded: bytes) -> bytes:
    """The same image in a format that `decode` reads: what `needs_python` becomes PNG, the rest passes through.

    Raises:
        UserError: the file is too large, damaged, or of a kind that is not read.
    """
    if is_tiff(encoded):
        return _as_png(tiff_pixels(encoded))
    check_size(encoded)
    if not needs_python(encoded):
        return encoded
    name, read = ("BMP", read_bmp) if encoded[:2] == b"BM" else ("WebP", _webp_apart)
    try:
        return _as_png(read(encoded))
    except (ValueError, pool.EndedError):
        raise
    except Exception as error:  # libraries raise whatever a damaged file leads them to
        raise UserError(f"damaged {name}: {str(error) or type(error).__name__}") from None


def needs_python(encoded: bytes) -> bool:
    """Whether this is an image that TensorFlow alone does not decode rightly: TIFF, odd BMP, animated WebP."""
    if encoded[:2] == b"BM":
        return not is_plain(encoded)
    return is_tiff(encoded) or (encoded[8:16] == b"WEBPVP8X" and len(encoded) > 20 and encoded[20] & 2 != 0)


def _webp_apart(encoded: bytes) -> np.ndarray:
    height, width, _ = claimed(encoded)
    return pool.call(_first_webp_frame, encoded, size=4 * height * width)


def _first_webp_frame(encoded: bytes) -> np.ndarray:
    """uint8 [H, W, 3 or 4] of an animated WebP, upright."""
    image = Image.open(io.BytesIO(encoded), formats=["WEBP"])
    image.info.pop("xmp", None)  # in which Pillow would look for an orientation too
    return np.asarray(ImageOps.exif_transpose(image))


def _as_png(pixels: np.ndarray) -> bytes:
    import tensorflow as tf

    with tf.device("CPU"):
        return tf.io.encode_png(np.ascontiguousarray(pixels), compression=1).numpy()
