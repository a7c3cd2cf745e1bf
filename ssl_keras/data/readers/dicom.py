"""DICOM: medical images of any modality, in the unit that the scanner measured, HU of a CT (PS3.3, PS3.5, PS3.10).

What is stored becomes a picture in this order: numbers that stand for nothing measured (PixelPaddingValue) are masked;
bits that are not used are dropped; the modality's table or slope and intercept make measured values of them; a palette
or YBR becomes RGB; MONOCHROME1, where the least is white, is turned about: its value v becomes least + greatest - v, of
those that its header admits, so that what was not negative stays so, but a unit is lost (floats without a range: -v).

Never applied is what is meant for a screen: window, VOI table, overlays. Each frame is a picture. Of the header's text
nothing is kept but a hash of the patient's id, as the group. Ultrasound and screenshots may have names in their pixels.
"""

import os
import struct

import numpy as np

from ssl_keras.data.readers.contract import Facts, Picture, ReadOptions
from ssl_keras.data.readers.dicom_codecs import PACKINGS
from ssl_keras.data.readers.dicom_frames import check, stored_frame
from ssl_keras.data.readers.dicom_header import Header
from ssl_keras.data.readers.dicom_header import header as header_of
from ssl_keras.errors import UserError

ENDINGS = (".dcm", ".dicom", ".ima")
PACKAGES = ("pydicom",)
NATIVE = ("read",)  # libjpeg, OpenJPEG, CharLS: a header is parsed by pydicom alone
LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT")  # whose length has 4 bytes
SHORT = b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()


def is_one(head: bytes) -> bool:
    """Whether a file begins as DICOM does, or as a data set of DICOM without a preamble, little-endian."""
    if head[128:132] == b"DICM":
        return True
    first = _element(head, 0)
    if first is None or first[0][0] not in (0x0002, 0x0008) or first[0][1] > 0x0100:
        return False
    second = _element(head, first[1])
    return second is not None and first[0] < second[0] and second[0][0] <= 0x0010


def _element(head: bytes, at: int) -> tuple[tuple[int, int], int] | None:
    """The tag of an element and where the next one begins; None: it is none, or of more than 1,024 bytes."""
    if len(head) < at + 12:
        return None
    group, element, kind, short, long = struct.unpack_from("<HH2sHI", head, at)
    if kind in LONG:
        length, start = long, at + 12
    elif kind in SHORT:
        length, start = short, at + 8
    else:  # implicit
        length, start = struct.unpack_from("<I", head, at + 4)[0], at + 8
    return ((group, element), start + length) if length <= 1024 and length % 2 == 0 else None


def facts(path: str | os.PathLike, options: ReadOptions) -> Facts:
    """What its header says. `remark`: where values are turned about, or colors among them are masked.

    Raises:
        UserError: it is damaged, of a kind that is not read, or lacks a package.
        NoPictureError: it is a report, a segmentation, a dose, ...: no image.
    """
    header = _checked(path, options)
    remarks = []
    if header.photometric == "MONOCHROME1":
        remarks.append("MONOCHROME1, whose least value is white: turned about")
    if header.first_colour is not None:
        remarks.append(f"stored values from {header.first_colour} on stand for colors: masked")
    return Facts(
        count=header.frames,
        shape=(header.rows, header.columns, 3 if header.palette is not None else header.samples),
        dtype=_dtype(header),
        group=header.group,
        spacing=header.spacing,
        remark="; ".join(remarks) or None,
    )


def read(path: str | os.PathLike, number: int, options: ReadOptions) -> Picture:
    """One frame, in the unit of its modality; `valid`: False where it is padded.

    Raises:
        UserError: as `facts`, or this frame is damaged.
    """
    header = _checked(path, options)
    if not 0 <= number < header.frames:
        raise UserError(f"it has {header.frames} pictures: none of the number {number}")
    try:
        found = stored_frame(path, header, number)
    except OSError as error:
        raise UserError(f"it cannot be read: {error.strerror}") from None
    if header.is_float:
        return _floats(found, header)
    stored = _used_bits(found, header)
    if header.samples == 3:
        return Picture(stored.astype(_dtype(header), copy=False))
    valid = _valid(found, stored, header)
    if header.palette is not None:
        return Picture(header.palette.of(stored), valid)
    return Picture(_measured(stored, header, number)[..., None], valid)


