"""A DICOM file's bytes: never more than it has, and where its pixels begin (PS3.5, 7.1)."""

import contextlib
import os
import struct
from collections.abc import Iterator

from ssl_keras.errors import UserError

FLOATS = {0x7FE00008: 32, 0x7FE00009: 64}  # elements of float pixels, and their bits
PIXELS = {0x7FE00010, *FLOATS}
BIG_ENDIAN = "1.2.840.10008.1.2.2"
PLAIN = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", BIG_ENDIAN)
UNDEFINED = 0xFFFFFFFF
SMALL = 2**16  # bytes, whose room is given without a look at the file
MOST_READS = 2**20  # two or so for an element: a file of empty ones would take minutes


class BoundedFile:
    """A file that never gives room for more bytes than it has, whatever length a damaged element claims.

    Args:
        file: open for reading bytes.
        is_strict: whether fewer bytes than asked for are an error.
    """

    def __init__(self, file, is_strict: bool = False):
        self.tell, self.seek, self._read = file.tell, file.seek, file.read
        self.size = os.fstat(file.fileno()).st_size
        self.is_strict = is_strict
        self.is_cut_off = False  # whether it ended within what was asked for
        self._reads = 0

    def read(self, count: int = -1) -> bytes:
        if count < 0:  # pydicom reads all that is left only to inflate it, to any size
            raise UserError("DICOM of the deflated transfer syntax, which is not read: save it as explicit VR")
        self._reads += 1
        if self._reads > MOST_READS:
            raise UserError("damaged DICOM: its header has no end")
        found = self._read(count if count <= SMALL else min(count, max(self.size - self.tell(), 0)))
        if len(found) < count:
            if self.is_strict:
                raise UserError("damaged DICOM: it is cut off")
            self.is_cut_off |= bool(found) or count > 8  # at the end of all, 8 bytes of a next element are asked for
        return found


@contextlib.contextmanager
def damage_told(what: str) -> Iterator[None]:
    """Whatever pydicom and its decoders raise over a damaged file, as a UserError; their own words may quote names."""
    try:
        yield
    except UserError:
        raise
    except Exception:  # of any kind: they share no base class
        raise UserError(f"damaged DICOM: {what}") from None


def pixels_at(file: BoundedFile, order: str) -> tuple[int, int, int] | None:
    """Tag, start and length of the element that the file stands before; None: it is at its end."""
    head = file.read(8)
    if len(head) < 8:
        return None
    group, element = struct.unpack(order + "HH", head[:4])
    length = head[4:]
    if head[4:6] in (b"OB", b"OW", b"OF", b"OD", b"UN"):  # an implicit length is even, these read as one are not
        length = file.read(4)
    tag = group << 16 | element
    if tag not in PIXELS:
        return None
    return tag, file.tell(), struct.unpack(order + "I", length)[0]
