"""The image files below a folder, links followed, and what was passed over on the way there."""

import os
import re
from collections import Counter
from dataclasses import dataclass, field

from ssl_keras.words import counted, shown

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".pjpeg", ".pjp"),  # all JPEG
    *(".png", ".apng", ".gif", ".bmp", ".webp", ".tif", ".tiff"),
)
# Folders in which cameras' cards, NAS and operating systems keep thumbnails, deleted files and their own: in small
# letters, compared without regard to case. Those that begin with a dot (.thumbnails, .Trash-1000, .ipynb_checkpoints)
# are hidden as all names with a dot are, as are the resource forks ._x.jpg and .DS_Store.
SYSTEM_FOLDERS = (
    *("@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "~snapshot"),
    *("__macosx", "$recycle.bin", "system volume information", "lost+found", "__pycache__"),
)
SYSTEM_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini")
_ENDING = re.compile(r"\.(?=\w*[a-z])\w{1,8}$")  # not those of numbers, such as a DICOM's 1.2.840.10008
NO_ENDING = "without ending"


@dataclass
class Passed:
    """Things of one kind that were passed over: how many of each sort, and the first of them."""

    counts: Counter = field(default_factory=Counter)
    first: str = ""

    def add(self, name: str, sort: str = "") -> None:
        self.counts[sort] += 1
        self.first = min(self.first or name, name)

    @property
    def total(self) -> int:
        return self.counts.total()


@dataclass
class ImageTree:
    """What a folder holds.

    Args:
        images: paths of the image files relative to the folder, with forward slashes, sorted.
        folders: those of all folders below it.
        no_images: files whose ending is no image's, by ending.
        hidden: hidden or system folders, and hidden images.
        nowhere: links whose target is missing and whose ending is no image's. A broken link x.jpg is an image that
            cannot be read, and is counted with those.
        loops: links to a folder that holds them.
    """

    images: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    no_images: Passed = field(default_factory=Passed)
    hidden: Passed = field(default_factory=Passed)
    nowhere: Passed = field(default_factory=Passed)
    loops: Passed = field(default_factory=Passed)

    def remarks(self) -> list[str]:
        """A sentence for each kind of thing that was passed over."""
        files, links = self.no_images, self.loops
        rename = " (rename those that are images)" if NO_ENDING in files.counts else ""
        endings = _sorts(files.counts)
        sentences = {
            f"passed over {counted(files.total, 'file')} without an image's ending: {endings}{rename}": files,
            f"passed over {self.hidden.total} hidden or system folders and hidden images": self.hidden,
            f"{counted(self.nowhere.total, 'link')} to something that is not there": self.nowhere,
            f"did not follow {counted(links.total, 'link')} to a folder that holds the link itself": links,
        }
        return [f"{text}; first: {shown(found.first)}" for text, found in sentences.items() if found.total]


def image_tree(root: str, endings: tuple[str, ...] = EXTENSIONS) -> ImageTree:
    """All image files below a folder. A folder that several links lead to is read under each of their names.

    A file without ending is one where it begins as DICOM does.

    A link to a folder that holds it (the folder it lies in, or one further up) is not followed, so that the walk ends.

    Raises:
        OSError: a folder cannot be listed.
    """
    tree = ImageTree()
    waiting = [("", (os.path.realpath(root),))]
    while waiting:
        folder, way = waiting.pop()  # way: the real folders from the root to this one
        with os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                inner = _enter(entry, name, way, tree, endings)
                if inner:
                    tree.folders.append(name)
                    waiting.append((name, (*way, inner)))
    tree.images.sort()
    tree.folders.sort()
    return tree


def _enter(
    entry: os.DirEntry, name: str, way: tuple[str, ...], tree: ImageTree, endings: tuple[str, ...]
) -> str | None:
    """Takes note of an entry; the real path of a folder that is to be read."""
    small = entry.name.lower()
    is_folder, is_file = _kind(entry)
    is_image = small.endswith(endings) or (is_file and not _ENDING.search(small) and _begins_as_dicom(entry.path))
    if small.startswith(".") or (is_folder and small in SYSTEM_FOLDERS):
        if is_folder or is_image:
            tree.hidden.add(name)
    elif is_folder:
        if not entry.is_symlink():
            return os.path.join(way[-1], entry.name)
        target = os.path.realpath(entry.path)
        if not any(_holds(target, folder) for folder in way):
            return target
        tree.loops.add(name)
    elif is_image and (is_file or entry.is_symlink()):
        tree.images.append(name)
    elif entry.is_symlink() and not is_file:
        tree.nowhere.add(name)
    elif small not in SYSTEM_FILES:
        ending = _ENDING.search(small)
        tree.no_images.add(name, "special" if not is_file else ending[0] if ending else NO_ENDING)
    return None


def _kind(entry: os.DirEntry) -> tuple[bool, bool]:
    """Whether this is, or links to, a folder; and whether a regular file."""
    try:
        return entry.is_dir(), entry.is_file()
    except OSError:  # a link to itself, or into a folder that must not be read
        return False, False


def _holds(folder: str, other: str) -> bool:
    return f"{other}/".startswith(f"{folder.rstrip('/')}/")


def _sorts(counts: Counter, most: int = 5) -> str:
    common = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    common = common[: most if len(counts) > most + 1 else most + 1]
    rest = counts.total() - sum(count for _, count in common)
    return ", ".join([f"{count} {sort}" for sort, count in common] + [f"{rest} with other endings"] * (rest > 0))


def _begins_as_dicom(path: str) -> bool:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False
