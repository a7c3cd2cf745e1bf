"""NPZ: archives of arrays, in the form of MedMNIST, of Keras' MNIST, or with one array of images.

Headers are read by numpy's own functions and pickles never. An archive is inflated once and its arrays are kept.

J. Yang et al., "MedMNIST v2", Scientific Data 2023: arrays train_images, train_labels, val_images, ....
"""

import collections
import functools
import io
import math
import threading
import zipfile
from typing import NamedTuple

import numpy as np

from ssl_keras.data.readers.arrays import cast, damage_told, pick, stamp, taken
from ssl_keras.data.readers.contract import Facts, Picture, ReadOptions, check_bytes
from ssl_keras.errors import UserError

ENDINGS = (".npz",)
PACKAGES = ()
NATIVE = ()
SPLITS = ("train", "val", "test")
FORMS = (("{}_images", "{}_labels"), ("x_{}", "y_{}"))  # images and labels of a split: MedMNIST, Keras
LONGEST_HEADER = 16_384
MOST_MEMBERS = 10_000
READ_HEADER = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class Member(NamedTuple):
    """An array of an archive, as its header says."""

    file: str
    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype
    start: int  # of the numbers, in its inflated bytes
    packed: int  # bytes in the archive


class _Split(NamedTuple):
    images: str
    labels: str | None
    facts: Facts


def is_one(head: bytes) -> bool:
    """Whether a file that begins so is an archive whose first member is an array."""
    if head[:4] != b"PK\3\4" or len(head) < 30:
        return False
    return head[30 : 30 + int.from_bytes(head[26:28], "little")].endswith(b".npy")


def splits(path: str) -> dict[str, tuple[str, str | None]]:
    """Names of the arrays of images and of labels by split, in the order in which `read` counts: train, val, test.

    An archive of one array of images has the split "train" alone.

    Raises:
        UserError: it is damaged, or it cannot be told which array holds the images.
    """
    return {name: (found.images, found.labels) for name, found in _splits(path).items()}


def counts(path: str) -> dict[str, int]:
    """How many images each split has, in the order of `splits`. Raises UserError as `splits` does."""
    return {name: found.facts.count for name, found in _splits(path).items()}


def labels(path: str, split: str, options: ReadOptions | None = None) -> np.ndarray | None:
    """int64 [N], the class of each image of a split, or None: there are none, or several for an image.

    Raises:
        UserError: it is damaged, there is no such split, or labels are no whole numbers.
    """
    found = _splits(path)
    if split not in found:
        raise UserError(f"it has no split {split!r}: it has {', '.join(found)}")
    if found[split].labels is None:
        return None
    values = _loaded(path, found[split].labels, options or ReadOptions())
    if values.ndim > 1 and values.size != len(values):
        return None
    if values.dtype.kind not in "iub":
        raise UserError(f"{found[split].labels} holds {values.dtype.name}: expected whole numbers")
    return values.reshape(-1).astype(np.int64)


def facts(path: str, options: ReadOptions) -> Facts:
    """All images of all splits. No array is inflated.

    Raises:
        UserError: it is damaged or too large, its splits differ in the size of their images, or it cannot be told
            which array holds the images.
    """
    found = _splits(path)
    for split in found.values():
        _check(_members(path, *_stamp(path))[split.images], options)
    kinds = {(split.facts.shape, split.facts.dtype) for split in found.values()}
    if len(kinds) > 1:
        names = ", ".join(f"{split.images} of {' x '.join(map(str, split.facts.shape))}" for split in found.values())
        raise UserError(f"its arrays hold images of different kinds: {names}; save each as an .npy file")
    first = next(iter(found.values()))
    counts = [split.facts.count for split in found.values()]
    told = ", ".join(f"{name} {count}" for name, count in zip(found, counts)) if len(found) > 1 else first.facts.remark
    return Facts(sum(counts), first.facts.shape, first.facts.dtype, remark=told)


def read(path: str, number: int, options: ReadOptions) -> Picture:
    """One image, counted through train, val and test.

    Raises:
        UserError: as `facts`.
    """
    found = facts(path, options)
    pick(number, found.count)
    for split in _splits(path).values():
        if number < split.facts.count:
            images = _loaded(path, split.images, options)
            is_whole = images.ndim == 2 or (split.facts.count == 1 and images.shape == split.facts.shape)
            return Picture(cast((images if is_whole else images[number]).reshape(found.shape)))
        number -= split.facts.count
    raise AssertionError("counts do not add up")


