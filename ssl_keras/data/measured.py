"""Files whose numbers are measurements, read by `data.readers`, as images of any size and of one number of channels."""

import hashlib
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
from ssl_keras.data.readers import REGISTRY, guarded
from ssl_keras.data.readers.contract import Facts, NoPictureError, Picture, ReadOptions
from ssl_keras.errors import UserError
from ssl_keras.progress import Bar
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


class Measured:
    """The pictures of some files.

    Args:
        paths: the files.
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

    def __init__(self, paths: Sequence[Path], names: Sequence[str]):
        self.paths, self._readers = list(paths), {name: REGISTRY.load(name) for name in set(names)}
        self._names = list(names)
        self._crashed: dict[Row, str] = {}  # by which image a decoder crashed, and how: it would do so in each epoch
        self._facts: list[Facts | None] = []
        self.rows: list[Row] = []
        empty, said = [], {}
        with Bar("looking at files", len(self.paths)) as bar:
            for file, path in enumerate(self.paths):
                try:
                    facts = guarded.facts(self._reader(file), str(path), _options)
                except NoPictureError as error:
                    facts, count = None, 0
                    empty.append(f"{path.name}: {error}")
                except (UserError, OSError):
                    facts, count = None, 1  # why is told when it is read
                else:
                    count = facts.count
                    if facts.remark:
                        said.setdefault(facts.remark, path.name)
                self._facts.append(facts)
                self.rows += [Row(file, number) for number in range(count)]
                bar.show(file + 1)
        known = [facts for facts in self._facts if facts]
        images = Counter()
        for facts in known:
            images[facts.shape[2]] += facts.count
        self.channels = images.most_common(1)[0][0] if images else 1
        types = {facts.dtype for facts in known}
        only = types.pop() if len(types) == 1 else "float32"
        self.dtype = only if only == "uint8" or (only == "uint16" and set(names) == {"picture"}) else "float32"
        sizes = [facts.shape[:2] if facts else (0, 0) for facts in self._facts]
        self.shapes = np.array([sizes[row.file] for row in self.rows], np.int64).reshape(-1, 2)
        self.remarks = [f"{remark}; first: {shown(name)}" for remark, name in said.items()]
        if empty:
            self.remarks.append(f"{counted(len(empty), 'file')} without a picture; first: {shown(empty[0])}")
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
        path, known = str(self.paths[row.file]), self._facts[row.file]
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
        return f"{self.paths[row.file]}" + f"[{row.number}]" * several

    def patient(self, row: Row) -> str | None:
        """What the images of a patient have in common, or of a volume where no patient is named, a hash; None: not
        known."""
        facts = self._facts[row.file]
        if facts is None or facts.group is not None or facts.count < 2 or self._names[row.file] not in VOLUMES:
            return facts and facts.group
        return group_of_file(str(self.paths[row.file]))

    @property
    def knows_patients(self) -> bool:
        """Whether there is an image of which `patient` knows something."""
        return any(self.patient(row) is not None for row in self.rows)

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
    return tuple(ending for name in REGISTRY.names() for ending in REGISTRY.load(name).ENDINGS)


def sorted_out(root: Path, paths: list[str], plain: tuple[str, ...]) -> tuple[list[str], list[str], list[str]]:
    """Which files of a folder are read: those of most, ordinary images or measured ones.

    Args:
        paths: relative to `root`.
        plain: endings of ordinary images; those of TIFFs are both.

    Returns:
        The paths that are read; the reader of each, [] for ordinary images; remarks.
    """
    ordinary = [path for path in paths if path.lower().endswith(plain)]
    names = {path: name for path in paths if (name := reader_of(path))}
    special = [path for path in names if not path.lower().endswith(plain)]
    if len(special) > len(ordinary):
        chosen = [path for path in paths if path in names]
        return chosen, [names[path] for path in chosen], _left_out(paths, chosen)
    tiffs = [path for path in ordinary if names.get(path) == "tiff"]
    if len(tiffs) == len(ordinary) and (why := _odd_tiff(root, tiffs)):
        return tiffs, ["tiff"] * len(tiffs), [why, *_left_out(paths, tiffs)]
    return ordinary, [], _left_out(paths, ordinary)


def reader_of(path: str) -> str | None:
    """The reader of a file by its name's ending; of one without, which an image tree lists as DICOM alone, DICOM's."""
    small = os.path.basename(path).lower()
    for name in REGISTRY.names():
        if small.endswith(REGISTRY.load(name).ENDINGS):
            return name
    return None if re.search(r"\.\w*[a-z]\w*$", small) else "dicom"


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


def _left_out(paths: list[str], chosen: list[str]) -> list[str]:
    out = sorted(set(paths) - set(chosen))
    return [f"passed over {counted(len(out), 'file')} of another kind than most; first: {shown(out[0])}"] if out else []


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
