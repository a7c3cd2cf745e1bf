"""HDF5: a file with one dataset of images, or several and PATH::/NAME to say which. Pictures are read one by one.

Links out of the file, storage outside it and virtual datasets are refused: they would read other files.
"""

import contextlib
import functools
import math
import zlib
from collections.abc import Iterator

from ssl_keras.data.readers.arrays import cast, damage_told, kept_as, pick, stamp, taken, widest
from ssl_keras.data.readers.contract import Facts, Picture, ReadOptions, check_bytes, package
from ssl_keras.errors import UserError

ENDINGS = (".h5", ".hdf5", ".he5")
PACKAGES = ("h5py",)
NATIVE = ("facts", "read")  # h5py is native throughout
SEPARATOR = "::"
SIGNATURE = b"\x89HDF\r\n\x1a\n"
MOST_DATASETS = 1_000
LISTED = 8
GZIP, SHUFFLE, CHECKSUM, LZF = 1, 2, 3, 32000
MOST_INFLATED = 1032  # bytes from one by deflate


def is_one(head: bytes) -> bool:
    """Whether a file that begins so is an HDF5 file."""
    return head.startswith(SIGNATURE)


def facts(path: str, options: ReadOptions) -> Facts:
    """What the dataset of images holds; no picture is read.

    Args:
        path: of a file, and behind "::" the dataset's name in it where it holds several.

    Raises:
        UserError: it is damaged or too large, holds no images or several sets of them, or refers to other files.
    """
    package("h5py", "h5py")
    file, _, name = path.partition(SEPARATOR)
    with damage_told("HDF5"):
        return _known(file, name, *stamp(file), options)[1]


def read(path: str, number: int, options: ReadOptions) -> Picture:
    """One picture.

    Raises:
        UserError: as `facts`; or its chunk is damaged or inflates to more than it may.
    """
    package("h5py", "h5py")
    file, _, name = path.partition(SEPARATOR)
    with damage_told("HDF5"):
        name, found = _known(file, name, *stamp(file), options)
        pick(number, found.count)
        with _opened(file) as opened:
            images = opened[name]
            index = (number,) if images.ndim == 4 or (images.ndim == 3 and images.shape != found.shape) else ()
            _check_chunks(images, index, options)
            return Picture(cast(images[index or ...].reshape(found.shape)))


@functools.lru_cache(maxsize=64)
def _known(file: str, name: str, written: int, length: int, options: ReadOptions) -> tuple[str, Facts]:
    """The dataset's name and what it holds."""
    with _opened(file) as opened:
        name = name or _only(opened, file)
        images = _dataset(opened, name)
        found = taken(images.shape, images.dtype, name)
        encoded = length if images.chunks is None else min(length, max(images.id.get_storage_size(), 1))
        if images.id.get_storage_size() == 0:
            raise UserError(f"damaged HDF5: nothing was ever written to {name}")
        check_bytes(found.shape, widest(images.dtype, found.dtype), encoded, options)
        if images.chunks is not None:
            check_bytes(images.chunks, images.dtype, encoded, options)
        elif math.prod(images.shape) * images.dtype.itemsize > length:
            raise UserError(f"damaged HDF5: it is cut off, {name} claims more than the file's {length:,} bytes")
        return name, found


@contextlib.contextmanager
def _opened(file: str) -> Iterator:
    import h5py

    with h5py.File(file, "r", locking=False) as opened:  # locks fail where a folder may only be read
        yield opened


def _only(opened, file: str) -> str:
    """The name of the one dataset that can hold images."""
    import h5py

    found = []

    def look(name: str, item) -> bool | None:
        if isinstance(item, h5py.Dataset):
            found.append((f"/{name}", item))
        return True if len(found) > MOST_DATASETS else None

    opened.visititems(look)  # follows no soft or external link, and each object once
    images = [(name, item) for name, item in found if _may_be(item)]
    if len(images) == 1:
        return images[0][0]
    listed = ", ".join(f"{name} {list(item.shape or ())}" for name, item in (images or found)[:LISTED])
    if images:
        raise UserError(
            f"it holds {len(images)} datasets that may be images, {listed}: name one, as in "
            f"{file}{SEPARATOR}{images[0][0]}"
        )
    held = listed or "no dataset at all"
    raise UserError(f"it holds no dataset of images: {held}; expected [N, H, W, C] or [N, H, W]")


def _may_be(dataset) -> bool:
    """Whether a dataset is numbers of two to four axes, none of which is too short for a picture's side."""
    try:
        kept_as(dataset.dtype)
    except UserError:
        return False
    shape = dataset.shape or ()
    return (len(shape) in (3, 4) and 0 not in shape) or (len(shape) == 2 and min(shape) > 4)


def _dataset(opened, name: str):
    """The dataset of a name, reached by hard links alone and stored in this file."""
    import h5py

    parts = [part for part in name.split("/") if part]
    for end in range(1, len(parts) + 1):
        here = "/" + "/".join(parts[:end])
        link = opened.get(here, getlink=True)
        if link is None:
            raise UserError(f"it holds no {name}")
        if not isinstance(link, h5py.HardLink):
            raise UserError(f"{here} is a link to another place, which is not followed: name the dataset itself")
    found = opened[name]
    if not isinstance(found, h5py.Dataset):
        raise UserError(f"{name} is a group: name a dataset in it, as in {SEPARATOR}{name}/NAME")
    if found.shape is None:
        raise UserError(f"{name} is empty")
    if found.external or found.is_virtual:
        raise UserError(f"{name} lies in other files, which are not read: save it as one dataset of its own")
    unknown = [number for number in _filters(found) if number not in (GZIP, SHUFFLE, CHECKSUM, LZF)]
    if unknown or _filters(found).count(GZIP) > 1:
        raise UserError(f"{name} is packed by the filter {(unknown or [GZIP])[0]}, not read: save it with gzip")
    return found


def _filters(dataset) -> list[int]:
    plan = dataset.id.get_create_plist()
    return [plan.get_filter(k)[0] for k in range(plan.get_nfilters())]


def _check_chunks(images, index: tuple[int, ...], options: ReadOptions) -> None:
    """Raises UserError where a chunk of a picture could inflate to more than may be, and does: HDF5 has no bound."""
    if images.chunks is None:
        return
    raw = math.prod(images.chunks) * images.dtype.itemsize
    ranges = [range(*_span(index[k] if k < len(index) else None, images.shape[k])) for k in range(images.ndim)]
    corners = [()]
    for span, chunk in zip(ranges, images.chunks):
        starts = range(span.start // chunk * chunk, span.stop, chunk)
        corners = [(*corner, start) for corner in corners for start in starts]
    for corner in corners:
        stored = images.id.get_chunk_info_by_coord(corner)
        if stored.byte_offset is None or stored.size == 0:  # never written: the fill value, which is no measurement
            raise UserError("damaged HDF5: a part of the picture was never written")
        if stored.size > raw + raw // 8 + 4096:
            raise UserError(f"damaged HDF5: a chunk of {raw:,} bytes is stored as {stored.size:,}")
        if GZIP in _filters(images) and stored.size * MOST_INFLATED > options.max_bytes:
            _, packed = images.id.read_direct_chunk(corner)
            if len(zlib.decompressobj().decompress(packed, raw + 64)) > raw + 4:  # 4: the checksum, if there is one
                raise UserError(f"damaged HDF5: a chunk inflates to more than its {raw:,} bytes")


def _span(at: int | None, size: int) -> tuple[int, int]:
    return (0, size) if at is None else (at, at + 1)
