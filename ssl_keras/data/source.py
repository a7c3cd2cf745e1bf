"""What every kind of data looks like to the rest of the house: a numbered list of images."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from absl import logging

from ssl_keras.data.reading import PatientReader
from ssl_keras.data.values import Values
from ssl_keras.errors import UserError
from ssl_keras.words import shown

LARGEST_LABEL = 2**31 - 1  # labels are int32


class Wanted(NamedTuple):
    """Which images of a data set are asked for.

    Args:
        split: "train", or "test" for the data's own test images.
        data_dir: folder of prepared data sets, or None.
        size: side of images that are rendered, px, or None.
        seed: which images are rendered.
    """

    split: str = "train"
    data_dir: str | None = None
    size: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Places:
    """Where the encoded images lie, for readers in TensorFlow operations.

    Args:
        paths: files.
        file: int64 [N], which of them holds image i.
        spans: int64 [N, 2], where a file holds many: offset and length in bytes of image i's tf.train.Example.
        feature: the Example's feature that holds the image.
    """

    paths: list[str]
    file: np.ndarray
    spans: np.ndarray | None = None
    feature: str | None = None

    def at(self, chosen: np.ndarray) -> "Places":
        """Those of the images `chosen`, integer [M]."""
        return Places(self.paths, self.file[chosen], None if self.spans is None else self.spans[chosen], self.feature)


@dataclass(frozen=True)
class Packed:
    """What images that are canvases already were made as.

    Args:
        sizes: int [N, 2], height and width of each image before it was squashed, px.
        values: what its raw numbers mean; None: the canvases hold pixels.
        settings: how it was read and squashed: settings of a run and their values.
        asked: what these were before the data had decided.
    """

    sizes: np.ndarray
    values: Values | None
    settings: dict[str, object]
    asked: dict[str, object]

    def at(self, chosen: np.ndarray) -> "Packed":
        """That of the images `chosen`, integer [M]."""
        return replace(self, sizes=self.sizes[chosen])


@dataclass
class Source:
    """Images by number, read one at a time and in any order, so that an epoch's order can be exact.

    Args:
        name: how the data is called in messages and reports; it and `describe` are made printable (`words.shown`).
        length: number of images N.
        read: i -> the encoded file (bytes), or the pixels [H, W, C] where `arrays` says so; `patient_read` is the
            same with patience, and what all readers of images call.
        describe: i -> a path or an id that a person can find the image by.
        label: i -> class number (-1: this one has none), or None where the data has no labels.
        class_names: names of the classes, or None where only numbers are known.
        has_test_split: whether the data brings its own test images.
        arrays: (channels, dtype) where `read` gives pixels rather than encoded bytes.
        shapes: int [N, 2], height and width of each image, px, where `read` gives pixels of any size (0: not known);
            None where they are of one size.
        sorted_by_name: whether the stored order groups like with like, so that its first images are no sample
            of it.
        places: where the encoded images lie in files, or None where they do not.
        remarks: sentences for the user: what was passed over, and what was taken for what.
        group: i -> what the image has in common with others of its patient, its volume, or the image that it is a tile
            of, as its file tells: a hash, never a name or an id; None: not known. None where no file tells.
        groups: int [N], a number for each group that images were asked to be kept together by, see `data.groups`; None:
            they were not.
        root: the folder that each of `describe` begins with, where the images lie in one ("": no part of it is said).
        packed: where `read` gives canvases, what these are of; else None.
        doubt: why the pixels are perhaps in another order than `arrays` says, for a user who has not named the
            channels; None where there is no doubt.
    """

    name: str
    length: int
    read: Callable[[int], bytes | np.ndarray]
    describe: Callable[[int], str]
    label: Callable[[int], int] | None = None
    class_names: tuple[str, ...] | None = None
    has_test_split: bool = False
    arrays: tuple[int, str] | None = None
    shapes: np.ndarray | None = None
    sorted_by_name: bool = False
    places: Places | None = None
    remarks: tuple[str, ...] = ()
    group: Callable[[int], str | None] | None = None
    groups: np.ndarray | None = None
    root: str | None = None
    packed: Packed | None = None
    doubt: str | None = None

    def __post_init__(self):
        describe = self.describe
        self.name, self.describe = shown(self.name), lambda i: shown(describe(i))
        self.root = self.root and shown(self.root)

    def __len__(self) -> int:
        return self.length

    @cached_property
    def checksums(self) -> np.ndarray:
        """Checksums of what `patient_read` has read so far, uint32 [N]; 0 where it has not."""
        return np.zeros(self.length, np.uint32)

    @cached_property
    def patient_read(self) -> PatientReader:
        """`read`, tried again where the file system fails; it remembers what it gave up."""

        def read(i: int) -> bytes | np.ndarray:
            image = self.read(i)
            self.checksums[i] = zlib.crc32(np.ascontiguousarray(image) if self.arrays else image) or 1
            return image

        return PatientReader(read, self.describe)

    @cached_property
    def labels(self) -> np.ndarray | None:
        """Class numbers, int32 [N] (-1: none), or None. Read at first use: record files hold them beside the images.

        Raises:
            UserError: one is no class number.
            OSError: one cannot be read.
        """
        if self.label is None:
            return None
        label = PatientReader(self.label, self.describe)
        labels = np.empty(self.length, np.int32)
        for i in range(self.length):
            number = label(i)
            if not -1 <= number <= LARGEST_LABEL:
                raise UserError(
                    f"{self.name}: the label of {self.describe(i)} is {number}: expected a class from 0 to "
                    f"{LARGEST_LABEL}, or -1 for an image that has none"
                )
            labels[i] = number
        return labels

    @cached_property
    def labels_if_fine(self) -> np.ndarray:
        """`labels`, or all -1 where there are none, or none that are right: who does without them is not stopped."""
        try:
            labels = self.labels
        except (ValueError, OSError) as error:
            logging.warning("without labels: %s", error)
            labels = None
        return np.full(self.length, -1, np.int32) if labels is None else labels


def subset(source: Source, chosen: np.ndarray, name: str) -> Source:
    """The images `chosen` (integer [M]) of a source, renumbered 0..M-1 in that order."""
    chosen = np.asarray(chosen)
    return Source(
        name=name,
        length=len(chosen),
        read=lambda i: source.read(int(chosen[i])),
        describe=lambda i: source.describe(int(chosen[i])),
        label=None if source.label is None else lambda i: source.label(int(chosen[i])),
        class_names=source.class_names,
        has_test_split=source.has_test_split,
        arrays=source.arrays,
        shapes=None if source.shapes is None else source.shapes[chosen],
        sorted_by_name=source.sorted_by_name,
        places=None if source.places is None else source.places.at(chosen),
        remarks=source.remarks,
        group=None if source.group is None else lambda i: source.group(int(chosen[i])),
        groups=None if source.groups is None else source.groups[chosen],
        root=source.root,
        packed=None if source.packed is None else source.packed.at(chosen),
        doubt=source.doubt,
    )