def _checked(path: str | os.PathLike, options: ReadOptions) -> Header:
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise UserError(f"it cannot be read: {error.strerror}") from None
    if not is_one(head):
        raise UserError("it does not begin as DICOM does: it is damaged, or no DICOM")
    header = header_of(path)
    check(header, _dtype(header), options)
    return header


def _range(header: Header) -> tuple[int, int]:
    """The least and the greatest number that may be stored."""
    if header.is_signed:
        return -(2 ** (header.stored - 1)), 2 ** (header.stored - 1) - 1
    return 0, 2**header.stored - 1


def _measured_range(header: Header, scale: tuple[float, float]) -> tuple[float, float]:
    ends = [scale[0] * end + scale[1] for end in _range(header)]
    return min(ends), max(ends)


def _dtype(header: Header) -> str:
    """Of the pictures: the smallest that holds all that the header admits, so that it is one for all frames."""
    if header.is_float:
        return "float32"
    if header.palette is not None or header.table is not None:
        return (header.palette or header.table).entries.dtype.name
    scales = header.scales or ((1.0, 0.0),)
    ends = [end for scale in scales for end in _measured_range(header, scale)]
    if max(map(abs, ends)) > float(np.finfo(np.float32).max):
        raise UserError("damaged DICOM: its rescale slope makes values too large")
    if all(part.is_integer() for scale in scales for part in scale):
        for dtype in ("uint8", "uint16", "int16", "int32"):
            if np.iinfo(dtype).min <= min(ends) and max(ends) <= np.iinfo(dtype).max:
                return dtype
    return "float32"


def _used_bits(found: np.ndarray, header: Header) -> np.ndarray:
    """Stored numbers without what stands in the bits above."""
    packing = PACKINGS.get(header.syntax)
    if packing and packing.name in ("JPEG 2000", "HTJ2K", "JPEG-LS"):  # which know their bits themselves
        least, greatest = _range(header)
        if found.min() < least or found.max() > greatest:
            raise UserError(f"damaged DICOM: its frame holds numbers of more than the {header.stored} bits it claims")
        return found
    above = header.bits - header.stored
    return (found << above) >> above if above else found


def _valid(found: np.ndarray, stored: np.ndarray, header: Header) -> np.ndarray | None:
    """False where the number is a padding's, with the unused bits or without: some pad 12 bits with -2000."""
    if header.padding is None:
        valid = None
    else:
        first, last = header.padding
        valid = ~(((found >= first) & (found <= last)) | ((stored >= first) & (stored <= last)))
    if header.first_colour is not None:
        gray = stored < header.first_colour
        return gray if valid is None else valid & gray
    return valid


def _measured(stored: np.ndarray, header: Header, number: int) -> np.ndarray:
    is_turned = header.photometric == "MONOCHROME1"
    if header.table is not None:
        entries = header.table.entries
        values = header.table.of(stored)
        # Neither overflows: what is subtracted is one of those that stand in the table.
        return entries.min() + (entries.max() - values) if is_turned else values
    scale = header.scales[number if len(header.scales) > 1 else 0] if header.scales else (1.0, 0.0)
    dtype = _dtype(header)
    if scale == (1.0, 0.0) and not is_turned:
        return stored.astype(dtype, copy=False)
    slope, intercept = scale
    if is_turned:
        slope, intercept = -slope, sum(_measured_range(header, scale)) - intercept
    # Whole numbers of up to 32 bits, times a whole slope, are exact in 64-bit floats.
    return (stored * float(slope) + intercept).astype(dtype)


def _floats(found: np.ndarray, header: Header) -> Picture:
    valid = None
    if header.padding is not None:
        valid = ~((found >= header.padding[0]) & (found <= header.padding[1]))
    with np.errstate(over="ignore"):
        values = found.astype(np.float32)
    return Picture((-values if header.photometric == "MONOCHROME1" else values)[..., None], valid)
