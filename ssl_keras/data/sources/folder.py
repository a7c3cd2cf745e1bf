"""A folder of image files as a source."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ssl_keras.data import measured, ranges, tiling
from ssl_keras.data.folders import channel_files
from ssl_keras.data.folders.image_tree import EXTENSIONS
from ssl_keras.data.folders.indexed import indexed_tree
from ssl_keras.data.folders.layout import Layout, Part, arrange
from ssl_keras.data.formats.transcode import decodable
from ssl_keras.data.source import Places, Source, Wanted
from ssl_keras.data.stacks import Stacks, ordinary_or_measured
from ssl_keras.data.tiles import tiled
from ssl_keras.errors import UserError
from ssl_keras.words import counted, listing, shown

FORMS = ("folder:PATH",)


@dataclasses.dataclass(frozen=True)
class Cut:
    """How files and images of a folder fit together, where a file is not an image: the flags of these names.

    Args:
        channels_from: "", or the patterns of the files that are the channels of one image.
        tile: "", or the size and the stride of tiles.
        tile_spread: see `tiles.tiled`.
        invalid: the number that says that nothing was measured, or "auto" or "none".
    """

    channels_from: str = ""
    tile: str = ""
    tile_spread: float = 0.0
    invalid: str = "auto"


_cut = Cut()


def use(cut: Cut) -> None:
    """Sets how the folders of this process are read from now on."""
    global _cut
    _cut = cut


Pictures = Callable[[list[str]], measured.Measured | Stacks]  # paths of images -> their pixels


def open_source(path: str, wanted: Wanted) -> Source:
    """All image files below a folder, in the order of their sorted paths; links are followed.

    `layout.arrange` says which subfolders are splits and which are classes; `image_tree` says what is an image. What
    was passed over, and what the subfolders were taken for, stands in the source's remarks.

    Args:
        path: the folder, absolute or relative, with `~` or without.
        wanted: its split "train": the training images, which are all where there are no splits; "test": those to score
            on.

    Raises:
        UserError: there is no such folder, or no such images in it.
    """
    root = Path(path)
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise UserError(f"folder:{path}: {root.absolute()} {what}")
    tree = indexed_tree(str(root), tuple(dict.fromkeys((*EXTENSIONS, *measured.endings()))))
    if not tree.images:
        found = "".join(f"; {remark}" for remark in tree.remarks())
        raise UserError(f"no images below {root.absolute()}: looked for {' '.join(EXTENSIONS)}{found}")
    paths, pictures, left_out = _images(root, tree.images)
    try:
        layout = arrange(paths, tree.folders)
    except ValueError as error:
        raise UserError(f"{root.absolute()}: {error}") from None
    scored = _scored_on(layout)
    class_names = tuple(layout.train.class_counts) or None
    if wanted.split == "train":
        remarks = [*tree.remarks(), *left_out, *layout.remarks, *_said_of_splits(layout, scored)]
        remarks += layout.train.remarks()
        if class_names:
            remarks.append(f"{len(class_names)} classes: {listing(layout.train.class_counts)}")
        return _source(root, layout.train, class_names, scored is not None, remarks, pictures)
    if scored is None:
        raise UserError(f"{root} has no test images of its own: expected the subfolders train and test (or val)")
    return _source(root, scored, class_names, True, scored.remarks(), pictures)


def _images(root: Path, found: list[str]) -> tuple[list[str], Pictures | None, list[str]]:
    """The images that files are: the path of each, what makes pixels of them (None: they are encoded images), and what
    is to be said."""
    if _cut.channels_from:
        patterns = channel_files.parse(_cut.channels_from)
        groups, remarks = channel_files.grouped(found, patterns)
        group_of = {group.name: group for group in groups}
        stacks = lambda names: Stacks(root, [group_of[name] for name in names], patterns, _invalid())  # noqa: E731
        return list(group_of), stacks, remarks
    paths, readers, left_out = measured.sorted_out(root, found, EXTENSIONS)
    if _cut.tile and not readers:
        readers = [ordinary_or_measured(path) for path in paths]
    if not readers:
        return paths, None, left_out
    reader_of = dict(zip(paths, readers))

    def pictures(chosen: list[str]) -> measured.Measured:
        pictures = measured.Measured(str(root), chosen, [reader_of[path] for path in chosen])
        pictures.take_one_of_gray()
        return pictures

    return paths, pictures, left_out


def _invalid() -> float | None:
    return None if _cut.invalid == "auto" else ranges.invalid_number(_cut.invalid)


def _scored_on(layout: Layout) -> Part | None:
    """The held-out part that evaluations score on: the first with classes, or the first of all."""
    return next((part for part in layout.held_out if part.classes), next(iter(layout.held_out), None))


def _said_of_splits(layout: Layout, scored: Part | None) -> list[str]:
    if scored is None:
        return []
    score = f", {_sized(scored)} for scores" if scored.classes else ""
    unused = [_sized(part) for part in layout.held_out if part is not scored or not score]
    return [
        f"splits: {_sized(layout.train)} for training{score}" + (f"; not used: {', '.join(unused)}" if unused else "")
    ]


def _sized(part: Part) -> str:
    return f"{shown(part.name)} ({counted(len(part.paths), 'image')}{'' if part.classes else ', no classes'})"


def _source(
    root: Path,
    part: Part,
    class_names: tuple[str, ...] | None,
    has_test: bool,
    remarks: list[str],
    pictures: Pictures | None,
) -> Source:
    """The source of a part; `pictures`: see `_images`."""
    name, paths, before = str(root / part.name), part.paths, os.path.join(root, "")
    label = None
    if class_names and part.classes:
        numbers = {name: number for number, name in enumerate(class_names)} | {None: -1}
        unknown = sorted(set(part.class_counts) - set(class_names))
        if unknown:
            raise UserError(
                f"{name} has the classes {listing(dict.fromkeys(unknown, ''))} that the training images do not have: "
                f"{listing(dict.fromkeys(class_names, ''))}"
            )
        label = lambda i: numbers[part.classes[i]]  # noqa: E731
    if pictures:
        found = pictures(paths)
        source = Source(
            name=name,
            length=len(found.rows),
            read=lambda i: found.read(found.rows[i]),
            describe=lambda i: found.describe(found.rows[i]),
            label=label and (lambda i: label(found.rows[i].file)),
            class_names=class_names,
            has_test_split=has_test,
            arrays=(found.channels, found.dtype),
            shapes=found.shapes,
            sorted_by_name=True,
            remarks=(*found.remarks, *remarks),
            group=(lambda i: found.patient(found.rows[i])) if found.knows_patients else None,
            root=name,
        )
        return tiled(source, tiling.parse(_cut.tile), _cut.tile_spread, _invalid()) if _cut.tile else source
    return Source(
        name=name,
        length=len(paths),
        read=lambda i: decodable(Path(before + paths[i]).read_bytes()),
        describe=lambda i: before + paths[i],
        label=label,
        class_names=class_names,
        has_test_split=has_test,
        sorted_by_name=True,
        places=Places([before + path for path in paths], np.arange(len(paths))),
        remarks=tuple(remarks),
        root=name,
    )
