"""From the words of `--data` to images: which data there is, which part is for training, which for testing."""

import dataclasses
import os

import numpy as np

from ssl_keras.data.arrays import open_builtin, open_npy
from ssl_keras.data.folders import open_folder
from ssl_keras.data.source import Source, subset
from ssl_keras.data.tfrecords import open_tfds, open_tfrecords
from ssl_keras.errors import UserError

SPECS = (
    "builtin:scenes[:N]",
    "builtin:depth_scenes[:N]",
    "folder:PATH",
    "tfds:NAME[:SPLIT]",
    "npy:PATH",
    "tfrecord:GLOB",
)
TEST_FRACTION = 0.2


def open_source(
    spec: str, split: str = "train", data_dir: str | None = None, canvas_size: int | None = None, seed: int = 0
) -> Source:
    """The images that a data specification names.

    Args:
        spec: one of `SPECS`. N images are rendered of a built-in set (default 4000); SPLIT is tfds's own
            slicing language (`train[:10%]`) and names the training images. `~` in a path is the home folder.
        split: "train", or "test" for the data's own test images.
        data_dir: where tfds finds prepared data sets (default: tfds's own, ~/tensorflow_datasets).
        canvas_size: side of the built-in images, px (default 32); other data has its own sizes.
        seed: which built-in images are rendered.
    Raises:
        UserError: the specification is unknown, or nothing is there; the message says what was looked for
            where.
    """
    kind, _, rest = spec.partition(":")
    if split not in ("train", "test"):
        raise UserError(f"unknown split {split!r}: expected train or test")
    if kind in ("folder", "npy", "tfrecord"):
        rest = os.path.expanduser(rest)
    if rest:
        if kind == "builtin":
            return open_builtin(rest, split, canvas_size or 32, seed)
        if kind == "folder":
            return open_folder(rest, split)
        if kind == "tfds":
            return open_tfds(rest, split, data_dir)
        if kind in ("npy", "tfrecord"):
            if split == "test":
                raise UserError(f"{spec} has no test images of its own")
            return open_npy(rest) if kind == "npy" else open_tfrecords(rest)
    hint = f" (did you mean folder:{spec}?)" if os.path.isdir(os.path.expanduser(spec)) else ""
    raise UserError(f"unknown data {spec!r}: expected one of {', '.join(SPECS)}{hint}")


def train_and_test(
    spec: str, data_dir: str | None = None, canvas_size: int | None = None, seed: int = 0
) -> tuple[Source, Source, str]:
    """Labeled images to fit an evaluation on, labeled images to score it on, and a note on where these come
    from.

    The data's own test (or validation) split where it has one with labels, else a fifth of each class, drawn by a fixed
    permutation that depends on `seed` alone. Every image has a class, and all classes have names: where the data knows
    numbers alone, these are the names, and the classes are numbered anew from 0.

    Raises:
        UserError: the data has no labels, or only one class.
    """
    train = open_source(spec, "train", data_dir, canvas_size, seed)
    if train.labels is None or not (train.labels >= 0).any():
        raise UserError(
            f"{train.name} has no labels, and this needs them: put each class's images in a folder of its own "
            "(folder:PATH with PATH/cat/1.jpg, PATH/dog/2.jpg, ..), an .npy's in PATH.labels.npy (int [N]), a "
            "TFRecord's in the feature image/class/label" + "".join(f"; {remark}" for remark in train.remarks)
        )
    why = ""
    if train.has_test_split:
        test = open_source(spec, "test", data_dir, canvas_size, seed)
        if test.labels is not None and (test.labels >= 0).any():
            train, test = _named(train, test)
            check_classes(train)
            return _labelled(train), _labelled(test), f"test images: {test.name}"
        why = f"{test.name} has no labels, so: "

    (train,) = _named(train)
    check_classes(train)
    held_out = _held_out(train.labels, seed)
    kept = np.flatnonzero((train.labels >= 0) & ~held_out)
    if not held_out.any():
        raise UserError(
            f"{train.name}: a test part cannot be held out of {len(train)} images, two of a class are the least"
        )
    where = "folder" if train.sorted_by_name else "data"
    note = (
        f"{why}held-out {100 * TEST_FRACTION:.0f} % of the {where}'s images; "
        f"a pretraining run on the {where} saw them without labels"
    )
    return (
        subset(train, kept, f"{train.name} (training part)"),
        subset(train, np.flatnonzero(held_out), f"{train.name} (held-out part)"),
        note,
    )


def check_classes(source: Source) -> None:
    """Raises UserError where the labeled images are all of one class, so that nothing is to be told apart."""
    found = np.unique(source.labels[source.labels >= 0])
    if len(found) < 2:
        which = f", {source.class_names[found[0]]!r}" if source.class_names else ""
        raise UserError(
            f"{source.name} has labeled images of one class only{which}: two classes are the least "
            "(the label -1 is none)"
        )


def take(source: Source, n: int | None, seed: int = 0) -> Source:
    """The first n images in stored order; of a folder, n drawn at random, evenly spread over the sorted
    names.

    The first images of a sorted folder would all be of one class. n of None or 0 takes all.
    """
    if not n:
        return source
    if n < 0 or n > len(source):
        raise UserError(f"{n} images asked for, {source.name} has {len(source)}: ask for at most that many")
    if not source.sorted_by_name:
        return subset(source, np.arange(n), f"{source.name} (first {n})")
    # One image from each of n equal stretches of the list.
    edges = np.arange(n + 1) * len(source) // n
    draw = np.random.Generator(np.random.Philox(key=[seed % 2**64, 0])).random(n)
    chosen = edges[:-1] + (draw * np.diff(edges)).astype(np.int64)
    return subset(source, chosen, f"{source.name} ({n} of {len(source)})")


def _held_out(labels: np.ndarray, seed: int) -> np.ndarray:
    """A fifth of each class, at least one image of a class of two: bool [N]."""
    generator = np.random.Generator(np.random.Philox(key=[seed % 2**64, 1]))
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels[labels >= 0]):
        members = generator.permutation(np.flatnonzero(labels == label))
        count = max(1, round(TEST_FRACTION * len(members))) if len(members) > 1 else 0
        held_out[members[:count]] = True
    return held_out


def _named(*parts: Source) -> list[Source]:
    """The parts, their labels at hand; where classes have numbers alone, these become names and are numbered anew."""
    names = parts[0].class_names
    numbers = np.unique(np.concatenate([part.labels[part.labels >= 0] for part in parts]))

    def named(part: Source) -> Source:
        labels = part.labels
        if names is None:
            labels = np.where(labels < 0, -1, np.searchsorted(numbers, labels))
        known = names if names is not None else tuple(str(number) for number in numbers)
        return dataclasses.replace(part, label=lambda i: int(labels[i]), class_names=known)

    return [named(part) for part in parts]


def _labelled(source: Source) -> Source:
    if (source.labels >= 0).all():
        return source
    return subset(source, np.flatnonzero(source.labels >= 0), f"{source.name} (labeled part)")
