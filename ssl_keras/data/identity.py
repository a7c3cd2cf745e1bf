"""Which images a run is made of: a list that is kept with it, by which a resumed run notices that they are others.

Epochs, queues and memory banks number the images; with other images the numbers mean others, and nothing else would
tell.
"""

import gzip
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ssl_keras import files
from ssl_keras.data.source import Source
from ssl_keras.words import shown

SHOWN = 3


@dataclass(frozen=True)
class Identity:
    """The images of a run in their order.

    Args:
        names: of each, below the data's own folder.
        labels: int32 [N], -1 for none.
        checksums: uint32 [N] of the contents; 0 where they were not read, or could not be.
    """

    names: list[str]
    labels: np.ndarray
    checksums: np.ndarray

    def differences(self, then: "Identity") -> list[str]:
        """In what these images differ from those of an earlier time, as readable phrases; [] where they do not.

        Contents count where both were read: all images that are held in memory, a sample of those that are streamed.
        """
        if self.names != then.names:
            new, gone = _missing(self.names, then.names), _missing(then.names, self.names)
            phrases = [f"{len(self.names)} images instead of {len(then.names)}"] * (len(self.names) != len(then.names))
            phrases += [f"{what}: {_some(names)}" for what, names in (("new", new), ("gone", gone)) if names]
            return phrases or ["the same images in another order"]
        known = (self.checksums > 0) & (then.checksums > 0)
        changed = np.flatnonzero(known & (self.checksums != then.checksums))
        relabeled = np.flatnonzero(self.labels != then.labels)
        found = (("other contents", changed), ("other labels", relabeled))
        return [f"{what}: {_some([self.names[i] for i in rows])}" for what, rows in found if len(rows)]


def of(source: Source, roots: Iterable[str], unreadable: Iterable[int] = ()) -> Identity:
    """The identity of a source whose images have been looked at.

    Args:
        roots: see `below`.
        unreadable: numbers of the images that cannot be decoded, whose contents do not count.
    """
    roots = list(roots)
    names = [below(source.describe(i), roots) for i in range(len(source))]
    checksums = source.checksums.copy()
    checksums[list(unreadable)] = 0
    return Identity(names, source.labels_if_fine, checksums)


def roots_of(data: str, data_dir: str | None) -> list[str]:
    """The folders that the images of a data specification lie below, for `below`."""
    place = data.partition(":")[2]
    roots = place, os.path.dirname(re.split(r"[*?\[]", place)[0]), os.path.expanduser(data_dir or "")
    return [shown(root) for root in roots]


def below(name: str, roots: Iterable[str]) -> str:
    """A name without the first of the folders that it begins with."""
    for root in filter(None, roots):
        before = f"{root.rstrip('/')}/"
        if name.startswith(before):
            return name[len(before) :]
    return name


def write(path: str, identity: Identity) -> None:
    """Writes a gzipped line "checksum<TAB>label<TAB>name" for each image."""
    rows = zip(identity.checksums.tolist(), identity.labels.tolist(), identity.names)
    with (
        files.replacing(path) as beside,
        open(beside, "wb") as raw,
        gzip.GzipFile(path, "wb", compresslevel=1, fileobj=raw, mtime=0) as file,
    ):
        file.writelines(f"{checksum:08x}\t{label}\t{name}\n".encode() for checksum, label, name in rows)


def read(path: str) -> Identity:
    """What `write` wrote."""
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        rows = [line.rstrip("\n").split("\t", 2) for line in file]
    return Identity(
        [name for _, _, name in rows],
        np.array([int(label) for _, label, _ in rows], np.int32),
        np.array([int(checksum, 16) for checksum, _, _ in rows], np.uint32),
    )


def _missing(names: list[str], others: list[str]) -> list[str]:
    there = set(others)
    return [name for name in names if name not in there]


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f", .. ({len(names)} in all)" if len(names) > SHOWN else "")
