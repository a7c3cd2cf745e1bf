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
FORMATS = ("JPEG", "PNG", "GIF", "BMP")  # a TIFF's size is looked at where its tags are

# Pillow's own limit, of bytes and not of pixels where a TIFF is unpacked, would refuse images below this one.
Image.MAX_IMAGE_PIXELS = None

_limit, _most_bytes = LARGEST, 2**30


def set_limit(megapixels: float, image_bytes: int = 2**30) -> None:
    """Sets what every reader of encoded images in this process refuses from now on: more than `--max_megapixels`, and
    more bytes of pixels than `--max_image_bytes`."""
    global _limit, _most_bytes
    _limit, _most_bytes = megapixels, image_bytes


def may_hold(height, width, length):
    """Whether a file of `length` bytes may claim so many pixels: numbers or int64 scalars.

    A header of forty bytes must not ask for gigabytes.
    """
    pixels = height * width
    return (pixels <= MOST_PIXELS) & ((pixels <= FREE_PIXELS) | (pixels <= PIXELS_PER_BYTE * length))


def check_pixels(pixels: int, each: int = 1) -> None:
    """Raises UserError for an image of too many pixels, or of too many bytes; `each`: bytes of a pixel."""
    if pixels > _limit * 1e6:
        raise UserError(f"too large: {_megapixels(pixels)}, more than --max_megapixels={_limit:g}")
    if pixels * each > _most_bytes:
        raise UserError(
            f"too large: its header claims {pixels * each / 2**20:,.0f} MiB, more than --max_image_bytes={_most_bytes}"
        )


def _megapixels(pixels: int) -> str:
    return f"{pixels / 1e6:.{1 if pixels >= 1e6 else 4}f} megapixels"


def check_size(encoded: bytes) -> None:
    """Raises UserError for an encoded image, TIFF aside, that is larger than the limit or than TensorFlow decodes."""
    try:
        height, width, values = claimed(encoded)
    except Exception:
        return  # what is wrong with it shows when it is decoded
    pixels, is_jpeg = height * width, encoded[:2] == b"\xff\xd8"
    is_deep = encoded[:4] == b"\x89PNG" and encoded[24] == 16  # which Pillow does not tell of colors
    check_pixels(pixels, values * (1 + is_deep))
    if is_jpeg and pixels * values > JPEG_VALUES:
        most = JPEG_VALUES / values / 1e6
        raise UserError(
            f"too large: {_megapixels(pixels)} of {values} values, more than the {most:.1f} that TensorFlow "
            "decodes; save it smaller"
        )
    if not may_hold(height, width, len(encoded)):
        raise UserError(TOO_LARGE)


def claimed(encoded: bytes) -> tuple[int, int, int]:
    """Height, width and values of a pixel that a header claims."""
    if encoded[8:12] == b"WEBP":  # for which Pillow would make room at once
        return _webp(encoded)
    with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
        return *image.size[::-1], len(image.getbands())


def _webp(encoded: bytes) -> tuple[int, int, int]:
    """As `headers.sound_webp` has it; 4 values where there may be an alpha."""
    kind, number = encoded[12:16], lambda at, size: int.from_bytes(encoded[at : at + size], "little")
    if kind == b"VP8X":
        return number(27, 3) + 1, number(24, 3) + 1, 3 + (encoded[20] >> 4 & 1)
    if kind == b"VP8L":
        packed = number(21, 4)
        return (packed >> 14) % 2**14 + 1, packed % 2**14 + 1, 3 + (packed >> 28 & 1)
    return number(28, 2) % 2**14, number(26, 2) % 2**14, 3
