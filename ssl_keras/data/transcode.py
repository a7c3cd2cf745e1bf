"""Image files that TensorFlow cannot decode, or decodes wrongly, rewritten without loss as PNG.

Pillow reads these; everything else goes to TensorFlow untouched.
"""

import io

import numpy as np
from PIL import Image

from ssl_keras.data.size import check_size
from ssl_keras.data.tiff import is_tiff, tiff_pixels


def decodable(encoded: bytes) -> bytes:
    """The same image in a format that `decode` reads: TIFF and palette BMP become PNG, the rest passes through.

    Raises:
        ValueError: it is too large, damaged, or a TIFF of a kind that is not read.
    """
    if is_tiff(encoded):
        return _as_png(tiff_pixels(encoded))
    check_size(encoded)
    if not needs_python(encoded):
        return encoded
    try:
        return _as_png(np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB")))
    except (OSError, SyntaxError) as error:
        raise ValueError(f"damaged BMP: {error}") from None


def needs_python(encoded: bytes) -> bool:
    """Whether this is an image that TensorFlow alone does not decode rightly."""
    # It takes a BMP's palette indices for gray levels.
    is_palette = encoded[:2] == b"BM" and len(encoded) > 30 and int.from_bytes(encoded[28:30], "little") < 24
    return is_palette or is_tiff(encoded)


def _as_png(pixels: np.ndarray) -> bytes:
    import tensorflow as tf

    with tf.device("CPU"):
        return tf.io.encode_png(np.ascontiguousarray(pixels), compression=1).numpy()
