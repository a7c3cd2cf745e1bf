"""Images that belong together, such as those of a patient or the frames of a film: they must not be on both sides of a
split."""

from collections import Counter, defaultdict

import numpy as np

from ssl_keras.data.groups.found import are_groups
from ssl_keras.data.groups.names import NUMBERED, by_pattern


def groups(names: list[str], patients: list[str | None], classes: list[int], class_names: list[str]) -> list[dict]:
    """The kinds of groups that were found.

    Args:
        names: of the images, paths below their folder; [] where they have none.
        patients: what an image shares with others of its patient, as its file tells; None: not known.
        classes: class number of each image, -1 for none.
        class_names: by class number.

    Returns:
        {"by", "group_by", "groups", "images", "largest", "groups_of_several_classes", "groups_per_class"} of each kind.
    """
    known = [(patient, label) for patient, label in zip(patients, classes) if patient is not None]
    sizes = Counter(patient for patient, _ in known)
    found = []
    if len(sizes) > 1 and max(sizes.values()) > 1:
        found.append(_told("patients, volumes or images cut into tiles, as the files tell", "auto", known, class_names))
    numbered = by_pattern(names, NUMBERED)
    if are_groups(numbered, classes):
        by = "numbered names: what stands before the last number"
        found.append(_told(by, NUMBERED, list(zip(numbered, classes)), class_names))
    return found


def _told(by: str, group_by: str, members: list[tuple], class_names: list[str]) -> dict:
    """A kind of groups, of (group, class) of each image."""
    sizes = Counter(group for group, _ in members)
    classes_of, groups_of = defaultdict(set), defaultdict(set)
    for group, label in members:
        classes_of[group].add(label)
        groups_of[label].add(group)
    return {
        "by": by,
        "group_by": group_by,
        "groups": len(sizes),
        "images": len(members),
        "largest": max(sizes.values()),
        "median": float(np.median(list(sizes.values()))),
        "groups_of_several_classes": sum(len(of) > 1 for of in classes_of.values()),
        "groups_per_class": {class_names[label]: len(of) for label, of in sorted(groups_of.items()) if label >= 0},
    }
