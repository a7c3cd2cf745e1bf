"""What was seen, counted: formats, sizes, types, classes, files that cannot be read."""

from collections import Counter, defaultdict

import numpy as np

from ssl_keras.inspection.looks import TEST, TRAIN, Look

SHOWN = 10
EDGES = (1, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)  # px, of the histogram of sizes


def formats(looks: list[Look]) -> dict:
    """How many images are of which format, type of numbers and number of channels."""
    kinds = [look.kind for look in looks if look.kind]
    return {
        "formats": _counts(kind.format for kind in kinds),
        "dtypes": _counts(kind.dtype for kind in kinds),
        "channels": _counts(str(kind.shape[2]) for kind in kinds),
    }


def sizes(looks: list[Look]) -> dict:
    """Heights and widths: the ends, the median, the most frequent, and a histogram in two dimensions."""
    shapes = np.array([look.kind.shape[:2] for look in looks if look.kind], np.int64).reshape(-1, 2)
    if not len(shapes):
        return {"different": 0, "most_frequent": {}, "histogram": []}
    known = Counter(map(tuple, shapes.tolist()))
    edges = np.array(EDGES)
    rows, columns = (np.searchsorted(edges, shapes[:, axis], side="right") - 1 for axis in (0, 1))
    cells = Counter(zip(rows.tolist(), columns.tolist()))
    return {
        "height": _span(shapes[:, 0]),
        "width": _span(shapes[:, 1]),
        "longer_side_median": int(np.median(shapes.max(1))),
        "different": len(known),
        "most_frequent": {f"{height} x {width}": count for (height, width), count in known.most_common(SHOWN)},
        "histogram": [
            {"height_from": EDGES[row], "width_from": EDGES[column], "images": count}
            for (row, column), count in sorted(cells.items())
        ],
    }


def classes(labels: list[np.ndarray | None], names: tuple[str, ...] | None) -> dict:
    """{name: {"train", "test"}} by what the sources say of all images; numbers where there are no names; {} without."""
    found: dict[str, dict[str, int]] = {}
    for part, own in zip(("train", "test"), labels):
        numbers, counts = np.unique(own[own >= 0] if own is not None else [], return_counts=True)
        for number, count in zip(numbers.astype(int), counts):
            found.setdefault(class_name(names, number), {"train": 0, "test": 0})[part] = int(count)
    return found


def class_name(names: tuple[str, ...] | None, number: int) -> str:
    return names[number] if names else str(number)


def unreadable(listed: list[tuple[int, str, str]]) -> dict:
    """How many images cannot be read, by reason, and the first names of each."""
    by_reason = defaultdict(list)
    for _, name, reason in sorted(listed, key=lambda row: row[1]):
        by_reason[reason].append(name)
    ordered = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    return {
        "images": len(listed),
        "in_training": sum(part == TRAIN for part, _, _ in listed),
        "in_test": sum(part == TEST for part, _, _ in listed),
        "reasons": [{"reason": reason, "images": len(names), "first": names[:SHOWN]} for reason, names in ordered],
    }


def constant(looks: list[Look], name) -> dict:
    """Images in which nothing is to be seen: one number throughout."""
    names = sorted(name(look) for look in looks if look.constant)
    return {"images": len(names), "first": names[:SHOWN]}


def _counts(values) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _span(numbers: np.ndarray) -> dict[str, int]:
    return {"minimum": int(numbers.min()), "median": int(np.median(numbers)), "maximum": int(numbers.max())}
