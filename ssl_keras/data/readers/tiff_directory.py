"""TIFF directories, looked at before a library is: where they lie, and whether what they claim can be.

TIFF 6.0 (Adobe, 1992) and BigTIFF. A forged directory makes tifffile follow circles, and read the same megabytes for
each of a thousand tags.
"""

import os
import struct
from typing import NamedTuple

from ssl_keras.errors import UserError

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: BigTIFF
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
MOST_TAGS = 4096
MOST_BLOCKS = 2**22  # strips or tiles of a page
BLOCK_TAGS = (273, 279, 324, 325)
NEEDED = range(254, 348)  # tags without which pixels would be read wrongly; a private one may be broken
LARGE = 2**16  # bytes of a value from which on values may not share their place
SOI, EOI, SOS, SOF = 0xD8, 0xD9, 0xDA, (0xC0, 0xC1, 0xC2)


class Frame(NamedTuple):
    """What the bytes of a packed strip or tile say of themselves."""

    width: int
    height: int
    samples: int
    bits: int
    is_signed: bool


def directories(path: str) -> list[int]:
    """Where the pages' directories lie, in the file's order; without SubIFDs, which hold smaller copies.

    Raises:
        UserError: the file is no TIFF, is cut off, or its directories form a circle or claim what cannot be.
        OSError, struct.error: the file cannot be read.
    """
    length = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(16)
        if head[:4] not in MAGIC:
            raise UserError("damaged TIFF: it does not begin like one")
        order, is_big = "<" if head[:2] == b"II" else ">", 43 in head[2:4]
        if is_big and struct.unpack_from(order + "HH", head, 4) != (8, 0):
            raise UserError("damaged TIFF: a BigTIFF whose offsets are not of 8 bytes")
        (at,) = struct.unpack_from(order + ("Q" if is_big else "I"), head, 8 if is_big else 4)
        found: dict[int, None] = {}
        shared = 0
        while at:
            if at in found:
                raise UserError("damaged TIFF: its pages form a circle")
            found[at] = None
            at, large = _directory(file, at, order, is_big, length)
            shared += large
            if shared > 2 * length:
                raise UserError("damaged TIFF: the values of its tags overlap")
    if not found:
        raise UserError("damaged TIFF: it holds no page")
    return list(found)


def _directory(file, at: int, order: str, is_big: bool, length: int) -> tuple[int, int]:
    """Where the next directory lies (0: nowhere), and the bytes of this one's large values."""
    number, entry, place = ("Q", "HHQ", "Q") if is_big else ("H", "HHI", "I")
    number_size, entry_size, room = (8, 20, 8) if is_big else (2, 12, 4)
    file.seek(at)
    head = file.read(number_size)
    if at + number_size > length or len(head) < number_size:
        raise UserError("damaged TIFF: it is cut off")
    (count,) = struct.unpack(order + number, head)
    if not 0 < count <= MOST_TAGS:
        raise UserError(f"damaged TIFF: a page of {count} tags")
    body = file.read(count * entry_size + room)
    if len(body) < count * entry_size + room:
        raise UserError("damaged TIFF: it is cut off")
    large = 0
    for start in range(0, count * entry_size, entry_size):
        tag, kind, values = struct.unpack_from(order + entry, body, start)
        size = SIZES.get(kind, 0) * values
        if size > room:
            (there,) = struct.unpack_from(order + place, body, start + entry_size - room)
            if there + size > length and tag in NEEDED:
                raise UserError(f"damaged TIFF: it is cut off, the value of tag {tag} lies beyond its end")
        if tag in NEEDED and (kind not in SIZES or values == 0):
            raise UserError(f"damaged TIFF: tag {tag} has no value of a known kind")
        if tag in BLOCK_TAGS and values > MOST_BLOCKS:
            raise UserError(f"damaged TIFF: it claims {values:,} strips or tiles")
        large += size if LARGE < size <= length else 0
    return struct.unpack_from(order + place, body, count * entry_size)[0], large


def jpeg_frame(packed: bytes) -> Frame | None:
    """The size that a JPEG claims, or None where it does not say so or is of a kind other than sequential or
    progressive."""
    at = 2 if packed[:2] == bytes((0xFF, SOI)) else len(packed)
    while at + 4 <= len(packed):
        if packed[at] != 0xFF:
            return None
        marker = packed[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker in SOF:
            if at + 10 > len(packed):
                return None
            bits, height, width, samples = struct.unpack_from(">BHHB", packed, at + 4)
            return Frame(width, height, samples, bits, False)
        if marker in (SOS, EOI, SOI) or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            return None
        at += 2 + int.from_bytes(packed[at + 2 : at + 4], "big")
    return None


def j2k_frame(packed: bytes) -> Frame | None:
    """The size that a raw JPEG 2000 codestream claims, or None where it is none."""
    if packed[:4] != b"\xff\x4f\xff\x51" or len(packed) < 42:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", packed, 8)
    samples, depth = struct.unpack_from(">HB", packed, 40)
    return Frame(right - left, bottom - top, samples, (depth & 0x7F) + 1, depth > 0x7F)
