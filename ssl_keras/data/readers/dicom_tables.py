"""Lookup tables of DICOM: what a stored number measures (PS3.3 C.11.1), and its color (C.7.6.3.1.5)."""

from typing import NamedTuple

import numpy as np

from ssl_keras.errors import UserError


class Table(NamedTuple):
    """What stored numbers become: those below the first as the first, those beyond the last as the last.

    Args:
        first: the stored number of the first entry.
        entries: uint8 or uint16 [entries] or, of a palette, [entries, 3].
    """

    first: int
    entries: np.ndarray

    def of(self, stored: np.ndarray) -> np.ndarray:
        """The entries of whole numbers of any shape."""
        return self.entries[np.clip(stored.astype(np.int64) - self.first, 0, len(self.entries) - 1)]


def modality_table(data, is_big: bool, is_signed: bool) -> Table:
    """The table that turns stored numbers into measured ones.

    Args:
        data: pydicom data set.
        is_big: whether its bytes are big-endian.
        is_signed: whether stored numbers are.

    Raises:
        UserError: it is none.
    """
    item = data["ModalityLUTSequence"].value[0]
    count, first, bits = _descriptor(item["LUTDescriptor"].value, is_signed)
    return Table(first, _entries(item["LUTData"].value, count, bits, is_big))


def palette(data, is_big: bool, is_signed: bool) -> Table:
    """The colors of stored numbers.

    Raises:
        UserError: it lacks them, or they are in segments.
    """
    if "SegmentedRedPaletteColorLookupTableData" in data:
        raise UserError("DICOM of a palette in segments, which is not read: save it as RGB")
    columns, first = [], 0
    for colour in ("Red", "Green", "Blue"):
        names = [f"{colour}PaletteColorLookupTable{what}" for what in ("Descriptor", "Data")]
        if not all(name in data for name in names):
            raise UserError("damaged DICOM: it lacks its palette")
        count, first, bits = _descriptor(data[names[0]].value, is_signed)
        columns.append(_entries(data[names[1]].value, count, bits, is_big))
    if len({len(column) for column in columns}) > 1:
        raise UserError("damaged DICOM: the colors of its palette are not as many")
    return Table(first, np.stack(columns, -1))


def _descriptor(value, is_signed: bool) -> tuple[int, int, int]:
    """Entries, first stored number, and bits of an entry."""
    count, first, bits = (int(part) for part in value)
    if not (0 <= count < 2**16 and 1 <= bits <= 16):
        raise UserError("damaged DICOM: a lookup table of it says no size")
    first = first - 2**16 if is_signed and first >= 2**15 else first  # some write it unsigned
    return count or 2**16, first, bits


def _entries(value, count: int, bits: int, is_big: bool) -> np.ndarray:
    """Entries, which are numbers, or bytes of one or two an entry, whatever bits they need."""
    if not isinstance(value, bytes):
        found = np.atleast_1d(np.asarray(value)).astype(np.int64) & 0xFFFF
    elif len(value) >= 2 * count:
        found = np.frombuffer(value, ">u2" if is_big else "<u2", count).astype(np.int64)
    elif is_big:
        raise UserError("DICOM of a lookup table of bytes in big-endian words, which is not read")
    else:
        found = np.frombuffer(value, np.uint8)[:count].astype(np.int64)
    if len(found) < count:
        raise UserError("damaged DICOM: a lookup table of it is cut off")
    found = found[:count]
    if bits <= 8:  # some leave the low byte of a word empty
        return (found >> 8 if found.max() > 255 else found).astype(np.uint8)
    return found.astype(np.uint16)
