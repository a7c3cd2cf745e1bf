"""How large an image may be: told from its header, before anything is decoded."""

import io

from PIL import Image

from ssl_keras.errors import UserError

# TensorFlow decodes a JPEG of at most 2**29 values: 178.9 megapixels of three.
LARGEST = 178.0
JPEG_VALUES = 2**29
MOST_PIXELS = JPEG_VALUES // 3
FREE_PIXELS = 2**23  # what any file may claim, however short: a blank 4K picture is forty bytes of lossless WebP
PIXELS_PER_BYTE = 8256  # 1032 bytes from one are the most that deflate gives, of eight pixels each in a 1-bit PNG

TOO_LARGE = (
    f"the header claims more than {MOST_PIXELS:,} pixels, or more than so short a file can hold: "
    "save it smaller, or as tiles"
)
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")  # a TIFF's size is looked at where its tags are

# Pillow's own limit, of bytes and not of pixels where a TIFF is unpacked, would refuse images below this one.
Image.MAX_IMAGE_PIXELS = None

_limit = LARGEST


def set_limit(megapixels: float) -> None:
    """Sets what every reader of this process refuses from now on, `--max_megapixels`: more than so many."""
    global _limit
    _limit = megapixels


def may_hold(height, width, length):
    """Whether a file of `length` bytes may claim so many pixels: numbers or int64 scalars.

    A header of forty bytes must not ask for gigabytes.
    """
    pixels = height * width
    return (pixels <= MOST_PIXELS) & ((pixels <= FREE_PIXELS) | (pixels <= PIXELS_PER_BYTE * length))


def check_pixels(pixels: int) -> None:
    """Raises UserError for an image of too many pixels."""
    if pixels > _limit * 1e6:
        raise UserError(f"too large: {_megapixels(pixels)}, more than --max_megapixels={_limit:g}")


def _megapixels(pixels: int) -> str:
    return f"{pixels / 1e6:.{1 if pixels >= 1e6 else 4}f} megapixels"


def check_size(encoded: bytes) -> None:
    """Raises UserError for an encoded image, TIFF aside, that is larger than the limit or than TensorFlow decodes."""
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            height, width, values, is_jpeg = *image.size[::-1], len(image.getbands()), encoded[:2] == b"\xff\xd8"
    except Exception:
        return  # what is wrong with it shows when it is decoded
    pixels = height * width
    check_pixels(pixels)
    if is_jpeg and pixels * values > JPEG_VALUES:
        most = JPEG_VALUES / values / 1e6
        raise UserError(
            f"too large: {_megapixels(pixels)} of {values} values, more than the {most:.1f} that TensorFlow "
            "decodes; save it smaller"
        )
    if not may_hold(height, width, len(encoded)):
        raise UserError(TOO_LARGE)
