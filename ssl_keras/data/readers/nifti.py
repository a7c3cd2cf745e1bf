"""NIfTI: volumes of voxels in one file, .nii or .nii.gz, cut into slices that lie as a radiologist sees them.

A slice is axial, coronal or sagittal by the file's own affine (the nearest, where it is oblique). It is shown from the
feet, from the front, or from the left: the patient's right is on the picture's left, the front is up (axial), the head
is up (coronal, sagittal), the front is on the left (sagittal). Slices are counted from the feet, the back, the left.
Further axes, such as time, are further volumes, all of whose slices follow; or, with pages="channels", channels.

Values are those of scl_slope and scl_inter; NaN stays. One slice is read at a time; of a .nii.gz all that lies before
it is unpacked each time, so to read many slices of large ones, gunzip them first. NIfTI-1 and -2: nifti.nimh.nih.gov.
"""

import contextlib
import gzip
import io
import math
import os
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ssl_keras.data.readers.contract import Facts, Picture, ReadOptions, check_bytes, package
from ssl_keras.errors import UserError

ENDINGS = (".nii", ".nii.gz")
PACKAGES = ("nibabel",)
NATIVE = ()
GZIP = b"\x1f\x8b"
HEADER = 540  # bytes: of NIfTI-2, whose header is the longer
EXTENSIONS = 2**26  # bytes that may lie between header and voxels
DEFLATE = 1032  # times that gzip may shrink bytes, and no more
PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}  # the axis of the world (right, front, head) that they are cut along
RGB = 128
WHOLE = {"uint8": "uint8", "int8": "int16", "int16": "int16", "uint16": "uint16", "int32": "int32"}
WIDE = ("uint32", "int64", "uint64", "float32", "float64")  # which become float32, exact to 24 bits
MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # of the header's unit of length; unknown: mm, as is the custom


class Volume(NamedTuple):
    """A header, and how pictures are cut from it.

    Args:
        shape: of a volume, three axes.
        volumes: how many there are.
        dtype: of the stored numbers, with their byte order; of RGB: uint8.
        is_rgb: whether a voxel is three of them.
        scale: slope and intercept; None: stored numbers are values.
        start: byte of the unpacked file where the voxels begin.
        axis: that is cut along.
        indices: on it, of the slices.
        rows, columns: the axes that become the picture's.
        turned: which of the axes of a volume are read from their end.
        spacing: height and width of a pixel, mm.
        remark: for the user.
    """

    shape: tuple[int, int, int]
    volumes: int
    dtype: np.dtype
    is_rgb: bool
    scale: tuple[float, float] | None
    start: int
    axis: int
    indices: range
    rows: int
    columns: int
    turned: tuple[int, ...]
    spacing: tuple[float, float] | None
    remark: str | None

    @property
    def volume_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize * (3 if self.is_rgb else 1)

    @property
    def result(self) -> str:
        """The dtype of pictures."""
        if self.scale is None:
            return WHOLE.get(self.dtype.name, "float32")
        if self.dtype.name in WHOLE and all(part.is_integer() for part in self.scale):
            limits = np.iinfo(self.dtype)
            ends = [self.scale[0] * end + self.scale[1] for end in (limits.min, limits.max)]
            for name in ("int16", "int32"):
                if np.iinfo(name).min <= min(ends) and max(ends) <= np.iinfo(name).max:
                    return name
        return "float32"


def is_one(head: bytes) -> bool:
    """Whether a file, packed or not, begins as NIfTI-1 or -2 does."""
    if head[:2] == GZIP:
        try:
            head = zlib.decompressobj(31).decompress(head, HEADER)
        except zlib.error:
            return False
    return _version(head) > 0


def _version(head: bytes) -> int:
    """1 or 2; 0: it is no NIfTI."""
    size = head[:4]
    if size in (struct.pack("<i", 348), struct.pack(">i", 348)) and head[344:348] in (b"n+1\0", b"ni1\0"):
        return 1
    if size in (struct.pack("<i", 540), struct.pack(">i", 540)) and head[4:7] in (b"n+2", b"ni2"):
        return 2
    return 0


def facts(path: str | os.PathLike, options: ReadOptions) -> Facts:
    """What its header says.

    Raises:
        UserError: it is damaged, of a kind that is not read, too large, or nibabel is missing.
    """
    volume = _volume(path, options)
    return Facts(
        count=len(volume.indices) * (1 if options.pages in ("channels", "first") else volume.volumes),
        shape=_shape(volume, options),
        dtype=volume.result,
        spacing=volume.spacing,
        remark=volume.remark,
    )


