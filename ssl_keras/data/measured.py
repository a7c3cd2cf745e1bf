"""Files whose numbers are measurements, read by `data.readers`, as images of any size and of one number of channels."""

import functools
import hashlib
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from ssl_keras.data.apart.pool import CrashError
from ssl_keras.data.formats.decode import LUMA
from ssl_keras.data.formats.look import are_gray, is_gray
from ssl_keras.data.formats.tiff_kind import is_tiff, why_not_plain
from ssl_keras.data.known_facts import facts_of
from ssl_keras.data.readers import REGISTRY, guarded
from ssl_keras.data.readers.contract import Facts, NoPictureError, Picture, ReadOptions
from ssl_keras.errors import UserError
from ssl_keras.words import counted, listing, shown

VOLUMES = ("dicom", "nifti")  # readers of files whose images are slices or frames of one thing
TIFFS_LOOKED_AT = 32  # spread over a folder, to see whether the quick way reads them rightly
COLORS_LOOKED_AT = 100  # images of three channels, to see whether these are the same, as long as none is not

_options = ReadOptions()


def use(options: ReadOptions) -> None:
    """Sets what every reader of this process is asked from now on."""
    global _options
    _options = options


def options() -> ReadOptions:
    """What every reader of this process is asked."""
    return _options


class Row(NamedTuple):
    """An image: its file, and its number there."""

    file: int
    number: int


class Rows(Sequence):
    """A `Row` for each image, made when it is asked for.

    Args:
        counts: int [N], images in each file.

    Attributes:
        file: int64 [M], the file of each image.
    """

    def __init__(self, counts: np.ndarray):
        self.file = np.repeat(np.arange(len(counts)), counts)
        self._first = np.cumsum(counts) - counts

    def __len__(self) -> int:
        return len(self.file)

    def __getitem__(self, i: int) -> Row:
        file = int(self.file[i])
        return Row(file, int(i % len(self) - self._first[file]))


class Measured:
    """The pictures of some files of a folder.

    Args:
        root: the folder.
        paths: of the files below it.
        names: the reader of each.

    Attributes:
        rows: the images. A file that cannot be read is one of them, so that it is counted and named as such; one that
            holds no picture is none.
        channels: of most images. Gray becomes color, or color gray, where most are; an image of any other number is
            one that cannot be read.
        dtype: uint8 where all files have it; uint16 where all are ordinary images of 16 bits, else float32: exact for
            whole numbers up to 2^24.
        shapes: int [N, 2], height and width, px; 0 where it is not known.
        remarks: what is to be said of the files.
    """

    def __init__(self, root: str, paths: Sequence[str], names: Sequence[str]):
        self._root, self._paths, self._names = root, paths, names
        self._readers = {name: REGISTRY.load(name) for name in set(names)}
        self._crashed: dict[Row, str] = {}  # by which image a decoder crashed, and how: it would do so in each epoch
        found = facts_of(root, paths, lambda i: guarded.facts(self._reader(i), self._path(i), _options), _options)
        self._facts = [facts if isinstance(facts, Facts) else None for facts in found]
        empty = [i for i, facts in enumerate(found) if isinstance(facts, NoPictureError)]
        said: dict[str, int] = {}
        for i, facts in enumerate(self._facts):
            if facts and facts.remark:
                said.setdefault(facts.remark, i)
        counts = np.array([facts.count if facts else 1 for facts in self._facts], np.int64)
        counts[empty] = 0
        self.rows = Rows(counts)
        images, dtypes = Counter(), set()
        for facts in filter(None, self._facts):
            images[facts.shape[2]] += facts.count
            dtypes.add(facts.dtype)
        self.channels = images.most_common(1)[0][0] if images else 1
        only = dtypes.pop() if len(dtypes) == 1 else "float32"
        self.dtype = only if only == "uint8" or (only == "uint16" and set(names) == {"picture"}) else "float32"
        sizes = np.array([facts.shape[:2] if facts else (0, 0) for facts in self._facts], np.int64).reshape(-1, 2)
        self.shapes = sizes[self.rows.file]
        self.remarks = [f"{remark}; first: {shown(os.path.basename(paths[i]))}" for remark, i in said.items()]
        if empty:
            first = shown(f"{os.path.basename(paths[empty[0]])}: {found[empty[0]]}")
            self.remarks.append(f"{counted(len(empty), 'file')} without a picture; first: {first}")
        kinds = Counter(names)
        self.remarks.insert(0, f"files: {listing({name: str(count) for name, count in sorted(kinds.items())})}")

    def take_one_of_gray(self) -> None:
        """Makes one channel of three where they are the same in all images that are looked at."""
        if self.channels == 3 and are_gray(self._sampled(COLORS_LOOKED_AT)):
            self.channels = 1
            self.remarks.append("gray images saved in color: 1 channel (--channels=3 keeps three)")

    def read(self, row: Row) -> np.ndarray:
        """An image, [H, W, channels] of `dtype`; what was not measured is NaN in float32.

        Raises:
            UserError: it cannot be read; the message says why.
        """
        picture = self.picture(row)
        pixels = _with_channels(picture.pixels, self.channels)
        if self.dtype != "float32":
            return np.ascontiguousarray(pixels, self.dtype)
        pixels = pixels.astype(np.float32)
        if picture.valid is not None:
            pixels[~picture.valid] = np.nan
        return pixels

    def picture(self, row: Row) -> Picture:
        """An image as its file has it.

        Raises:
            UserError: it cannot be read; the message says why.
        """
        if row in self._crashed:
            raise UserError(self._crashed[row])
        path, known = self._path(row.file), self._facts[row.file]
        try:
            return guarded.read(self._reader(row.file), path, row.number, _options, known)
        except CrashError as error:
            self._crashed[row] = str(error)
            raise

    def facts(self, file: int) -> Facts | None:
        """What the header of a file says; None: it cannot be read, or holds no picture."""
        return self._facts[file]

    def describe(self, row: Row) -> str:
        facts = self._facts[row.file]
        several = facts is not None and facts.count > 1
        return self._path(row.file) + f"[{row.number}]" * several

    def _path(self, file: int) -> str:
        return os.path.join(self._root, self._paths[file])

    def patient(self, row: Row) -> str | None:
        """What the images of a patient have in common, or of a volume where no patient is named, a hash; None: not
        known."""
        facts = self._facts[row.file]
        if facts is None or facts.group is not None or facts.count < 2 or self._names[row.file] not in VOLUMES:
            return facts and facts.group
        return group_of_file(self._path(row.file))

    @property
    def knows_patients(self) -> bool:
        """Whether there is an image of which `patient` knows something."""
        return any(
            facts is not None and (facts.group is not None or (facts.count > 1 and name in VOLUMES))
            for facts, name in zip(self._facts, self._names)
        )

    def _reader(self, file: int) -> ModuleType:
        return self._readers[self._names[file]]

    def _sampled(self, most: int) -> Iterator[np.ndarray]:
        """Images of three channels, spread over all; those that cannot be read are missing."""
        rows = [row for row in self.rows if self._facts[row.file] and self._facts[row.file].shape[2] == 3]
        for at in np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)):
            try:
                yield self.picture(rows[at]).pixels
            except (UserError, OSError):
                continue


