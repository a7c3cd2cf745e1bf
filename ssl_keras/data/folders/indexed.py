"""The image files below a folder, as at the last start where nothing has changed since.

A folder's times change when an entry in it is added, removed or renamed, so a folder of the same times is not read
again. What its files hold is no part of this: they are read when they are needed. Read each time are folders in which
names do not tell all (`Listing.told_by_names`), that have changed just now, or whose file system is not known to keep
these times.
"""

import os
import re
import time

import numpy as np

from ssl_keras.data.folders.image_tree import ImageTree, Listing, image_tree
from ssl_keras.data.folders.index_file import LEAST, SETTLED, IndexFile, packed, unpacked

# Others, such as those that make folders of the names in an object store, may leave the times of a folder as they are.
KEEP_TIMES = (
    *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "tmpfs", "overlay", "ntfs3"),
    *("nfs", "nfs4", "cifs", "smb3", "lustre", "ceph", "gpfs", "beegfs"),
)
MOUNTS = "/proc/self/mountinfo"
LISTS = ("no_images", "hidden", "nowhere", "loops")  # of an `ImageTree`


def indexed_tree(root: str, endings: tuple[str, ...]) -> ImageTree:
    """`image_tree`, most of it from memory."""
    file = IndexFile(root, "names", repr(endings))
    known = _Known(root, file.read())
    tree = image_tree(root, endings, known.listing, known.note)
    if known.has_news and len(tree.images) >= LEAST:
        file.write(known.arrays())
    return tree


class _Known:
    """What was known of a tree, and what is now.

    Args:
        arrays: what `arrays` gave at an earlier start, or None.
    """

    def __init__(self, root: str, arrays: dict[str, np.ndarray] | None):
        self._root = root
        self._device = os.stat(root).st_dev if file_system(root) in KEEP_TIMES else None
        self._before: dict[str, tuple[tuple[int, ...], Listing]] = _listings(arrays) if arrays else {}
        self._stamp: tuple[int, ...] | None = None  # of the folder that is looked at
        self._now: dict[str, tuple[tuple[int, ...], Listing]] = {}
        self.has_news = False

    def listing(self, folder: str) -> Listing | None:
        """What lies in a folder, where it is as it was."""
        state = os.stat(os.path.join(self._root, folder))
        stamp = state.st_mtime_ns, state.st_ctime_ns, state.st_ino
        is_settled = max(stamp[:2]) < time.time_ns() - SETTLED
        self._stamp = stamp if is_settled and state.st_dev == self._device else None
        before = self._before.get(folder)
        return before[1] if before and before[0] == self._stamp else None

    def note(self, folder: str, listing: Listing) -> None:
        before = self._before.pop(folder, None)
        if self._stamp is not None and listing.told_by_names:
            self._now[folder] = self._stamp, listing
            self.has_news |= before is None or before[0] != self._stamp

    def arrays(self) -> dict[str, np.ndarray]:
        listings = [listing for _, listing in self._now.values()]
        passed = [(i, *key, *found) for i, listing in enumerate(listings) for key, found in listing.passed.items()]
        return {
            "folders": packed(list(self._now)),
            "stamps": np.array([stamp for stamp, _ in self._now.values()], np.int64).reshape(-1, 3),
            "images": packed([path for listing in listings for path in listing.images]),
            "inner": packed([path for listing in listings for path, _ in listing.folders]),
            "counts": np.array([(len(x.images), len(x.folders)) for x in listings], np.int64).reshape(-1, 2),
            "passed": np.array([(i, LISTS.index(what), n) for i, what, _, n, _ in passed], np.int64).reshape(-1, 3),
            "passed_sorts": packed([sort for _, _, sort, _, _ in passed]),
            "passed_first": packed([first for *_, first in passed]),
        }


def _listings(arrays: dict[str, np.ndarray]) -> dict[str, tuple[tuple[int, ...], Listing]]:
    images, inner = unpacked(arrays["images"]), unpacked(arrays["inner"])
    ends = np.cumsum(arrays["counts"], axis=0).tolist()
    starts = [[0, 0], *ends]
    found = [
        Listing(images[image:last_image], [(path, None) for path in inner[folder:last_folder]])
        for (image, folder), (last_image, last_folder) in zip(starts, ends)
    ]
    rows = zip(arrays["passed"].tolist(), unpacked(arrays["passed_sorts"]), unpacked(arrays["passed_first"]))
    for (i, what, count), sort, first in rows:
        found[i].passed[LISTS[what], sort] = [count, first]
    stamps = map(tuple, arrays["stamps"].tolist())
    return dict(zip(unpacked(arrays["folders"]), zip(stamps, found)))


def file_system(path: str) -> str | None:
    """The kind of file system that a path lies in, as Linux names it; None where the system does not tell."""
    try:
        with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.split() for line in file]
    except OSError:
        return None
    inside, best, kind = os.path.join(os.path.realpath(path), ""), "", None
    for fields in lines:
        place = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), fields[4])
        if inside.startswith(os.path.join(place, "")) and len(place) >= len(best):  # of two, the later lies on top
            best, kind = place, fields[fields.index("-") + 1]
    return kind
