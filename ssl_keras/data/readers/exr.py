"""OpenEXR: images and depth maps of half, float or whole numbers; pixels by the package OpenEXR, 3.3 or later.

Channels come in the order R, G, B, Y, Z and then the others by name. A is no channel: where it is 0 nothing was
rendered, and `valid` says so. The header is read here (openexr.com, "OpenEXR File Layout"): the package would
allocate whatever a header claims.
"""

import os
import struct
from typing import NamedTuple

import numpy as np

from ssl_keras.data.readers.arrays import cast, damage_told, pick
from ssl_keras.data.readers.contract import Facts, Picture, ReadOptions, check_bytes, package
from ssl_keras.errors import UserError

ENDINGS = (".exr",)
PACKAGES = ("OpenEXR",)
NATIVE = ("read",)  # a header is read here
MAGIC = b"v/1\x01"
FIRST = ("R", "G", "B", "Y", "Z")
ALPHA = "A"
DEEP, PARTS = 0x800, 0x1000  # flags
LONGEST_HEADER = 2**20
WHOLE = 0  # the kind of channel; 1: half, 2: float


class _Header(NamedTuple):
    shape: tuple[int, int, int]
    names: tuple[str, ...]  # of the channels, in order
    has_alpha: bool
    dtype: str


def is_one(head: bytes) -> bool:
    """Whether a file that begins so is an OpenEXR file."""
    return head.startswith(MAGIC)


def facts(path: str, options: ReadOptions) -> Facts:
    """One picture of the data window, float32; int32 where all channels are whole numbers.

    Raises:
        UserError: it is damaged, too large, of several parts, of deep pixels, or with channels of lower resolution.
    """
    header = _header(path, options)
    return Facts(1, header.shape, header.dtype, remark=f"channels {', '.join(header.names)}")


def read(path: str, number: int, options: ReadOptions) -> Picture:
    """The picture.

    Raises:
        UserError: as `facts`; or the package OpenEXR is missing.
    """
    package("OpenEXR", "OpenEXR")
    import OpenEXR

    header = _header(path, options)
    pick(number, 1)
    height, width, _ = header.shape
    pixels = np.empty(header.shape, header.dtype)
    valid = None
    with damage_told("OpenEXR file"):
        channels = OpenEXR.File(path, separate_channels=True).channels()
        for k, name in enumerate(header.names):
            values = channels[name].pixels.reshape(height, width)
            is_whole = values.dtype.kind == "u" and header.dtype == "int32"
            pixels[..., k] = cast(values[..., np.newaxis])[..., 0] if is_whole else values
        if header.has_alpha:
            valid = channels[ALPHA].pixels.reshape(height, width) > 0
    return Picture(pixels, None if valid is None or valid.all() else valid)


def _header(path: str, options: ReadOptions) -> _Header:
    with damage_told("OpenEXR file"):
        with open(path, "rb") as file:
            head = file.read(LONGEST_HEADER)
        length = os.path.getsize(path)
        if not is_one(head):
            raise UserError("damaged OpenEXR file: it does not begin like one")
        (flags,) = struct.unpack_from("<I", head, 4)
        if flags & (DEEP | PARTS):
            what = "of deep pixels" if flags & DEEP else "of several parts"
            raise UserError(f"an OpenEXR file {what}, which is not read: save it as one flat image")
        attributes = _attributes(head)
        left, top, right, bottom = struct.unpack("<4i", attributes["dataWindow"])
        kinds = _channels(attributes["channels"])
    height, width = bottom - top + 1, right - left + 1
    names = tuple(sorted(kinds.keys() - {ALPHA}, key=lambda name: (name not in FIRST, _place(name), name)))
    if height < 1 or width < 1 or not names:
        raise UserError(f"damaged OpenEXR file: it claims {width} x {height} pixels of {len(names)} channels")
    check_bytes((height, width, len(kinds)), "float32", length, options)
    dtype = "int32" if all(kinds[name] == WHOLE for name in names) else "float32"
    return _Header((height, width, len(names)), names, ALPHA in kinds, dtype)


def _place(name: str) -> int:
    return FIRST.index(name) if name in FIRST else len(FIRST)


def _attributes(head: bytes) -> dict[str, bytes]:
    """The header's values by name."""
    found, at = {}, 8
    while head[at] != 0:
        name, at = _word(head, at)
        _, at = _word(head, at)  # the type
        (size,) = struct.unpack_from("<i", head, at)
        at += 4
        if size < 0 or at + size >= len(head):
            raise ValueError(f"its header's {name} is cut off")
        found[name] = head[at : at + size]
        at += size
    return found


def _channels(packed: bytes) -> dict[str, int]:
    """Kinds by channel."""
    found, at = {}, 0
    while packed[at] != 0:
        name, at = _word(packed, at)
        kind, _, across, down = struct.unpack_from("<iIii", packed, at)
        at += 16
        if (across, down) != (1, 1):
            raise UserError(f"its channel {name} is of lower resolution than others: save it with as many pixels")
        if kind not in (0, 1, 2):
            raise ValueError(f"its channel {name} is of the unknown kind {kind}")
        found[name] = kind
    return found


def _word(data: bytes, at: int) -> tuple[str, int]:
    """A text that ends in a zero, and where the next thing begins."""
    end = data.index(0, at)
    return data[at:end].decode(), end + 1
