"""Which part of the data is for training, which for testing."""

import dataclasses

import numpy as np

from ssl_keras.data.groups.found import class_remarks, grouped
from ssl_keras.data.groups.parts import held_out as held_out_groups
from ssl_keras.data.labels import from_csv
from ssl_keras.data.source import Source, subset
from ssl_keras.data.sources import open_source
from ssl_keras.errors import UserError

TEST_FRACTION = 0.2


def train_and_test(
    spec: str,
    data_dir: str | None = None,
    canvas_size: int | None = None,
    seed: int = 0,
    labeled: bool = True,
    labels: str | None = None,
    group_by: str | None = None,
) -> tuple[Source, Source, str]:
    """Images to fit an evaluation on, images to score it on, and a note on where these come from.

    The data's own test (or validation) split where it has one with labels, else a fifth of each class, drawn by a fixed
    permutation that depends on `seed` alone. Every image has a class, and all classes have names: where the data knows
    numbers alone, these are the names, and the classes are numbered anew from 0.

    Args:
        labeled: whether labels are needed; else the data may be without, and where it has some, all is as with them.
        labels: a CSV file with the labels, see `data.labels`; the test images are then a held-out part of those that
            it names.
        group_by: which images belong together, see `data.groups`: they are never on both sides, and both sources have
            `groups`. None: all are taken for independent, which `groups.both_sides` can doubt.

    Raises:
        UserError: labels are needed, and the data has none, or only one class; the labels or the groups do not fit the
            images.
    """
    train = open_source(spec, "train", data_dir, canvas_size, seed)
    if labels:
        train = dataclasses.replace(from_csv(train, labels), has_test_split=False)
    if train.labels is None or not (train.labels >= 0).any():
        if not labeled:
            return _without_labels(train, spec, data_dir, canvas_size, seed, group_by)
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
            train, test = grouped([train, test], group_by)
            train, note = _apart(train, test)
            return _labeled(train), _labeled(test), f"test images: {test.name}{note}"
        why = f"{test.name} has no labels, so: "

    (train,) = _named(train)
    check_classes(train)
    (train,) = grouped([train], group_by)
    held_out = _held_out(train, train.labels, seed)
    kept = (train.labels >= 0) & ~held_out
    where = "folder" if train.sorted_by_name else "data"
    note = f"{why}{_told(train, held_out, where)}; a pretraining run on the {where} saw them without labels"
    if train.groups is not None:
        train = dataclasses.replace(train, remarks=(*train.remarks, *class_remarks(train)))
    return *_parts(train, kept, held_out), note


def _without_labels(train: Source, spec: str, data_dir, canvas_size, seed: int, group_by: str | None):
    if train.has_test_split:
        test = open_source(spec, "test", data_dir, canvas_size, seed)
        train, test = grouped([train, test], group_by)
        train, note = _apart(train, test)
        return train, test, f"test images: {test.name}{note}"
    (train,) = grouped([train], group_by)
    held_out = _held_out(train, np.zeros(len(train), np.int64), seed)
    return *_parts(train, ~held_out, held_out), f"{_told(train, held_out, 'data')}, which have no labels"


def _told(source: Source, held_out: np.ndarray, where: str) -> str:
    """Which images are held out."""
    if source.groups is None:
        return f"held-out {100 * TEST_FRACTION:.0f} % of the {where}'s images"
    count, groups = int(held_out.sum()), len(np.unique(source.groups[held_out]))
    return f"held-out {count / len(source):.0%} of the {where}'s images, whole groups, {groups} of them"


def _parts(source: Source, kept: np.ndarray, held_out: np.ndarray) -> tuple[Source, Source]:
    return (
        subset(source, np.flatnonzero(kept), f"{source.name} (training part)"),
        subset(source, np.flatnonzero(held_out), f"{source.name} (held-out part)"),
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
    """The first n images in stored order; of a folder, n drawn at random, evenly spread over the sorted names.

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


def _held_out(source: Source, labels: np.ndarray, seed: int) -> np.ndarray:
    """About a fifth of each class, at least one image of a class of two: bool [N]; whole groups where these are known.

    Raises:
        UserError: there is nothing that can be held out.
    """
    if source.groups is not None:
        held_out = held_out_groups(labels, source.groups, seed, TEST_FRACTION)
        if not held_out.any():
            count = len(np.unique(source.groups[labels >= 0]))
            raise UserError(
                f"{source.name}: none of the {count} groups can be held out: each class needs images of two groups, so "
                "that one is left for training; choose another --group_by, or give more images"
            )
        classes, left = np.unique(labels[held_out]), np.unique(labels[labels >= 0])
        if len(classes) < min(2, len(left)):
            name = source.class_names[classes[0]] if source.class_names else classes[0]
            raise UserError(
                f"{source.name}: of {len(left)} classes, {name} alone has a group that can be held out: each class "
                "needs images of two groups, so that one is left for training; choose another --group_by, or give more "
                "images"
            )
        return held_out
    generator = np.random.Generator(np.random.Philox(key=[seed % 2**64, 1]))
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels[labels >= 0]):
        members = generator.permutation(np.flatnonzero(labels == label))
        count = max(1, round(TEST_FRACTION * len(members))) if len(members) > 1 else 0
        held_out[members[:count]] = True
    if not held_out.any():
        raise UserError(
            f"{source.name}: a test part cannot be held out of {len(source)} images, two of a class are the least"
        )
    return held_out


def _apart(train: Source, test: Source) -> tuple[Source, str]:
    """The training images of other groups than the test images', and a note on how many are left out."""
    if train.groups is None:
        return train, ""
    shared = np.isin(train.groups, test.groups)
    if shared.all():
        raise UserError(f"{train.name}: all training images are of groups that the test images have too")
    if not shared.any():
        return train, ""
    kept = subset(train, np.flatnonzero(~shared), f"{train.name} (other groups)")
    if kept.labels is not None and (kept.labels >= 0).any():
        check_classes(kept)
    return kept, f"; {int(shared.sum())} training images are left out, whose groups are among the test images"


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


def _labeled(source: Source) -> Source:
    if (source.labels >= 0).all():
        return source
    return subset(source, np.flatnonzero(source.labels >= 0), f"{source.name} (labeled part)")
