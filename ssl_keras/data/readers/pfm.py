"""PFM: portable float maps, one or three channels of float32, as depth and optical-flow sets use them.

P. Debevec, "Portable FloatMap image format" (http://www.pauldebevec.com/Research/HDR/PFM/): a header of three lines,
then rows from the bottom up, little endian where the scale is negative.
"""

import os
import re

import numpy as np

from ssl_keras.data.readers.arrays import damage_told, pick
from ssl_keras.data.readers.contract import Facts, Picture, ReadOptions, check_bytes
from ssl_keras.errors import UserError

ENDINGS = (".pfm",)
PACKAGES = ()
NATIVE = ()
CHANNELS = {b"PF": 3, b"Pf": 1}
HEADER = re.compile(rb"(PF|Pf)\s+(\d{1,9})\s+(\d{1,9})\s+([-+]?[\d.]{1,30}(?:[eE][-+]?\d{1,3})?)\s")
LONGEST_HEADER = 128
LINE_END = 2  # bytes that some writers leave behind the pixels


def is_one(head: bytes) -> bool:
    """Whether a file that begins so is a PFM."""
    return HEADER.match(head[:LONGEST_HEADER]) is not None


def facts(path: str, options: ReadOptions) -> Facts:
    """One picture, float32, of one channel or three. The scale's size is told and not applied.

    Raises:
        UserError: it is damaged, cut off or too large.
    """
    shape, _, scale, _ = _header(path, options)
    told = None if abs(scale) == 1 else f"its header names the scale {abs(scale):g}, by which nothing is multiplied"
    return Facts(1, shape, "float32", remark=told)


def read(path: str, number: int, options: ReadOptions) -> Picture:
    """The picture, the top row first.

    Raises:
        UserError: as `facts`.
    """
    shape, start, scale, _ = _header(path, options)
    pick(number, 1)
    with damage_told("PFM"):
        values = np.fromfile(path, "<f4" if scale < 0 else ">f4", int(np.prod(shape)), offset=start)
        return Picture(np.ascontiguousarray(values.reshape(shape)[::-1], np.float32))


def _header(path: str, options: ReadOptions) -> tuple[tuple[int, int, int], int, float, int]:
    """(H, W, C), where the pixels start, the scale with its sign, the file's length."""
    with damage_told("PFM"):
        with open(path, "rb") as file:
            head = file.read(LONGEST_HEADER)
        length = os.path.getsize(path)
        found = HEADER.match(head)
        if not found:
            raise UserError("damaged PFM: expected the lines PF or Pf, width and height, scale")
        kind, width, height, scale = found.groups()
        shape, scale = (int(height), int(width), CHANNELS[kind]), float(scale)
    if 0 in shape or scale == 0 or not np.isfinite(scale):
        raise UserError(f"damaged PFM: it claims {shape[1]} x {shape[0]} pixels, scale {scale:g}")
    check_bytes(shape, "float32", length, options)
    beyond = length - found.end() - 4 * shape[0] * shape[1] * shape[2]
    if beyond < 0:
        raise UserError(f"damaged PFM: it is cut off, {-beyond:,} bytes are missing")
    if beyond > LINE_END:
        raise UserError(f"damaged PFM: {beyond:,} bytes are left over after {shape[1]} x {shape[0]} pixels")
    return shape, found.end(), scale, length
