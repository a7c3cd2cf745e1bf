"""What the headers of a folder's measured files say, from memory where a file is as it was at an earlier start."""

import functools
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ssl_keras.data import readers
from ssl_keras.data.folders.index_file import LEAST, SETTLED, IndexFile, packed, unpacked
from ssl_keras.data.readers.contract import Facts, NoPictureError, ReadOptions
from ssl_keras.errors import UserError
from ssl_keras.progress import Bar

Found = Facts | NoPictureError | None  # of a file: its header's, or that it holds no picture; None: it is not readable
TEXTS = ("dtype", "group", "remark")
GONE = -1  # in the place of the times of a file that is not there, or may change again without a change of its times


def facts_of(root: str, paths: Sequence[str], read: Callable[[int], Facts], options: ReadOptions) -> list[Found]:
    """The facts of files below a folder.

    A file counts as unchanged while its size, the time of its last change and that of its last change of any kind are:
    programs that copy files set the first of the times back. That a file cannot be read is not remembered: a package
    more may mend that.

    Args:
        root: the folder.
        paths: of the files below it.
        read: number of a file -> its reader's facts.
        options: what the readers are asked.
    """
    file = IndexFile(root, "headers", f"{options} {_code()}")
    before = os.path.join(root, "")
    stamps = np.fromiter((number for path in paths for number in _stamp(before + path)), np.int64, 3 * len(paths))
    stamps = stamps.reshape(-1, 3)
    known = _Known(file.read())
    kind = known.kinds_of(paths, stamps)
    found: list[Found] = [known.kinds[number] if number >= 0 else None for number in kind.tolist()]
    unknown = np.flatnonzero(kind < 0)
    with Bar("looking at files", len(unknown)) as bar:
        for done, i in enumerate(unknown.tolist(), 1):
            now = time.time_ns()
            try:
                found[i] = known.one(read(i))
            except NoPictureError as error:
                found[i] = known.one(error)
            except (UserError, OSError):
                continue  # why is told when it is read
            kind[i] = known.number(found[i]) if stamps[i, 1:].max() < now - SETTLED else GONE
            bar.show(done)
    if (kind[unknown] >= 0).any() and len(paths) >= LEAST:
        file.write(known.arrays(before, paths, stamps, kind))
    return found


def _stamp(path: str) -> tuple[int, int, int]:
    try:
        state = os.stat(path)
    except OSError:
        return GONE, GONE, GONE
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns


class _Known:
    """What is known of files: `kinds`, of which a million files have few, and which of them each file is of."""

    def __init__(self, arrays: dict[str, np.ndarray] | None):
        self.kinds: list[Facts | NoPictureError] = []
        self._numbers: dict[object, int] = {}
        self._paths: list[str] = []
        if arrays:
            self._paths, self._stamps, self._kind = unpacked(arrays["paths"]), arrays["stamps"], arrays["kind"]
            texts = zip(*(unpacked(arrays[name]) for name in TEXTS))
            for (dtype, group, remark), numbers, spacing in zip(texts, arrays["numbers"].tolist(), arrays["spacing"]):
                spacing = None if np.isnan(spacing).any() else tuple(spacing.tolist())
                facts = Facts(numbers[0], tuple(numbers[1:]), dtype, group or None, spacing, remark or None)
                self.one(facts if dtype else NoPictureError(remark))

    def kinds_of(self, paths: Sequence[str], stamps: np.ndarray) -> np.ndarray:
        """The number of each file's kind, int32 [N]; -1 where the file is another than it was."""
        if paths == self._paths:
            rows = np.arange(len(paths))
        else:
            numbers = {path: i for i, path in enumerate(self._paths)}
            rows = np.array([numbers.get(path, -1) for path in paths], np.int64)
        kind = np.full(len(paths), -1, np.int32)
        there = np.flatnonzero(rows >= 0)
        if len(there):
            same = there[(self._stamps[rows[there]] == stamps[there]).all(axis=1)]
            kind[same] = self._kind[rows[same]]
        return kind

    def one(self, found: Facts | NoPictureError) -> Facts | NoPictureError:
        """The one object for all that are equal."""
        key = found if isinstance(found, Facts) else str(found)
        number = self._numbers.setdefault(key, len(self.kinds))
        if number == len(self.kinds):
            self.kinds.append(found)
        return self.kinds[number]

    def number(self, found: Facts | NoPictureError) -> int:
        return self._numbers[found if isinstance(found, Facts) else str(found)]

    def arrays(self, before: str, paths: Sequence[str], stamps: np.ndarray, kind: np.ndarray) -> dict[str, np.ndarray]:
        """What is to be remembered: these files, and others of the folder that are still there, such as test images."""
        own, chosen = set(paths), np.flatnonzero(kind >= 0)
        others = [i for i, path in enumerate(self._paths) if path not in own and os.path.exists(before + path)]
        stamps, kind = stamps[chosen], kind[chosen]
        if others:
            stamps, kind = np.concatenate([stamps, self._stamps[others]]), np.concatenate([kind, self._kind[others]])
        facts = [x if isinstance(x, Facts) else Facts(0, (0, 0, 0), "", remark=str(x)) for x in self.kinds]
        return {
            "paths": packed([*(paths[i] for i in chosen), *(self._paths[i] for i in others)]),
            "stamps": stamps,
            "kind": kind,
            "numbers": np.array([(x.count, *x.shape) for x in facts], np.int64).reshape(-1, 4),
            "spacing": np.array([x.spacing or (np.nan, np.nan) for x in facts], np.float64).reshape(-1, 2),
            **{name: packed([getattr(x, name) or "" for x in facts]) for name in TEXTS},
        }


@functools.cache
def _code() -> str:
    """A hash of the readers' own source: another version may say something else of the same files."""
    found = hashlib.sha256()
    for path in sorted(Path(readers.__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()
