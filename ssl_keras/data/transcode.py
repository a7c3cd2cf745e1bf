"""Image files that TensorFlow cannot decode, or decodes wrongly, rewritten without loss as PNG.

Pillow reads TIFF and animated WebP, `bmp` the BMPs; everything else goes to TensorFlow untouched.
"""

import io
import zlib

import numpy as np
from PIL import Image, ImageOps

from ssl_keras.data.bmp import is_plain, read_bmp
from ssl_keras.data.limits import TOO_LARGE, may_hold

TIFF_MAGIC = (b"II*\0", b"MM\0*")
STRIP_OFFSETS, STRIP_BYTES, BITS, COMPRESSION, PLANAR, PREDICTOR = 273, 279, 258, 259, 284, 317


def decodable(encoded: bytes) -> bytes:
    """The same image in a format that `decode` reads: what `needs_python` becomes PNG, the rest passes through.

    Raises:
        ValueError: the file is damaged, or of a kind that is not read.
    """
    if not needs_python(encoded):
        return encoded
    if encoded[:4] in TIFF_MAGIC:
        name, read = "TIFF", _tiff_pixels
    elif encoded[:2] == b"BM":
        name, read = "BMP", read_bmp
    else:
        name, read = "WebP", _first_webp_frame
    try:
        return _as_png(read(encoded))
    except ValueError:
        raise
    except Exception as error:  # libraries raise whatever a damaged file leads them to
        raise ValueError(f"damaged {name}: {str(error) or type(error).__name__}") from None


def needs_python(encoded: bytes) -> bool:
    """Whether this is an image that TensorFlow alone does not decode rightly: TIFF, odd BMP, animated WebP."""
    if encoded[:4] in TIFF_MAGIC:
        return True
    if encoded[:2] == b"BM":
        return not is_plain(encoded)
    return encoded[8:16] == b"WEBPVP8X" and len(encoded) > 20 and encoded[20] & 2 != 0


def _first_webp_frame(encoded: bytes) -> np.ndarray:
    """uint8 [H, W, 3 or 4] of an animated WebP, upright."""
    image = Image.open(io.BytesIO(encoded), formats=["WEBP"])
    if not may_hold(image.height, image.width, len(encoded)):
        raise ValueError(TOO_LARGE)
    image.info.pop("xmp", None)  # in which Pillow would look for an orientation too
    return np.asarray(ImageOps.exif_transpose(image))


def _tiff_pixels(encoded: bytes) -> np.ndarray:
    """uint8 or uint16 [H, W, 1, 3 or 4], upright."""
    image = Image.open(io.BytesIO(encoded))
    bits = image.tag_v2.get(BITS, (1,))
    if len(bits) > 1 and max(bits) > 8:
        return _deep_colour_tiff(encoded, image)
    if image.mode in ("F", "I"):
        raise ValueError(f"TIFF of {bits[0]}-bit numbers: expected 8 or 16 bit; save as .npy, float32 from 0 to 1")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., np.newaxis]
    has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    mode = "RGBA" if has_alpha else "L" if image.mode in ("1", "L") else "RGB"
    return np.atleast_3d(np.asarray(image.convert(mode)))


def _deep_colour_tiff(encoded: bytes, image: Image.Image) -> np.ndarray:
    """Pixels of a 16-bit colour TIFF, of which Pillow itself would drop the lower eight bits: uint16 [H, W, 3 or 4]."""
    tags = image.tag_v2
    compression, predictor = tags.get(COMPRESSION, 1), tags.get(PREDICTOR, 1)
    if (
        set(tags[BITS]) != {16}
        or compression not in (1, 8, 32946)
        or predictor not in (1, 2)
        or tags.get(PLANAR, 1) != 1
        or STRIP_OFFSETS not in tags
    ):
        raise ValueError("16-bit colour TIFF that is tiled, planar or not ZIP-compressed: save as 16-bit PNG or .npy")
    strips = [encoded[at : at + size] for at, size in zip(tags[STRIP_OFFSETS], tags[STRIP_BYTES])]
    if compression != 1:
        strips = [zlib.decompress(strip) for strip in strips]
    order = "<u2" if encoded[:2] == b"II" else ">u2"
    shape = (image.height, image.width, len(tags[BITS]))
    samples = np.frombuffer(b"".join(strips), order)
    if samples.size < np.prod(shape):
        raise ValueError("truncated TIFF")
    pixels = samples[: np.prod(shape)].reshape(shape).astype(np.uint16)
    if predictor == 2:  # each value is stored as its difference from the pixel to the left
        pixels = np.cumsum(pixels, axis=1, dtype=np.uint16)
    return pixels


def _as_png(pixels: np.ndarray) -> bytes:
    import tensorflow as tf

    with tf.device("CPU"):
        return tf.io.encode_png(np.ascontiguousarray(pixels), compression=1).numpy()
