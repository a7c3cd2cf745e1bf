"""What a reader is asked, and what it tells."""

import dataclasses
import importlib.util
import math

import numpy as np

from ssl_keras.errors import UserError

DTYPES = ("uint8", "uint16", "int16", "int32", "float32")  # of pictures; others become the next that holds them
PAGES = ("channels", "images", "first")
GIB = 2**30
PACKED = 2000  # times that a picture may be larger than its encoded bytes


class NoPictureError(UserError):
    """The file is whole and of a known kind, and holds no picture."""


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """What is asked of all readers alike.

    Args:
        pages: what several pages (or frames) of a file are, where the file itself does not say: "channels" of one
            picture, "images", "first": only the first is read; None: not told, and such a file is refused.
        slices: how a volume becomes pictures: the axis of the slices and which of them: "axial", "coronal" or
            "sagittal", or "axial:4" for each fourth.
        max_bytes: of the decoded pixels of one file's picture; what claims more is refused before it is decoded.
    """

    pages: str | None = None
    slices: str = "axial"
    max_bytes: int = GIB


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a file's header says.

    Args:
        count: pictures in it.
        shape: (H, W, C) of each.
        dtype: of the pictures as `read` gives them, one of `DTYPES`.
        group: what its pictures have in common, such as a patient: a hash, never a name or an id; None: not known.
        spacing: height and width of a pixel, mm (DICOM, NIfTI) or as the format has it; None: not known.
        remark: what was taken for what, for the user; None: nothing to say.
    """

    count: int
    shape: tuple[int, int, int]
    dtype: str
    group: str | None = None
    spacing: tuple[float, float] | None = None
    remark: str | None = None


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture.

    Args:
        pixels: [H, W, C] in the file's own unit (HU, mm, DN, ...), one of `DTYPES`, native byte order.
        valid: bool [H, W], False where nothing was measured, as the file itself says (padding, nodata); None: it says
            nothing. Values that are not finite need not be told apart.
    """

    pixels: np.ndarray
    valid: np.ndarray | None = None


def check_bytes(shape: tuple[int, ...], dtype: np.dtype | str, encoded: int, options: ReadOptions) -> None:
    """Raises UserError where a header's dimensions ask for more than may be, or more than the file can hold.

    Args:
        shape, dtype: of all that would be decoded at once.
        encoded: length of the encoded bytes.
    """
    wanted = math.prod(shape) * np.dtype(dtype).itemsize
    if wanted > options.max_bytes:
        raise UserError(
            f"too large: its header claims {' x '.join(map(str, shape))} values, {wanted / 2**20:,.0f} MiB, more than "
            f"--max_image_bytes={options.max_bytes}"
        )
    if wanted > max(encoded, 1) * PACKED:
        raise UserError(
            f"its header claims {wanted / 2**20:,.0f} MiB of pixels, and the file has {encoded:,} bytes: it is "
            "damaged, or no image"
        )


def package(name: str, install: str) -> None:
    """Raises UserError with the pip line where a package is missing.

    Args:
        name: that Python imports.
        install: that pip installs.
    """
    if importlib.util.find_spec(name) is None:
        raise UserError(f"this needs the package {install}: pip install {install}, or -r requirements-imaging.txt")
