"""Images that belong together, such as those of a patient or the frames of a film: they must not be on both sides of a
split."""

from collections import Counter, defaultdict

import numpy as np

from ssl_keras.data import labels
from ssl_keras.errors import UserError

NUMBERED = r"^(.*?)[0-9]+[^0-9]*$"  # what stands before the last number of a name, as --group_by takes it


def groups(names: list[str], hashes: list[str | None], classes: list[int], class_names: list[str]) -> list[dict]:
    """The kinds of groups that were found.

    Args:
        names: of the images, paths where they have some.
        hashes: what an image shares with others of its patient or volume, as its file tells; None: not known.
        classes: class number of each image, -1 for none.
        class_names: by class number.

    Returns:
        {"by", "group_by", "groups", "images", "largest", "groups_of_several_classes", "groups_per_class"} of each kind.
    """
    found = []
    known = [(group, label) for group, label in zip(hashes, classes) if group is not None]
    told = _told("patient or volume, as the files say", None, known, class_names)
    if told:
        found.append(told)
    try:
        numbers = labels.groups(names, NUMBERED)
    except UserError:  # a name without a number
        return found
    members = list(zip(numbers.tolist(), classes))
    told = _told("numbered names: what stands before the last number", NUMBERED, members, class_names)
    return [*found, told] if told else found


def _told(by: str, pattern: str | None, members: list[tuple], class_names: list[str]) -> dict | None:
    """A kind of groups; None where these are no groups: one of all, of one image each, or the classes themselves."""
    sizes = Counter(group for group, _ in members)
    classes_of = defaultdict(set)
    for group, label in members:
        classes_of[group].add(label)
    groups_of = defaultdict(set)
    for group, label in members:
        groups_of[label].add(group)
    several = [group for group, of in classes_of.items() if len(of) > 1]
    are_classes = not several and all(len(of) == 1 for of in groups_of.values())
    if len(sizes) < 2 or 2 * len(sizes) > len(members) or are_classes:
        return None
    return {
        "by": by,
        "group_by": pattern,
        "groups": len(sizes),
        "images": len(members),
        "largest": max(sizes.values()),
        "median": float(np.median(list(sizes.values()))),
        "groups_of_several_classes": len(several),
        "groups_per_class": {class_names[label]: len(of) for label, of in sorted(groups_of.items()) if label >= 0},
    }
