"""A folder of image files as a source."""

from pathlib import Path

import numpy as np

from ssl_keras.data import measured
from ssl_keras.data.folders.image_tree import EXTENSIONS, image_tree
from ssl_keras.data.folders.layout import Layout, Part, arrange
from ssl_keras.data.formats.transcode import decodable
from ssl_keras.data.source import Places, Source, Wanted
from ssl_keras.errors import UserError
from ssl_keras.words import counted, listing, shown

FORMS = ("folder:PATH",)


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
    tree = image_tree(str(root), tuple(dict.fromkeys((*EXTENSIONS, *measured.endings()))))
    if not tree.images:
        found = "".join(f"; {remark}" for remark in tree.remarks())
        raise UserError(f"no images below {root.absolute()}: looked for {' '.join(EXTENSIONS)}{found}")
    paths, readers, left_out = measured.sorted_out(root, tree.images, EXTENSIONS)
    reader_of = dict(zip(paths, readers))
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
        return _source(root, layout.train, class_names, scored is not None, remarks, reader_of)
    if scored is None:
        raise UserError(f"{root} has no test images of its own: expected the subfolders train and test (or val)")
    return _source(root, scored, class_names, True, scored.remarks(), reader_of)


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
    reader_of: dict[str, str],
) -> Source:
    """The source of a part.

    Args:
        reader_of: {path: its reader}; {} for ordinary images.
    """
    name, paths = str(root / part.name), part.paths
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
    if reader_of:
        found = measured.Measured([root / path for path in paths], [reader_of[path] for path in paths])
        return Source(
            name=name,
            length=len(found.rows),
            read=lambda i: found.read(found.rows[i]),
            describe=lambda i: shown(found.describe(found.rows[i])),
            label=label and (lambda i: label(found.rows[i].file)),
            class_names=class_names,
            has_test_split=has_test,
            arrays=(found.channels, found.dtype),
            shapes=found.shapes,
            sorted_by_name=True,
            remarks=(*found.remarks, *remarks),
        )
    return Source(
        name=name,
        length=len(paths),
        read=lambda i: decodable((root / paths[i]).read_bytes()),
        describe=lambda i: shown(str(root / paths[i])),
        label=label,
        class_names=class_names,
        has_test_split=has_test,
        sorted_by_name=True,
        places=Places([str(root / path) for path in paths], np.arange(len(paths))),
        remarks=tuple(remarks),
    )