def group_of_file(path: str) -> str:
    """What the images of a file have in common, a hash."""
    return hashlib.blake2b(os.fsencode(path), digest_size=8).hexdigest()


def endings() -> tuple[str, ...]:
    """What the names of measured files end with, in lower case."""
    return tuple(ending for _, own in _readers() for ending in own)


def sorted_out(root: Path, paths: list[str], plain: tuple[str, ...]) -> tuple[list[str], list[str], list[str]]:
    """Which files of a folder are read: those of most, ordinary images or measured ones.

    Args:
        paths: relative to `root`.
        plain: endings of ordinary images; those of TIFFs are both.

    Returns:
        The paths that are read; the reader of each, [] for ordinary images; remarks.
    """
    small, named = [path.lower() for path in paths], endings()
    is_plain = [path.endswith(plain) for path in small]
    # Most of a million images have no reader, and asking for it costs more than to see that.
    names = [
        reader_of(path) if not plainly or path.endswith(named) else None for path, plainly in zip(small, is_plain)
    ]
    ordinary = sum(is_plain)
    if sum(name is not None and not plainly for plainly, name in zip(is_plain, names)) > ordinary:
        chosen = [name is not None for name in names]
        return _only(paths, chosen), _only(names, chosen), _left_out(paths, chosen)
    tiffs = [plainly and name == "tiff" for plainly, name in zip(is_plain, names)]
    if sum(tiffs) == ordinary and (why := _odd_tiff(root, _only(paths, tiffs))):
        return _only(paths, tiffs), ["tiff"] * ordinary, [why, *_left_out(paths, tiffs)]
    return _only(paths, is_plain), [], _left_out(paths, is_plain)


def reader_of(path: str) -> str | None:
    """The reader of a file by its name's ending; of one without, which an image tree lists as DICOM alone, DICOM's."""
    small = os.path.basename(path).lower()
    for name, own in _readers():
        if small.endswith(own):
            return name
    return None if re.search(r"\.\w*[a-z]\w*$", small) else "dicom"


@functools.cache
def _readers() -> list[tuple[str, tuple[str, ...]]]:
    """Each reader with the endings of its files' names. It is asked of each of a million files."""
    return [(name, REGISTRY.load(name).ENDINGS) for name in REGISTRY.names()]


def _odd_tiff(root: Path, paths: list[str]) -> str | None:
    """Why not all TIFFs of a folder are ordinary images, by a look at some of them; None where they are."""
    for at in np.unique(np.linspace(0, len(paths) - 1, min(TIFFS_LOOKED_AT, len(paths))).astype(int)):
        try:
            encoded = (root / paths[at]).read_bytes()
        except OSError:
            continue
        why = why_not_plain(encoded) if is_tiff(encoded) else None
        if why:
            return f"read as measurements: {why.partition(':')[0]}; first: {shown(paths[at])}"
    return None


def _only(values: list, chosen: list[bool]) -> list:
    return list(itertools.compress(values, chosen))


def _left_out(paths: list[str], chosen: list[bool]) -> list[str]:
    out = _only(paths, [not is_read for is_read in chosen])
    if not out:
        return []
    return [f"passed over {counted(len(out), 'file')} of another kind than most; first: {shown(min(out))}"]


def _with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    given = pixels.shape[2]
    if given == channels:
        return pixels
    if (given, channels) == (1, 3):
        return np.repeat(pixels, 3, axis=2)
    if (given, channels) == (3, 1):
        if is_gray(pixels):
            return pixels[..., :1]
        luma = pixels.astype(np.float32) @ np.array(LUMA, np.float32)[:, np.newaxis]
        return np.rint(luma).astype(pixels.dtype) if pixels.dtype.kind in "iu" else luma
    raise UserError(f"it has {given} channels, and most images here have {channels}: keep images of one kind together")
