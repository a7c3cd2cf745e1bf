"""What a DICOM file's header says of its pixels, in numbers alone: nothing that names a person or a study is kept.

The attributes are those of PS3.3 (C.7.6.3 Image Pixel, C.11.1 Modality LUT, C.7.5.1.1.2 padding, C.7.6.16.2 functional
groups of enhanced images); the file is one of PS3.10, or a data set without its preamble.
"""

import dataclasses
import functools
import hashlib
import logging
import math
import os
import warnings

import numpy as np

from ssl_keras.data.readers.contract import NoPictureError, package
from ssl_keras.data.readers.dicom_file import (
    BIG_ENDIAN,
    FLOATS,
    PLAIN,
    UNDEFINED,
    BoundedFile,
    damage_told,
    pixels_at,
)
from ssl_keras.data.readers.dicom_tables import Table, modality_table, palette
from ssl_keras.errors import UserError

SALT = b"ssl_keras, DICOM patient: "
NO_IMAGES = {  # begins of SOP classes that may hold pixel data, and are no images
    "1.2.840.10008.1.3.10": "a DICOMDIR, an index of other files",
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation",
    "1.2.840.10008.5.1.4.1.1.66.7": "a segmentation",
    "1.2.840.10008.5.1.4.1.1.481.": "a radiotherapy plan or dose",
    "1.2.840.10008.5.1.4.1.1.88.": "a structured report",
    "1.2.840.10008.5.1.4.1.1.11.": "a presentation state",
    "1.2.840.10008.5.1.4.1.1.9.": "a waveform",
    "1.2.840.10008.5.1.4.1.1.104.": "an encapsulated document",
}
RADIOTHERAPY_IMAGE = "1.2.840.10008.5.1.4.1.1.481.1"
COLOURS = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}
GRAYS = {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"}
PALETTES = tuple(f"{c}PaletteColorLookupTable{k}" for c in ("Red", "Green", "Blue") for k in ("Descriptor", "Data"))
KINDS = {0: "", 32: "Float", 64: "DoubleFloat"}  # of padding, by the bits of floats
PADDINGS = tuple(f"{kind}PixelPadding{what}" for kind in KINDS.values() for what in ("Value", "RangeLimit"))
WANTED = (
    *("SOPClassUID", "PatientID", "Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration", "PixelPresentation"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "PixelSpacing", "ImagerPixelSpacing"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "SegmentedRedPaletteColorLookupTableData"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", *PALETTES, *PADDINGS),
)


@dataclasses.dataclass(frozen=True)
class Header:
    """What the header says.

    Args:
        rows, columns, samples, frames: of the pixels; samples: 1 or 3.
        bits, stored: that are allocated for a sample, 8, 16, 32 (or 64), and that are used, the lowest.
        is_signed, is_float: what numbers they are.
        photometric: what they mean, as DICOM names it.
        is_planar: all red, then all green, all blue, where nothing packs them.
        syntax: UID of how they are packed and which byte comes first.
        start, length, left: bytes of the file: where the pixels begin, how many they are, all frames (None: it does
            not say, as where they are packed), and how many the file has from there on.
        offsets: where frames begin and how long they are, where the file says so in its extended table.
        padding: least and greatest stored number of pixels that nothing was measured at; None: none.
        scales: (slope, intercept), one for all frames, or one for each; (): none.
        table: in place of a scale; None: none.
        palette: colors of stored numbers, [entries, 3]; None: none.
        first_colour: stored numbers from this on stand for colors among gray; None: none do.
        spacing: height and width of a pixel, mm.
        group: hash of the patient.
    """

    rows: int
    columns: int
    samples: int
    frames: int
    bits: int
    stored: int
    is_signed: bool
    is_float: bool
    photometric: str
    is_planar: bool
    syntax: str
    start: int
    length: int | None
    left: int
    offsets: tuple[bytes, bytes] | None
    padding: tuple[float, float] | None
    scales: tuple[tuple[float, float], ...]
    table: Table | None
    palette: Table | None
    first_colour: int | None
    spacing: tuple[float, float] | None
    group: str | None


def header(path: str | os.PathLike) -> Header:
    """What a file's header says; that of the last files is remembered, as a file of many frames is read often.

    Raises:
        UserError: the file is damaged or of a kind that is not read.
        NoPictureError: it is none that holds pictures.
    """
    package("pydicom", "pydicom")
    # Both would print what stands in headers.
    warnings.filterwarnings("ignore", module="pydicom")
    logging.getLogger("pydicom").propagate = False
    try:
        state = os.stat(path)
        return _header(os.fspath(path), state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise UserError(f"it cannot be read: {error.strerror}") from None


@functools.lru_cache(maxsize=16)
def _header(path: str, _size: int, _changed: int) -> Header:
    from pydicom import dcmread

    with open(path, "rb") as opened:
        file = BoundedFile(opened)
        with damage_told("its header cannot be parsed"):
            data = dcmread(file, stop_before_pixels=True, force=True, specific_tags=list(WANTED))
            kind = str(data.get("SOPClassUID") or data.file_meta.get("MediaStorageSOPClassUID") or "")
            _check_kind(kind)
            is_implicit, is_little = data.original_encoding
            syntax = str(data.file_meta.get("TransferSyntaxUID") or _syntax(is_implicit, is_little))
            pixels = pixels_at(file, ">" if syntax == BIG_ENDIAN else "<")
            if pixels is None:
                if file.tell() <= file.size and not file.is_cut_off and "Rows" not in data:
                    raise NoPictureError("DICOM without pixels: no image")
                raise UserError("damaged DICOM: it ends before its pixels")
            return _checked(data, syntax, *pixels, file.size)


def _check_kind(kind: str) -> None:
    for begin, what in NO_IMAGES.items():
        if kind.startswith(begin) and kind != RADIOTHERAPY_IMAGE:
            raise NoPictureError(f"DICOM, but {what}, no image")


def _syntax(is_implicit: bool, is_little: bool) -> str:
    return PLAIN[0] if is_implicit else PLAIN[1] if is_little else BIG_ENDIAN


def _checked(data, syntax: str, tag: int, start: int, length: int, size: int) -> Header:
    """The header's numbers, each of which may be."""
    photometric = str(data.get("PhotometricInterpretation") or "").strip()
    samples = _whole(data, "SamplesPerPixel", 1)
    is_float = tag in FLOATS
    bits = FLOATS[tag] if is_float else _whole(data, "BitsAllocated")
    stored = bits if is_float else _whole(data, "BitsStored")
    is_signed = not is_float and _whole(data, "PixelRepresentation", 0) == 1
    if photometric not in COLOURS | GRAYS:
        named = photometric if photometric.replace("_", "").isalnum() and len(photometric) <= 16 else "an unknown kind"
        raise UserError(f"DICOM in colors of {named}, which are not read: save it as MONOCHROME2 or RGB")
    if samples != (3 if photometric in COLOURS else 1) or (samples == 3 and (is_signed or is_float)):
        raise UserError(f"DICOM of {samples} samples a pixel, {photometric}: expected 1 of gray, or 3 of color")
    if bits == 1:
        raise UserError("DICOM of 1 bit a pixel, which is not read: save it with 8")
    if bits not in (8, 16, 32, 64) or (bits == 64 and not is_float) or not 1 <= stored <= bits:
        raise UserError(f"DICOM of {stored} bits in {bits}: expected 1 to 32 in 8, 16 or 32")
    if not is_float and _whole(data, "HighBit", stored - 1) != stored - 1:
        raise UserError("DICOM whose numbers are not in the lowest bits (HighBit), which is not read")
    rows, columns = _whole(data, "Rows"), _whole(data, "Columns")
    frames = _whole(data, "NumberOfFrames", 1) or 1
    if min(rows, columns, frames) < 1:
        raise UserError("damaged DICOM: it claims no pixels")
    tables = (data.get("ExtendedOffsetTable"), data.get("ExtendedOffsetTableLengths"))
    shared, own = _groups(data)
    gray = photometric != "PALETTE COLOR" and samples == 1 and not is_float
    table = modality_table(data, syntax == BIG_ENDIAN, is_signed) if gray and data.get("ModalityLUTSequence") else None
    is_mixed = data.get("PixelPresentation") in ("COLOR", "MIXED") and gray and PALETTES[0] in data
    return Header(
        **{"rows": rows, "columns": columns, "samples": samples, "frames": frames, "bits": bits, "stored": stored},
        **{"is_signed": is_signed, "is_float": is_float, "photometric": photometric, "syntax": syntax, "start": start},
        is_planar=samples == 3 and _whole(data, "PlanarConfiguration", 0) == 1,
        length=None if length == UNDEFINED else length,
        left=size - start,
        offsets=tables if all(isinstance(part, bytes) and part for part in tables) else None,
        padding=_padding(data, is_signed, bits if is_float else 0),
        scales=_scales(data, shared, own, frames) if gray and table is None else (),
        table=table,
        palette=palette(data, syntax == BIG_ENDIAN, is_signed) if photometric == "PALETTE COLOR" else None,
        first_colour=int(data[PALETTES[0]].value[1]) if is_mixed else None,
        spacing=_spacing(data, shared),
        group=_group(data),
    )


def _whole(data, keyword: str, default: int | None = None) -> int:
    """A whole number of the header."""
    value = data.get(keyword)
    if value is None or value == "":
        if default is None:
            raise UserError(f"damaged DICOM: it lacks {keyword}")
        return default
    if int(value) != value:
        raise UserError(f"damaged DICOM: its {keyword} is no whole number")
    return int(value)


def _groups(data) -> tuple[list, list]:
    """Functional groups of all frames, and of each: enhanced images keep there what others keep at the top."""
    return (list(data.get(f"{kind}FunctionalGroupsSequence") or ()) for kind in ("Shared", "PerFrame"))


def _scales(data, shared: list, own: list, frames: int) -> tuple[tuple[float, float], ...]:
    def scale(place):
        slope, intercept = place.get("RescaleSlope"), place.get("RescaleIntercept")
        if slope is None and intercept is None:
            return None
        slope, intercept = float(1 if slope is None else slope), float(intercept or 0)
        if not (math.isfinite(slope) and math.isfinite(intercept) and slope):
            raise UserError("damaged DICOM: its rescale slope or intercept is no number")
        return slope, intercept

    def within(group):
        return scale(item[0]) if (item := group.get("PixelValueTransformationSequence")) else None

    top = next((found for found in [scale(data), *map(within, shared)] if found), None)
    each = [within(group) or top for group in own]
    if len(set(each)) < 2:  # most often
        found = (each or [top])[0]
        return (found,) if found else ()
    if len(each) != frames or None in each:
        raise UserError("damaged DICOM: some of its frames have a rescale slope, and some have none")
    return tuple(each)


def _padding(data, is_signed: bool, float_bits: int) -> tuple[float, float] | None:
    kind = KINDS[float_bits]
    first = data.get(f"{kind}PixelPaddingValue")
    if first is None:
        return None
    last = data.get(f"{kind}PixelPaddingRangeLimit")
    ends = [float(value) for value in (first, first if last is None else last)]
    if not float_bits:  # some write -2000 as 63536, and the other way round
        ends = [int(np.uint16(int(end) & 0xFFFF).astype(np.int16 if is_signed else np.uint16)) for end in ends]
    return min(ends), max(ends)


def _spacing(data, shared: list) -> tuple[float, float] | None:
    measures = [item[0].get("PixelSpacing") for group in shared if (item := group.get("PixelMeasuresSequence"))]
    for found in (data.get("PixelSpacing"), *measures, data.get("ImagerPixelSpacing")):
        if found and len(found) == 2 and all(0 < float(side) < math.inf for side in found):
            return float(found[0]), float(found[1])
    return None


def _group(data) -> str | None:
    """A hash of the patient's id, the same in every run; whoever knows an id can tell which group is its."""
    if "PatientID" not in data:
        return None
    value = data.get_item("PatientID").value
    patient = (value if isinstance(value, bytes) else str(value or "").encode()).strip(b" \0")
    return hashlib.sha256(SALT + patient).hexdigest()[:16] if patient else None
