"""What the folders of an image tree mean: splits, classes, or nothing. A function of paths alone."""

import re
from collections import Counter
from dataclasses import dataclass

from ssl_keras.errors import UserError
from ssl_keras.words import counted, listing, shown

TRAIN = ("train", "training")
# In this order: the first that is there, and has classes, is scored on.
HELD_OUT = ("test", "testing", "eval", "evaluation", "holdout", "heldout", "val", "valid", "validation", "dev")
_ADDED = ("dataset", "set", "split", "data", "images", "imgs")  # training_set, test-images, ...


@dataclass(frozen=True)
class Part:
    """The images of a split, or of the whole tree.

    Args:
        name: its folder below the root, "" for the root itself.
        paths: relative to the root, with forward slashes, sorted.
        classes: the name of each image's class (None: it has none), or None where there are no classes.
        mostly_beside: folders that are no classes because as many images lie beside them as in them, or more.
    """

    name: str
    paths: list[str]
    classes: list[str | None] | None
    mostly_beside: tuple[str, ...] = ()

    @property
    def class_counts(self) -> dict[str, int]:
        """How many images each class has, in the order of the names."""
        return dict(sorted(Counter(filter(None, self.classes or ())).items()))

    def remarks(self) -> list[str]:
        """What is to be known about its labels."""
        if self.mostly_beside:
            return [
                f"no classes: as many images lie beside the {counted(len(self.mostly_beside), 'subfolder')} "
                f"({listing(dict.fromkeys(self.mostly_beside, ''))}) as in them, or more"
            ]
        beside = [path for path, name in zip(self.paths, self.classes or ()) if name is None]
        if not beside:
            return []
        return [f"{counted(len(beside), 'image')} without a class, beside the class folders; first: {shown(beside[0])}"]


@dataclass(frozen=True)
class Layout:
    """The training images, the parts that are held out (best to score on first), and remarks on the splits."""

    train: Part
    held_out: list[Part]
    remarks: list[str]


def split_of(folder: str) -> str | None:
    """The split that a folder's name stands for, in any case: a word of `TRAIN` or `HELD_OUT`, or None.

    Separators, a year at the end and words such as "set" or "images" make no difference: Training_Set, val2017.
    """
    word = re.sub(r"(19|20)\d\d$", "", re.sub(r"[\W_]+", "", folder.lower()))
    word = next((word.removesuffix(added) for added in _ADDED if word.endswith(added)), word)
    return word if word in TRAIN + HELD_OUT else None


def arrange(paths: list[str], folders: list[str]) -> Layout:
    """Splits and classes of a tree.

    A subfolder that holds all images is looked into: archive/dataset/train is found. Folders are splits where one of
    `TRAIN` lies beside one of `HELD_OUT`; or in each class folder, as in cat/train, cat/test, dog/train, dog/test.
    Otherwise all images are for training. The first-level subfolders of a part are classes where more of its images
    lie in them than beside them; those beside them have no class.

    Args:
        paths: of the images, relative to the root, sorted.
        folders: of all folders, so that an empty split is noticed.

    Raises:
        UserError: there are two training folders, an empty one, or held-out folders alone.
    """
    base = _unwrapped(paths, "", folders=folders)
    _, subfolders = _grouped(paths, base)
    trains, helds = _splits(folders, base)
    if trains and helds:
        layout = _split_layout(paths, base, trains, helds)
    elif len(subfolders) > 1 and set(subfolders) == set(helds):
        raise UserError(
            f"{' and '.join(base + name for name in helds)} hold test images, and no folder of training images (train "
            f"or training) lies beside them: give the path of one of them, such as {base}{helds[0]}, to use its images"
        )
    elif len(subfolders) > 1 and all(all(_splits(folders, f"{base}{name}/")) for name in subfolders):
        layout = _class_first_layout(paths, base)
    else:
        alone = [f"no classes: {base[:-1]} is the one folder that holds images"] if base and not subfolders else []
        return Layout(_part(base, paths, base), [], alone + _taken_for_classes(trains + helds, subfolders))

    parts = (layout.train, *layout.held_out)
    if sum(len(part.paths) for part in parts) < len(paths):
        used = {path for part in parts for path in part.paths}
        outside = [path for path in paths if path not in used]
        said = f"{counted(len(outside), 'image')} outside these splits, not used; first: {shown(outside[0])}"
        layout.remarks.append(said)
    return layout


