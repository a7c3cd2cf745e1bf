"""A folder of image files as a source."""

import os
from pathlib import Path

import numpy as np

from ssl_keras.data.source import Places, Source
from ssl_keras.data.transcode import decodable

EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")
TEST_FOLDERS = ("test", "val", "validation")


def open_folder(path: str, split: str = "train") -> Source:
    """All image files below a folder, in the order of their sorted paths.

    Where the folder holds `train` beside `test` (or `val`), these are the splits. Where every image lies in a
    subfolder, the first-level subfolders are the classes; otherwise there are no labels. Hidden files and
    files without an image's extension are passed over.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise ValueError(f"folder:{path}: {root.absolute()} {what}")
    held_out = next((root / name for name in TEST_FOLDERS if (root / name).is_dir()), None)
    has_splits = held_out is not None and (root / "train").is_dir()
    if split == "test" and not has_splits:
        raise ValueError(f"{root} has no test images of its own: expected the subfolders train and test (or val)")

    base = root / "train" if has_splits else root
    class_names = _class_names(_image_paths(base))
    if split == "test":
        base = held_out
    paths = _image_paths(base)
    if not paths:
        raise ValueError(f"no images below {base.absolute()}: looked for {' '.join(EXTENSIONS)}")
    label = _labeller(paths, class_names, base) if class_names else None
    return Source(
        name=str(base),
        length=len(paths),
        read=lambda i: decodable((base / paths[i]).read_bytes()),
        describe=lambda i: str(base / paths[i]),
        label=label,
        class_names=class_names,
        has_test_split=has_splits,
        sorted_by_name=True,
        places=Places([str(base / path) for path in paths], np.arange(len(paths))),
    )


def _image_paths(root: Path) -> list[str]:
    """Paths relative to the root, with forward slashes, sorted."""
    found = []
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        found += [
            Path(folder, name).relative_to(root).as_posix()
            for name in files
            if name.lower().endswith(EXTENSIONS) and not name.startswith(".")
        ]
    return sorted(found)


def _class_names(paths: list[str]) -> tuple[str, ...] | None:
    if not paths or any("/" not in path for path in paths):
        return None
    return tuple(sorted({path.split("/")[0] for path in paths}))


def _labeller(paths: list[str], class_names: tuple[str, ...], base: Path):
    numbers = {name: number for number, name in enumerate(class_names)}
    unknown = {path.split("/")[0] for path in paths} - set(numbers)
    if unknown:
        raise ValueError(
            f"{base} has the classes {sorted(unknown)} that the training images do not have: {list(class_names)}"
        )
    return lambda i: numbers[paths[i].split("/")[0]]