def read(path: str | os.PathLike, number: int, options: ReadOptions) -> Picture:
    """One slice, in the file's unit.

    Raises:
        UserError: as `facts`, or its voxels are cut off.
    """
    volume = _volume(path, options)
    taken = [number // len(volume.indices)]
    if options.pages == "channels":
        taken = range(volume.volumes) if taken == [0] else ()
    if number < 0 or not taken or taken[0] >= (1 if options.pages == "first" else volume.volumes):
        raise UserError(f"it has no picture of the number {number}")
    index = volume.indices[number % len(volume.indices)]
    slices = [_valued(part, volume) for part in _slices(path, volume, taken, index)]
    return Picture(np.ascontiguousarray(np.concatenate(slices, -1)))


def _shape(volume: Volume, options: ReadOptions) -> tuple[int, int, int]:
    channels = (3 if volume.is_rgb else 1) * (volume.volumes if options.pages == "channels" else 1)
    return volume.shape[volume.rows], volume.shape[volume.columns], channels


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[io.BufferedIOBase]:
    with open(path, "rb") as file:
        is_packed = file.read(2) == GZIP
        file.seek(0)
        yield gzip.GzipFile(fileobj=file) if is_packed else file


def _volume(path: str | os.PathLike, options: ReadOptions) -> Volume:
    package("nibabel", "nibabel")
    try:
        with _opened(path) as file:
            head = file.read(HEADER)
        size, is_packed = os.path.getsize(path), isinstance(file, gzip.GzipFile)
    except OSError as error:
        raise UserError(f"damaged NIfTI: it cannot be read, {error.strerror or error}") from None
    except (EOFError, zlib.error):
        raise UserError("damaged NIfTI: it is cut off within its header") from None
    try:
        volume = _parsed(head, options)
    except UserError:
        raise
    except Exception:  # nibabel's errors share no base class, and numpy's join them over forged affines
        raise UserError("damaged NIfTI: its header cannot be parsed") from None
    needed = volume.start + volume.volumes * volume.volume_bytes
    shape = _shape(volume, options)
    widest = max(np.dtype(volume.result), volume.dtype, key=lambda kind: kind.itemsize)
    check_bytes(shape, widest, size, options)
    check_bytes((*volume.shape[:2], 3 if volume.is_rgb else 1), volume.dtype, size, options)  # as it is read
    if needed > size * (DEFLATE if is_packed else 1):
        found = f"{size:,} bytes found" + (", packed" if is_packed else "")
        raise UserError(f"damaged NIfTI: cut off, its header claims {needed:,} bytes, {found}")
    return volume


def _parsed(head: bytes, options: ReadOptions) -> Volume:
    import nibabel

    version = _version(head)
    if not version:
        raise UserError("it does not begin as NIfTI does: it is damaged, or no NIfTI")
    if head[344:346] == b"ni" if version == 1 else head[4:6] == b"ni":
        raise UserError("NIfTI of two files, .hdr and .img, which is not read: save it as one, .nii")
    kind = nibabel.Nifti1Header if version == 1 else nibabel.Nifti2Header
    # Without nibabel's checks, which write to the log and mend what is not mended for sure.
    header = kind.from_fileobj(io.BytesIO(head[: 348 if version == 1 else HEADER]), check=False)
    axes = int(header["dim"][0])
    shape = tuple(int(side) for side in header["dim"][1 : axes + 1])
    if not 2 <= axes <= 7 or min(shape) < 1:
        raise UserError("damaged NIfTI: its dimensions are none")
    shape = (*shape, 1)[: max(axes, 3)]
    code = int(header["datatype"])
    start = float(header["vox_offset"])
    if not (start.is_integer() and int(header["sizeof_hdr"]) <= start <= EXTENSIONS):
        raise UserError("damaged NIfTI: its voxels are not where it says (vox_offset)")
    dtype = np.dtype(np.uint8) if code == RGB else header.get_data_dtype()
    if dtype.name not in (*WHOLE, *WIDE):
        raise UserError(f"NIfTI of {dtype.name}, which is not read: save it as float32")
    slope, intercept = header.get_slope_inter()
    scale = None if slope is None or code == RGB or (slope, intercept) == (1, 0) else (float(slope), float(intercept))
    if scale and max(map(abs, scale)) * 2.0**64 > float(np.finfo(np.float32).max):
        raise UserError("damaged NIfTI: its scl_slope or scl_inter makes values too large")
    told = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
    return Volume(
        **{"shape": shape[:3], "volumes": math.prod(shape[3:]), "dtype": dtype, "is_rgb": code == RGB, "scale": scale},
        start=int(start),
        **_orientation(header.get_best_affine(), shape[:3], int(header["xyzt_units"]) & 7, told, options.slices),
    )


def _orientation(affine: np.ndarray, shape: tuple[int, ...], unit: int, told: bool, slices: str) -> dict:
    """Fields of `Volume`: how slices are cut and laid.

    Args:
        affine: [4, 4] from voxels to right, front, head.
        shape: of a volume.
        unit: the header's code of its unit of length.
        told: whether the file itself gives the affine.
        slices: the option.
    """
    from nibabel.orientations import io_orientation

    name, _, step = slices.partition(":")
    if name not in PLANES or (step and not (step.isdecimal() and int(step))) or slices.endswith(":"):
        raise UserError(f"slices={slices!r}: expected axial, coronal or sagittal, or axial:4 for each fourth")
    if not np.isfinite(affine).all():
        raise UserError("damaged NIfTI: its affine is no orientation")
    world, signs = io_orientation(affine).T
    if not np.isfinite(world).all():
        raise UserError("damaged NIfTI: its affine is no orientation")
    axis_of = {int(direction): axis for axis, direction in enumerate(world)}
    remarks = [] if told else ["no orientation given: its axes taken for left, front and head"]
    wanted = PLANES[name]
    thin = [direction for direction in range(3) if shape[axis_of[direction]] == 1]
    if len(thin) == 1 and thin[0] != wanted:  # one slice, which has been cut already
        wanted = thin[0]
        remarks.append(f"it is one slice, {next(key for key in PLANES if PLANES[key] == wanted)}: read as such")
    rows, columns = {0: (2, 1), 1: (2, 0), 2: (1, 0)}[wanted]
    # Rows go down and back, columns go left and back: against the world's axes; slices go with them.
    turned = tuple(axis for axis in range(3) if (signs[axis] > 0) != (axis == axis_of[wanted]))
    sides = np.sqrt((affine[:3, :3] ** 2).sum(0)) * MILLIMETRES.get(unit, np.nan)
    spacing = tuple(float(sides[axis_of[direction]]) for direction in (rows, columns))
    return {
        "axis": axis_of[wanted],
        "indices": range(0, shape[axis_of[wanted]], int(step or 1)),
        "rows": axis_of[rows],
        "columns": axis_of[columns],
        "turned": turned,
        "spacing": spacing if all(0 < side < math.inf for side in spacing) else None,
        "remark": "; ".join(remarks) or None,
    }


def _slices(path: str | os.PathLike, volume: Volume, taken: range | list[int], index: int) -> list[np.ndarray]:
    """The slice of so many volumes as stored, each [rows, columns, 1 or 3]."""
    place = volume.shape[volume.axis] - 1 - index if volume.axis in volume.turned else index
    each = 3 if volume.is_rgb else 1
    plane_bytes = volume.volume_bytes // volume.shape[2]
    found = []
    try:
        with _opened(path) as file:
            for number in taken:
                planes = [place] if volume.axis == 2 else range(volume.shape[2])
                parts = []
                for plane in planes:  # of the last axis, one after the other: no more than one is held
                    file.seek(volume.start + number * volume.volume_bytes + plane * plane_bytes)
                    stored = file.read(plane_bytes)
                    if len(stored) < plane_bytes:
                        raise UserError("damaged NIfTI: it is cut off")
                    voxels = np.frombuffer(stored, volume.dtype).reshape(*volume.shape[1::-1], each).swapaxes(0, 1)
                    parts.append(voxels if volume.axis == 2 else voxels.take(place, volume.axis))
                found.append(_laid(parts, volume))
    except (OSError, EOFError, zlib.error):
        raise UserError("damaged NIfTI: it is cut off, or not packed rightly") from None
    return found


def _laid(parts: list[np.ndarray], volume: Volume) -> np.ndarray:
    """Planes, or lines of them, as [rows, columns, ...], upright."""
    left = [axis for axis in range(3) if axis != volume.axis]
    laid = parts[0] if volume.axis == 2 else np.stack(parts, 1)  # the axes that are left, in order
    laid = np.flip(laid, [k for k, axis in enumerate(left) if axis in volume.turned])
    return laid if left[0] == volume.rows else laid.swapaxes(0, 1)


def _valued(stored: np.ndarray, volume: Volume) -> np.ndarray:
    """Values of stored numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        if volume.scale is not None:
            stored = stored * volume.scale[0] + volume.scale[1]  # in 64 bits, where whole numbers stay whole
        return stored.astype(volume.result, copy=False)
