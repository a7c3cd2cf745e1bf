"""Images whose channels are files of their own."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ssl_keras.data.folders.channel_files import Group, Pattern
from ssl_keras.data.folders.image_tree import EXTENSIONS
from ssl_keras.data.formats.look import is_gray
from ssl_keras.data.measured import Measured, Row, Rows, reader_of
from ssl_keras.errors import UserError
from ssl_keras.words import counted, listing


class Channel(NamedTuple):
    """One channel [H, W] of any dtype, and where it was measured, bool [H, W]; None: everywhere."""

    pixels: np.ndarray
    valid: np.ndarray | None


class Stacks:
    """Images of several files each, as `measured.Measured` has them of one.

    A smaller channel is resized to the largest of its image. A set that lacks a file is an image that cannot be read.

    Args:
        root: the folder.
        groups: the files of each image.
        patterns: of the channels.
        invalid: the number that says that nothing was measured, beside what the files say; None: there is none.

    Attributes:
        rows, channels, dtype, shapes, remarks: as those of `Measured`; the file of a row is its group.
    """

    def __init__(self, root: Path, groups: list[Group], patterns: tuple[Pattern, ...], invalid: float | None):
        self._root, self._groups, self._patterns, self._invalid = root, groups, patterns, invalid
        paths = [path for group in groups for path in group.files if path]
        self._number = {path: number for number, path in enumerate(paths)}
        self._files = Measured(str(root), paths, [ordinary_or_measured(path) for path in paths])
        self.channels, self.dtype = len(patterns), self._files.dtype
        self._counts: list[int] = []  # of pictures in each file of a group; 0: not known, or not the same in all
        shapes = []
        for group in groups:
            facts = [path and self._files.facts(self._number[path]) for path in group.files]
            counts = {found.count if found else 0 for found in facts}
            self._counts.append(counts.pop() if len(counts) == 1 else 0)
            number = max(1, self._counts[-1])
            shapes += [max((found.shape[:2] for found in facts), key=np.prod) if self._counts[-1] else (0, 0)] * number
        self.rows = Rows(np.maximum(1, self._counts))
        self.shapes = np.array(shapes, np.int64).reshape(-1, 2)
        missing = sum(None in group.files for group in groups)
        self.remarks = [*self._files.remarks, *self._said_of_sizes(), *self._said_of_types()]
        if missing:
            self.remarks.append(f"{counted(missing, 'image')} without a file for each channel: they cannot be read")

    def read(self, row: Row) -> np.ndarray:
        """An image, [H, W, channels] of `dtype`; what was not measured is NaN in float32, and else the invalid number.

        Raises:
            UserError: a file is missing or cannot be read, has several channels, or another shape than the others.
        """
        group = self._groups[row.file]
        for number, path in enumerate(group.files):
            if path is None:
                raise UserError(f"channel {number + 1} is missing: there is no file {self._patterns[number].text}")
        channels = [self._channel(path, row.number) for path in group.files]
        if len({found.count for path in group.files if (found := self._files.facts(self._number[path]))}) > 1:
            raise UserError("its files hold different numbers of pictures")
        largest = max((channel.pixels.shape for channel in channels), key=np.prod)
        for path, channel in zip(group.files, channels):
            if not _alike(channel.pixels.shape, largest):
                raise UserError(
                    f"its channels have different shapes: {Path(path).name} has {_written(channel.pixels.shape)} px, "
                    f"and the largest {_written(largest)}: expected pictures of the same place and extent"
                )
        missing = np.nan if self.dtype == "float32" else self._invalid
        found = np.empty((*largest, self.channels), self.dtype)
        for number, channel in enumerate(channels):
            pixels, valid = enlarged(channel, largest)
            found[..., number] = pixels if self.dtype == "float32" else np.rint(pixels)
            if valid is not None and missing is not None:
                found[~valid, number] = missing
        return found

    def describe(self, row: Row) -> str:
        return str(self._root / self._groups[row.file].name) + f"[{row.number}]" * (self._counts[row.file] > 1)

    def patient(self, row: Row) -> str | None:
        """See `Measured.patient`: that of the first file."""
        path = next(path for path in self._groups[row.file].files if path)
        return self._files.patient(Row(self._number[path], row.number))

    @property
    def knows_patients(self) -> bool:
        """Whether there is an image of which `patient` knows something."""
        return any(self.patient(row) is not None for row in self.rows)

    def _channel(self, path: str, number: int) -> Channel:
        try:
            picture = self._files.picture(Row(self._number[path], number))
            channels = picture.pixels.shape[2]
            if channels != 1 and not is_gray(picture.pixels):
                raise UserError(f"it has {channels} channels, and --channels_from takes files of one")
        except UserError as error:
            raise UserError(f"{Path(path).name}: {error}") from None
        pixels = picture.pixels[..., 0]
        known = np.isfinite(pixels) if pixels.dtype.kind == "f" else np.ones(pixels.shape, bool)
        if picture.valid is not None:
            known &= picture.valid
        if self._invalid is not None:
            known &= pixels != self._invalid
        return Channel(pixels, None if known.all() else known)

    def _said_of_sizes(self) -> list[str]:
        sizes = Counter()
        for group in self._groups:
            facts = [self._files.facts(self._number[path]) for path in group.files if path]
            sizes[tuple(sorted({found.shape[:2] for found in facts if found}))] += 1
        unequal = {found: count for found, count in sizes.items() if len(found) > 1}
        if not unequal:
            return []
        first = ", ".join(map(_written, max(unequal, key=unequal.get)))
        return [
            f"{counted(sum(unequal.values()), 'image')} with channels of different sizes, such as {first} px: "
            "the smaller are resized to the largest"
        ]

    def _said_of_types(self) -> list[str]:
        types: list[set[str]] = [set() for _ in self._patterns]
        for group in self._groups:
            for number, path in enumerate(group.files):
                found = path and self._files.facts(self._number[path])
                if found:
                    types[number].add(found.dtype)
        if len(set().union(*types)) < 2:
            return []
        each = {pattern.text: " and ".join(sorted(known)) for pattern, known in zip(self._patterns, types)}
        return [f"channels of different types ({listing(each)}): their numbers are kept as they are"]


def ordinary_or_measured(path: str) -> str:
    """The reader of a file as numbers: that of ordinary images too, TIFF aside, which measurements' reads as well."""
    name = reader_of(path)
    return "picture" if path.lower().endswith(EXTENSIONS) and name != "tiff" else name


def enlarged(channel: Channel, shape: tuple[int, int]) -> Channel:
    """A channel in a size that is not smaller: bilinear over what was measured, as `values.resized` does it.

    A pixel of which less than half was measured is not measured. Both sizes show the same extent.
    """
    pixels, valid = channel
    if pixels.shape == shape:
        return channel
    if valid is None:
        return Channel(_bilinear(pixels, shape), None)
    weight = _bilinear(valid, shape)
    return Channel(_bilinear(np.where(valid, pixels, 0), shape) / np.maximum(weight, 1e-6), weight > 0.5)


def _bilinear(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels.astype(np.float32)).resize(shape[::-1], Image.Resampling.BILINEAR))


def _alike(shape: tuple[int, int], largest: tuple[int, int]) -> bool:
    """Whether a smaller shape has the largest one's proportions, to a pixel of its own."""
    (height, width), (most_height, most_width) = shape, largest
    return abs(most_height * width / most_width - height) < 1 and abs(most_width * height / most_height - width) < 1


def _written(shape: tuple[int, int]) -> str:
    return f"{shape[0]} x {shape[1]}"