def _split_layout(paths: list[str], base: str, trains: list[str], helds: list[str]) -> Layout:
    """base/train/cat/1.jpg, or base/train/1.jpg."""
    if len(trains) > 1:
        raise UserError(f"there are several folders of training images, {base}{' and '.join(trains)}: keep one")
    inside = {name: [path for path in paths if path.startswith(f"{base}{name}/")] for name in trains + helds}
    if not inside[trains[0]]:
        raise UserError(f"no images in the training folder {base}{trains[0]}, which lies beside {', '.join(helds)}")
    train = _part(base + trains[0], inside[trains[0]], _unwrapped(inside[trains[0]], f"{base}{trains[0]}/"))
    held_out = [
        _part(base + name, inside[name], _unwrapped(inside[name], f"{base}{name}/", set(train.class_counts)))
        for name in helds
        if inside[name]
    ]
    empty = [f"no images in {base}{name}" for name in helds if not inside[name]]
    return Layout(train, held_out, empty)


def _class_first_layout(paths: list[str], base: str) -> Layout:
    """base/cat/train/1.jpg."""
    found: dict[str, list[str]] = {}
    for path in paths:
        parts = path.removeprefix(base).split("/")
        split = split_of(parts[1]) if path.startswith(base) and len(parts) > 2 else None
        if split:
            found.setdefault("train" if split in TRAIN else split, []).append(path)
    if "train" not in found:
        raise UserError(f"no images in the training folders of the classes below {base or 'the folder'}")
    parts = {split: _part(f"{base}*/{split}", inside, base) for split, inside in found.items()}
    return Layout(parts["train"], [parts[split] for split in HELD_OUT if split in parts], [])


def _part(name: str, paths: list[str], base: str) -> Part:
    """The part with its classes: the folders at `base`, where more than half of its images lie in them."""
    classes = [
        path[len(base) :].split("/")[0] if path.startswith(base) and "/" in path[len(base) :] else None
        for path in paths
    ]
    folders = sorted(set(filter(None, classes)))
    if folders and sum(name is not None for name in classes) <= len(paths) / 2:
        return Part(name.rstrip("/"), paths, None, tuple(folders))
    return Part(name.rstrip("/"), paths, classes if folders else None)


def _unwrapped(paths: list[str], base: str, known: set[str] = frozenset(), folders: list[str] = ()) -> str:
    """The folder below `base` in which classes and splits lie: a single subfolder is looked into, if it is no known
    class and most images are in it."""
    while True:
        loose, subfolders = _grouped(paths, base)
        if len(subfolders) != 1 or all(_splits(folders, base)):
            return base
        ((name, inside),) = subfolders.items()
        if name in known or len(loose) >= len(inside):
            return base
        base, paths = f"{base}{name}/", inside


def _grouped(paths: list[str], base: str) -> tuple[list[str], dict[str, list[str]]]:
    """Those of the paths below `base` that lie in no subfolder, and the others by subfolder."""
    loose, subfolders = [], {}
    for path in paths:
        if path.startswith(base):
            name, slash, _ = path[len(base) :].partition("/")
            (subfolders.setdefault(name, []) if slash else loose).append(path)
    return loose, subfolders


def _splits(folders: list[str], base: str) -> tuple[list[str], list[str]]:
    """The names of training folders and of held-out folders (best first) that lie in `base`."""
    inside = [folder[len(base) :] for folder in folders if folder.startswith(base) and "/" not in folder[len(base) :]]
    split = {name: split_of(name) for name in inside}
    trains = [name for name in inside if split[name] in TRAIN]
    helds = [name for name in inside if split[name] in HELD_OUT]
    return trains, sorted(helds, key=lambda name: HELD_OUT.index(split[name]))


def _taken_for_classes(names: list[str], subfolders: dict) -> list[str]:
    names = [name for name in names if name in subfolders]
    if not names or len(subfolders) < 2:
        return []
    lacking = "train or training" if split_of(names[0]) in HELD_OUT else "test or val"
    return [f"taken for a class: {', '.join(names)}, as no folder {lacking} lies beside it"]