def _splits(path: str) -> dict[str, _Split]:
    members = _members(path, *_stamp(path))
    for images, targets in FORMS:
        named = [split for split in SPLITS if images.format(split) in members]
        if named:
            return {split: _split(members, images.format(split), targets.format(split)) for split in named}
    pictures = [name for name, member in members.items() if len(member.shape) in (3, 4)]
    pictures = pictures or [name for name, member in members.items() if len(member.shape) == 2]
    if len(pictures) != 1:
        held = ", ".join(f"{name} {list(member.shape)}" for name, member in list(members.items())[:8]) or "no array"
        raise UserError(
            f"it holds {held}: expected train_images (and val_images, test_images), or one array of images; save the "
            "images by np.save"
        )
    shape = members[pictures[0]].shape
    counted = [
        name
        for name, member in members.items()
        if len(shape) > 2 and member.shape in ((shape[0],), (shape[0], 1)) and member.dtype.kind in "iu"
    ]
    return {"train": _split(members, pictures[0], counted[0] if len(counted) == 1 else "")}


def _split(members: dict[str, Member], images: str, targets: str) -> _Split:
    member, labelled = members[images], members.get(targets)
    if labelled and (not labelled.shape or not member.shape or labelled.shape[0] != member.shape[0]):
        raise UserError(f"{targets} is {list(labelled.shape)}: expected one for each image of {images}")
    found = taken(member.shape, member.dtype, images, is_counted=labelled is not None)
    return _Split(images, targets if labelled else None, found)


def _stamp(path: str) -> tuple[int, int]:
    with damage_told("NPZ"):
        return stamp(path)


@functools.lru_cache(maxsize=64)
def _members(path: str, written: int, length: int) -> dict[str, Member]:
    """Arrays by name."""
    with damage_told("NPZ"), zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        if len(infos) > MOST_MEMBERS:
            raise UserError(f"it holds {len(infos):,} arrays: expected one array of images")
        return {info.filename.removesuffix(".npy"): _member(archive, info, length) for info in infos}


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, length: int) -> Member:
    name = info.filename.removesuffix(".npy")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others inflate without bound
        raise UserError(f"{name} is packed in a way that numpy does not write: save it by np.savez_compressed")
    with archive.open(info) as file:
        head = io.BytesIO(file.read(LONGEST_HEADER))  # numpy would read whatever length the header claims
    version = np.lib.format.read_magic(head)
    if version not in READ_HEADER:
        raise UserError(f"{name} has the .npy version {version[0]}.{version[1]}: expected plain numbers")
    shape, is_fortran, dtype = READ_HEADER[version](head)
    if dtype.hasobject:
        raise UserError(f"{name} holds Python objects, which are never unpickled: expected plain numbers")
    if any(not 0 <= size < 2**48 for size in shape) or len(shape) > 32:
        raise UserError(f"damaged NPZ: {name} claims the shape {shape}")
    claimed = head.tell() + math.prod(shape) * dtype.itemsize
    if claimed != info.file_size:
        raise UserError(f"damaged NPZ: {name} claims {claimed:,} bytes, and the archive {info.file_size:,}")
    return Member(info.filename, shape, is_fortran, dtype, head.tell(), min(info.compress_size, length))


def _check(member: Member, options: ReadOptions) -> None:
    check_bytes(member.shape, member.dtype, member.packed, options)


_KEPT: collections.OrderedDict[tuple, np.ndarray] = collections.OrderedDict()
_LOCK = threading.Lock()


def _loaded(path: str, name: str, options: ReadOptions) -> np.ndarray:
    """An array, read only. Those used last are kept, together `options.max_bytes` at most but for one."""
    written, length = _stamp(path)
    key = path, written, length, name
    member = _members(path, written, length)[name]
    _check(member, options)
    with _LOCK:  # held while inflating, so that threads that want the same array do it once
        if key not in _KEPT:
            _KEPT[key] = _inflated(path, member)
        _KEPT.move_to_end(key)
        while len(_KEPT) > 1 and sum(array.nbytes for array in _KEPT.values()) > options.max_bytes:
            _KEPT.popitem(last=False)
        return _KEPT[key]


def _inflated(path: str, member: Member) -> np.ndarray:
    wanted = member.start + math.prod(member.shape) * member.dtype.itemsize
    with damage_told("NPZ"), zipfile.ZipFile(path) as archive, archive.open(member.file) as file:
        found = file.read(wanted)
        file.read(1)  # at its end the checksum is compared
        if len(found) != wanted:
            raise UserError(f"damaged NPZ: {member.file} is cut off")
        flat = np.frombuffer(found, member.dtype, offset=member.start)
        return flat.reshape(member.shape, order="F" if member.is_fortran else "C")
