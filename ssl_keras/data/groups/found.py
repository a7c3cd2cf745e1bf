"""The groups of a data set's images, as `--group_by` asks for them."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from ssl_keras.data.groups import copies
from ssl_keras.data.groups.names import FORMS, NUMBERED, Rule, by_folder, by_pattern, parse
from ssl_keras.data.source import Source
from ssl_keras.errors import UserError
from ssl_keras.words import counted, shown

MOST = 0.5  # share of the images in one group above which something is probably wrong with the groups


def grouped(sources: Sequence[Source], group_by: str | None) -> list[Source]:
    """The sources with `groups`, whose numbers mean the same in all of them; as they are for None and "none".

    What was found stands in the first one's remarks. All images are read once, to find copies.

    Args:
        group_by: see `names.parse`.

    Raises:
        UserError: it fits none of the images, or all of them are of one group.
    """
    rule = parse(group_by)
    if rule.kind == "none":
        return list(sources)
    names = [name for source in sources for name in names_of(source)]
    if rule.kind == "auto":
        rule = by_themselves(sources, names)
    keys = _keys(rule, group_by, sources, names)
    numbers, titles = _numbered(keys, names)
    before = len(titles)
    numbers, copied = copies.joined(numbers, copies.digests(sources))
    remarks = [*_remarks(rule, group_by, keys, names), *_of_sizes(numbers, keys, names)]
    if copied:
        now = int(numbers.max()) + 1
        remarks.append(f"{counted(copied, 'image')} with copies, which are of one group: {before} groups became {now}")
    edges = np.cumsum([0, *map(len, sources)])
    parts = [
        dataclasses.replace(source, groups=numbers[first:last])
        for source, first, last in zip(sources, edges, edges[1:])
    ]
    parts[0] = dataclasses.replace(parts[0], remarks=(*parts[0].remarks, *remarks))
    return parts


def names_of(source: Source) -> list[str]:
    """The images' names, paths below the source's folder where they lie in one."""
    start = f"{source.root}/" if source.root else ""
    return [source.describe(i).removeprefix(start) for i in range(len(source))]


def patients_of(sources: Sequence[Source]) -> list[str | None]:
    """What each image shares with others as its file tells, see `Source.group`, one source after another."""
    return [source.group(i) if source.group else None for source in sources for i in range(len(source))]


def by_themselves(sources: Sequence[Source], names: list[str]) -> Rule:
    """The rule of groups that show without being asked for: patients of whom there are several images, else numbered
    names of files; "none" where there are no such groups."""
    patients = Counter(patient for patient in patients_of(sources) if patient is not None)
    if patients and max(patients.values()) > 1:
        return Rule("patient")
    classes = np.concatenate([source.labels_if_fine for source in sources])
    if all(source.root is not None for source in sources) and are_groups(by_pattern(names, NUMBERED), classes):
        return Rule("pattern", pattern=NUMBERED)
    return Rule("none")


def are_groups(keys: Sequence, classes: Sequence[int]) -> bool:
    """Whether these may be groups of images: all have one, they are of two images on average, not one of all, and not
    the classes themselves."""
    sizes = Counter(keys)
    if None in sizes or len(sizes) < 2 or 2 * len(sizes) > len(keys):
        return False
    classes_of, groups_of = defaultdict(set), defaultdict(set)
    for key, label in zip(keys, classes):
        classes_of[key].add(int(label))
        groups_of[int(label)].add(key)
    one_each = all(len(of) == 1 for of in (*classes_of.values(), *groups_of.values()))
    return not one_each


def class_remarks(source: Source) -> list[str]:
    """What is to be said of groups beside classes: classes that lie in one group, and a group that has all classes
    where most others have one."""
    known = np.flatnonzero(source.labels >= 0)
    pairs, first = np.unique(np.stack([source.labels[known], source.groups[known]]), axis=1, return_index=True)
    classes, where, groups_each = np.unique(pairs[0], return_index=True, return_counts=True)
    _, classes_each = np.unique(pairs[1], return_counts=True)
    remarks = []

    def name(label: int) -> str:
        return source.class_names[label] if source.class_names else str(label)

    alone = [n for n in range(len(classes)) if groups_each[n] == 1]
    if alone:
        label = int(classes[alone[0]])
        image = source.describe(int(known[first[where[alone[0]]]]))
        count = int((source.labels == label).sum())
        remarks.append(
            f"{counted(len(alone), 'class').replace('classs', 'classes')} of one group alone, which cannot be held "
            f"out: such as {name(label)}, {counted(count, 'image')}, the group of {image}"
        )
    whole = np.unique(pairs[1])[classes_each == len(classes)]
    if len(classes) > 1 and len(whole) and 2 * (classes_each == 1).sum() > len(classes_each):
        image = source.describe(int(known[source.groups[known] == whole[0]][0]))
        remarks.append(
            f"{counted(len(whole), 'group')} with images of all {len(classes)} classes, where most have one: is it one "
            f"patient or scene? such as that of {image}"
        )
    return remarks


def _keys(rule: Rule, group_by: str | None, sources: Sequence[Source], names: list[str]) -> list[str | None]:
    """The group of each image, None where it has none."""
    if rule.kind == "none":
        return [None] * len(names)
    if rule.kind == "patient":
        keys = patients_of(sources)
        why = f"none of the {len(names)} images of {sources[0].name} tells its patient or volume, as files in DICOM do"
    elif rule.kind == "folder":
        if not all(source.root is not None for source in sources):
            raise UserError(f"--group_by={group_by}: the images of {sources[0].name} are no files in folders")
        keys = by_folder(names, rule.folders)
        why = f"none of the {len(names)} images lies below so many folders; the first is {names[0]}"
    else:
        keys = by_pattern(names, rule.pattern)
        why = f"the pattern is found in none of {len(names)} names; the first is {names[0]}"
    found = set(keys) - {None}
    if not found:
        raise UserError(f"--group_by={group_by}: {why}: expected {FORMS}")
    if len(found) == 1 and None not in keys and len(keys) > 1:
        raise UserError(
            f"--group_by={group_by}: all {len(keys)} images are of one group, {shown(found.pop())}, so that none can "
            "be held out: choose what tells them apart"
        )
    return keys


def _numbered(keys: list[str | None], names: list[str]) -> tuple[np.ndarray, list[str]]:
    """A number for each group, int [N], an image without one being alone; and what each group is called."""
    number: dict[object, int] = {}
    numbers = [number.setdefault((i, None) if key is None else key, len(number)) for i, key in enumerate(keys)]
    return np.array(numbers), [names[key[0]] if isinstance(key, tuple) else key for key in number]


def _remarks(rule: Rule, group_by: str | None, keys: list[str | None], names: list[str]) -> list[str]:
    """What the groups are taken from, and which images have none."""
    if rule.kind == "none":
        return [f"groups (--group_by={group_by}): none are seen; copies alone are kept together"]
    files = "what files tell: patients, else volumes or images cut into tiles"
    known = {"patient": files, "folder": f"folders, folder:{rule.folders}"}
    by = known.get(rule.kind, rule.pattern)
    sizes = Counter(key for key in keys if key is not None)
    largest, most = sizes.most_common(1)[0]
    said = [
        f"groups by {by}: {len(sizes)} of {counted(sizes.total(), 'image')}; the largest, {shown(largest)}, has {most}"
    ]
    if most == 1:
        said.append(f"no two images are of one group by --group_by={group_by}: a split is as without groups")
    alone = [name for name, key in zip(names, keys) if key is None]
    if alone:
        said.append(f"{counted(len(alone), 'image')} without a group, each a group of its own; first: {alone[0]}")
    return said


def _of_sizes(numbers: np.ndarray, keys: list[str | None], names: list[str]) -> list[str]:
    """Of a group that has most of the images, copies joined."""
    sizes = np.bincount(numbers)
    largest = int(sizes.argmax())
    if sizes[largest] <= MOST * len(numbers) or len(numbers) < 3:
        return []
    first = int((numbers == largest).argmax())
    title = names[first] if keys[first] is None else keys[first]
    return [
        f"one group has {sizes[largest]} of {len(numbers)} images, {sizes[largest] / len(numbers):.0%}: that of "
        f"{shown(title)}. A held-out part is then small: check --group_by"
    ]
