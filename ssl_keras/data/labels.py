"""Labels from beside the images: a CSV file of paths and labels."""

import csv
import dataclasses
import os
import re

import numpy as np

from ssl_keras.data.source import Source
from ssl_keras.errors import UserError
from ssl_keras.words import counted, nearest, shown

COLUMNS = ("path", "label")
TILE = re.compile(r"\[\d+,\d+\]$")  # after the path of an image, see `tiles`


def from_csv(source: Source, path: str) -> Source:
    """The source with the labels of a CSV file, and no others; images that it does not name have none.

    Args:
        source: whose `describe` gives paths, such as a folder.
        path: of a CSV file with a header that has the columns path and label. A path is that of the image, or its end,
            such as its place in the folder; it stands for all tiles of the image. Classes are numbered in the order of
            their names.

    Raises:
        UserError: the file cannot be read, lacks a column or a label, or names images that there are not, or several
            at once.
    """
    rows = _rows(path)
    if not rows:
        raise UserError(f"{shown(path)} names no images")
    by_name: dict[str, list[int]] = {}
    places = [TILE.sub("", source.describe(i)) for i in range(len(source))]
    for i, place in enumerate(places):
        by_name.setdefault(os.path.basename(place), []).append(i)
    names = sorted({label for _, label in rows})
    numbers = {name: number for number, name in enumerate(names)}
    labels = np.full(len(source), -1, np.int32)
    unknown = []
    for image, label in rows:
        end = shown(os.path.normpath(image))
        found = [i for i in by_name.get(os.path.basename(end), []) if (os.sep + places[i]).endswith(os.sep + end)]
        if len({places[i] for i in found}) > 1:
            some = places[found[0]]
            raise UserError(f"{shown(path)}: {end} names {len(found)} images, such as {some}: write more of the path")
        if not found:
            unknown.append(end)
            continue
        if labels[found[0]] not in (-1, numbers[label]):
            raise UserError(f"{shown(path)} gives {end} two labels, {names[labels[found[0]]]!r} and {label!r}")
        labels[found] = numbers[label]
    if unknown:
        like = nearest(unknown[0], places)
        raise UserError(
            f"{shown(path)} names {counted(len(unknown), 'file')} that {source.name} does not have, of {len(rows)}: "
            f"{', '.join(unknown[:3])}{', ..' * (len(unknown) > 3)}{like}"
        )
    return dataclasses.replace(source, label=lambda i: int(labels[i]), class_names=tuple(names))


def _rows(path: str) -> list[tuple[str, str]]:
    """(path, label) of each line."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                have = ", ".join(map(shown, reader.fieldnames or ())) or "none"
                raise UserError(
                    f"{shown(path)} has no column {' and no column '.join(missing)}: its first line must name the "
                    f"columns path and label, and names {have}"
                )
            rows = [(row["path"], row["label"]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"the labels in {shown(path)} cannot be read: {error}") from error
    for number, (image, label) in enumerate(rows, 2):
        if not image or not label:
            raise UserError(f"{shown(path)}, line {number}: a path and a label are needed")
    return rows
