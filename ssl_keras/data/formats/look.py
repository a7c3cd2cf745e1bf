"""What an encoded image is, by its header, and whether images that are stored in color are gray."""

import struct
from collections.abc import Iterable
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

GRAY_PNG = (0, 4)  # color types: gray, gray with alpha


class Header(NamedTuple):
    """What a header says: height and width as stored, px, channels (1 or 3), bits of each (8 or 16), and Pillow's name
    for what the channels are."""

    size: tuple[int, int]
    channels: int
    bits: int
    mode: str


def header(file: BinaryIO) -> Header:
    """That of an encoded image, TIFF aside, of which the first bytes alone are read.

    Raises:
        Exception: whatever Pillow raises where it is none.
    """
    head = file.read(26)
    if head.startswith(b"\x89PNG"):  # Pillow does not tell the depth of a color PNG
        width, height, depth, color = struct.unpack(">IIBB", head[16:26])
        mode = {0: "L", 4: "LA", 6: "RGBA"}.get(color, "RGB")
        return Header((height, width), 1 if color in GRAY_PNG else 3, 16 if depth == 16 else 8, mode)
    file.seek(0)
    image = Image.open(file)
    return Header((image.height, image.width), 1 if image.mode in ("1", "L", "LA") else 3, 8, image.mode)


def is_gray(pixels: np.ndarray) -> bool:
    """Whether all channels of an image [H, W, C] are the same; what was not measured in one was not in the others."""
    first = pixels[..., :1]
    return bool(((pixels == first) | ((pixels != pixels) & (first != first))).all())


def are_gray(images: Iterable[np.ndarray]) -> bool:
    """Whether there are images, and all are gray; the first that is not ends the look."""
    found = None
    for pixels in images:
        found = is_gray(pixels)
        if not found:
            break
    return bool(found)
