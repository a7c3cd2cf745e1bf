"""The image files below a folder, links followed, and what was passed over on the way there."""

import os
import re
from collections import Counter
from collections.abc import Callable
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

    def add(self, name: str, sort: str, count: int) -> None:
        self.counts[sort] += count
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


@dataclass
class Listing:
    """What lies in one folder.

    Args:
        images: paths of the image files relative to the root.
        folders: those of the folders that are entered, and, of links, where they lead.
        passed: (list of `ImageTree`, sort) -> [how many, the first] of what was passed over.
        told_by_names: whether a file or folder that is added or removed is all that can change this: no link and no
            file without ending is among them.
    """

    images: list[str] = field(default_factory=list)
    folders: list[tuple[str, str | None]] = field(default_factory=list)
    passed: dict[tuple[str, str], list] = field(default_factory=dict)
    told_by_names: bool = True

    def pass_over(self, what: str, path: str, sort: str = "") -> None:
        found = self.passed.setdefault((what, sort), [0, path])
        found[:] = found[0] + 1, min(found[1], path)


def image_tree(
    root: str,
    endings: tuple[str, ...] = EXTENSIONS,
    known: Callable[[str], Listing | None] = lambda folder: None,
    note: Callable[[str, Listing], None] = lambda folder, listing: None,
) -> ImageTree:
    """All image files below a folder. A folder that several links lead to is read under each of their names.

    A file without ending is one where it begins as DICOM does.

    A link to a folder that holds it (the folder it lies in, or one further up) is not followed, so that the walk ends.

    Args:
        endings: of images, in small letters.
        known: a folder below the root -> what is known to lie in it, or None: then it is read.
        note: is told of each folder and what lies in it, in the order of the walk.

    Raises:
        OSError: a folder cannot be listed.
    """
    tree = ImageTree()
    waiting = [("", (os.path.realpath(root),))]
    while waiting:
        folder, way = waiting.pop()  # way: the real folders from the root to this one
        listing = known(folder) or _listing(root, folder, way, endings)
        note(folder, listing)
        tree.images += listing.images
        for (what, sort), (count, first) in listing.passed.items():
            getattr(tree, what).add(first, sort, count)
        for path, target in listing.folders:
            tree.folders.append(path)
            waiting.append((path, (*way, target or os.path.join(way[-1], os.path.basename(path)))))
    tree.images.sort()
    tree.folders.sort()
    return tree


def _listing(root: str, folder: str, way: tuple[str, ...], endings: tuple[str, ...]) -> Listing:
    listing = Listing()
    before = f"{folder}/" if folder else ""
    with os.scandir(os.path.join(root, folder)) as entries:
        for entry in entries:
            name = entry.name
            # Of a million images, all but a few are these: the system says so with the name, without another look.
            if name.lower().endswith(endings) and name[0] != "." and entry.is_file(follow_symlinks=False):
                listing.images.append(before + name)
            else:
                _enter(entry, before + name, way, listing, endings)
    listing.images.sort()
    return listing


def _enter(entry: os.DirEntry, path: str, way: tuple[str, ...], listing: Listing, endings: tuple[str, ...]) -> None:
    """Takes note of an entry."""
    small = entry.name.lower()
    is_folder, is_file = _kind(entry)
    is_link, unnamed = entry.is_symlink(), is_file and not small.endswith(endings) and not _ENDING.search(small)
    is_image = small.endswith(endings) or (unnamed and _begins_as_dicom(entry.path))
    listing.told_by_names &= not is_link and not unnamed
    if small.startswith(".") or (is_folder and small in SYSTEM_FOLDERS):
        if is_folder or is_image:
            listing.pass_over("hidden", path)
    elif is_folder:
        target = os.path.realpath(entry.path) if is_link else None
        if target is None or not any(_holds(target, folder) for folder in way):
            listing.folders.append((path, target))
        else:
            listing.pass_over("loops", path)
    elif is_image and (is_file or is_link):
        listing.images.append(path)
    elif is_link and not is_file:
        listing.pass_over("nowhere", path)
    elif small not in SYSTEM_FILES:
        ending = _ENDING.search(small)
        listing.pass_over("no_images", path, "special" if not is_file else ending[0] if ending else NO_ENDING)


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
