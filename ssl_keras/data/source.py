"""What every kind of data looks like to the rest of the house: a numbered list of images."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ssl_keras.data.reading import PatientReader


@dataclass
class Source:
    """Images by number, read one at a time and in any order, so that an epoch's order can be exact.

    Args:
        name: how the data is called in messages and reports.
        length: number of images N.
        read: i -> the encoded file (bytes), or the pixels [H, W, C] where `arrays` says so; `patient_read` is the
            same with patience, and what all readers of images call.
        describe: i -> a path or an id that a person can find the image by.
        label: i -> class number (-1: this one has none), or None where the data has no labels.
        class_names: names of the classes, or None where only numbers are known.
        has_test_split: whether the data brings its own test images.
        arrays: (channels, dtype) where `read` gives pixels rather than encoded bytes.
        sorted_by_name: whether the stored order groups like with like, so that its first images are no sample
            of it.
    """

    name: str
    length: int
    read: Callable[[int], bytes | np.ndarray]
    describe: Callable[[int], str]
    label: Callable[[int], int] | None = None
    class_names: tuple[str, ...] | None = None
    has_test_split: bool = False
    arrays: tuple[int, str] | None = None
    sorted_by_name: bool = False

    def __len__(self) -> int:
        return self.length

    @cached_property
    def patient_read(self) -> PatientReader:
        """`read`, tried again where the file system fails; it remembers what it gave up."""
        return PatientReader(self.read, self.describe)

    @cached_property
    def labels(self) -> np.ndarray | None:
        """Class numbers, int32 [N] (-1: none), or None. Read at first use: record files hold them beside the images."""
        if self.label is None:
            return None
        label = PatientReader(self.label, self.describe)
        return np.array([label(i) for i in range(self.length)], np.int32)


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
        sorted_by_name=source.sorted_by_name,
    )
