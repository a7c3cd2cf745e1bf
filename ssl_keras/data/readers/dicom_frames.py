"""The numbers of one frame of a DICOM file, as they are stored; only that frame is read, and its own size first.

RLE (PS3.5 G) is unpacked here, no further than the frame's size; other packings are those of `dicom_codecs`.
"""

import os
import struct

import numpy as np

from ssl_keras.data.readers.contract import ReadOptions, check_bytes
from ssl_keras.data.readers.dicom_codecs import PACKINGS, RLE, decoded, needs, rgb
from ssl_keras.data.readers.dicom_file import BIG_ENDIAN, PLAIN, BoundedFile, damage_told
from ssl_keras.data.readers.dicom_header import Header
from ssl_keras.errors import UserError

SMALLEST_FRAME = 10  # bytes: an item's tag and length, and two of the frame's own
PADDING = 4096  # bytes that may follow the last frame


def check(header: Header, dtype: str, options: ReadOptions) -> None:
    """Raises UserError where a frame would not be decoded: too large, not in the file, packed in an unknown way.

    Args:
        header: of the file.
        dtype: of the picture that is made of a frame.
        options: with the most bytes of a picture.
    """
    channels = 3 if header.palette is not None else header.samples
    widest = max(np.dtype(dtype), np.dtype(f"u{header.bits // 8}"), key=lambda kind: kind.itemsize)
    encoded = min(header.left, header.left if header.length is None else header.length)
    check_bytes((header.rows, header.columns, channels), widest, encoded, options)
    if header.syntax in PLAIN:
        _check_plain(header)
    else:
        _check_packed(header)


def _check_plain(header: Header) -> None:
    if header.length is None:
        raise UserError("damaged DICOM: its pixels are packed, and its transfer syntax says that they are not")
    if header.syntax == BIG_ENDIAN and header.bits == 8:  # whose bytes some swap in pairs, and some do not
        raise UserError("DICOM of 8 bits, big-endian, which is not read: save it as explicit VR little-endian")
    frame = _frame_bytes(header)
    needed = frame * header.frames
    if needed > min(header.length, header.left):
        raise UserError(f"damaged DICOM: cut off, {needed:,} bytes of pixels expected, {header.left:,} found")
    if header.length - needed > min(PADDING, frame - 1):
        raise UserError("damaged DICOM: it has more pixels than its header claims")


def _check_packed(header: Header) -> None:
    packing = PACKINGS.get(header.syntax)
    if packing is None:
        raise UserError("DICOM of a transfer syntax that is not read (video?): save it as explicit VR or JPEG 2000")
    if header.length is not None or header.is_float:
        raise UserError("damaged DICOM: its pixels are not packed, and its transfer syntax says that they are")
    if header.frames * SMALLEST_FRAME > header.left:
        raise UserError(f"damaged DICOM: it claims {header.frames:,} frames, in {header.left:,} bytes")
    if "YBR" in header.photometric and header.bits != 8:
        raise UserError(f"DICOM of {header.photometric} in {header.bits} bits, which is not read: save it as RGB")
    needs(header, header.stored)


def _frame_bytes(header: Header) -> int:
    """Bytes of a frame that is not packed."""
    pixels = header.rows * header.columns
    if header.photometric == "YBR_FULL_422":  # two pixels share their blue and red
        return pixels * 2 * header.bits // 8
    return pixels * header.samples * header.bits // 8


def stored_frame(path: str | os.PathLike, header: Header, number: int) -> np.ndarray:
    """One frame: [H, W] or, of colors, RGB [H, W, 3]; of the bits and the sign that the header says.

    Bits above those that are used may hold anything where the frame is not packed as JPEG 2000 or JPEG-LS.

    Raises:
        UserError: it is damaged or cut off, or its own size is not the header's.
    """
    with open(path, "rb") as opened:
        file = BoundedFile(opened, is_strict=True)
        file.seek(header.start)
        if header.syntax in PLAIN:
            file.seek(header.start + number * _frame_bytes(header))
            return _plain(file.read(_frame_bytes(header)), header)
        from pydicom.encaps import get_frame

        with damage_told("its frames are not where it says"):
            frame = get_frame(file, number, number_of_frames=header.frames, extended_offsets=header.offsets)
    if PACKINGS[header.syntax] is RLE:
        return rgb(_run_lengths(frame, header), header)
    return decoded(frame, header)


def _plain(stored: bytes, header: Header) -> np.ndarray:
    kind = "f" if header.is_float else "i" if header.is_signed else "u"
    order = ">" if header.syntax == BIG_ENDIAN else "<"
    found = np.frombuffer(stored, f"{order}{kind}{header.bits // 8}").astype(f"{kind}{header.bits // 8}")
    shape = header.rows, header.columns
    if header.photometric == "YBR_FULL_422":
        if header.columns % 2 or header.bits != 8:
            raise UserError("damaged DICOM: YBR_FULL_422 of an odd width or of other than 8 bits")
        first, second, blue, red = np.moveaxis(found.reshape(header.rows, -1, 4), -1, 0)
        luma = np.stack([first, second], -1).reshape(shape)
        found = np.stack([luma, blue.repeat(2, 1), red.repeat(2, 1)], -1)
    elif header.samples == 1:
        found = found.reshape(shape)
    else:
        found = np.moveaxis(found.reshape(3, *shape), 0, -1) if header.is_planar else found.reshape(*shape, 3)
    return rgb(found, header)


def _run_lengths(frame: bytes, header: Header) -> np.ndarray:
    """A frame of one segment a byte of each sample, the high byte first."""
    each, pixels = header.bits // 8, header.rows * header.columns
    count = header.samples * each
    if len(frame) < 64 or struct.unpack_from("<I", frame)[0] != count:
        raise UserError(f"damaged DICOM: its RLE frame has not the {count} segments that it needs")
    begins = [*struct.unpack_from(f"<{count}I", frame, 4), len(frame)]
    segments = [_unpacked(frame[begins[k] : begins[k + 1]], pixels) for k in range(count)]
    planes = np.stack([np.frombuffer(segment, np.uint8) for segment in segments], -1)
    planes = planes.reshape(header.rows, header.columns, header.samples, each)
    found = planes.view(f">{'i' if header.is_signed else 'u'}{each}")[..., 0]
    found = found.astype(found.dtype.newbyteorder("="))
    return found[..., 0] if header.samples == 1 else found


def _unpacked(segment: bytes, count: int) -> bytearray:
    """So many bytes: runs of one byte, and bytes as they are."""
    found, at = bytearray(), 0
    while len(found) < count and at < len(segment):
        head = segment[at]
        if head < 128:
            found += segment[at + 1 : at + 2 + head]
            at += 2 + head
        else:
            found += segment[at + 1 : at + 2] * (257 - head if head > 128 else 0)
            at += 2 if head > 128 else 1
    if len(found) < count:
        raise UserError("damaged DICOM: a segment of its RLE frame is cut off")
    return found[:count]
