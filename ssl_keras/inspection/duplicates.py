"""Images that are there more than once: the same pixels, or nearly the same picture."""

from collections.abc import Callable

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ssl_keras.inspection.looks import TEST, TRAIN, Look

BITS = 4  # hashes that differ in so many bits at most are near
DISTANCE = 8.0  # levels of 255, the mean difference of two small copies, up to which images look alike
# Into one more part than bits may differ: two near hashes agree in one part at least, so only those are compared.
BANDS = ((0, 13), (13, 13), (26, 13), (39, 13), (52, 12))
CROWD = 500  # of so many with a like part an image is compared with those next in brightness alone
SHOWN = 20


def near_pairs(hashes: np.ndarray, small: np.ndarray) -> np.ndarray:
    """The pairs (i, j), i < j, of images that look alike, int [M, 2].

    Hashes alone find X-rays of one pose alike, which differ in what the small copies still show.

    Args:
        hashes: uint64 [N].
        small: uint8 [N, D], see `Look.small`.
    """
    by_brightness = np.argsort(small.mean(1), kind="stable")
    hashes, small = hashes[by_brightness], small[by_brightness].astype(np.int16)
    found = [np.empty([0, 2], np.int64)]
    for first, length in BANDS:
        band = (hashes >> np.uint64(first)) & np.uint64((1 << length) - 1)
        order = np.argsort(band, kind="stable")
        for bucket in np.split(order, np.flatnonzero(np.diff(band[order])) + 1):
            for place, i in enumerate(bucket[:-1]):
                others = bucket[place + 1 : place + 1 + CROWD]
                others = others[np.bitwise_count(hashes[others] ^ hashes[i]) <= BITS]
                others = others[np.abs(small[others] - small[i]).mean(1) <= DISTANCE]
                if len(others):
                    found.append(np.stack([np.full(len(others), i), others], 1))
    return np.unique(np.sort(by_brightness[np.concatenate(found)], 1), axis=0)


def components(count: int, pairs: np.ndarray) -> list[np.ndarray]:
    """The groups of two and more of `count` things that pairs [M, 2] connect, the largest first."""
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    group = connected_components(graph, directed=False)[1]
    order = np.argsort(group, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    return sorted((part for part in parts if len(part) > 1), key=len, reverse=True)


def duplicates(looks: list[Look], name: Callable[[Look], str], label: Callable[[Look], int]) -> dict:
    """Exact and near duplicates, those of them with different classes, and test images that are in training.

    Constant images are exact duplicates alone: there is nothing in them that could look alike.
    """
    _, first, which = np.unique([look.digest for look in looks], return_index=True, return_inverse=True)
    same = np.stack([first[which], np.arange(len(looks))], 1)
    exact = components(len(looks), same)
    different = np.array([i for i in first if not looks[i].constant], np.int64)  # one of each kind
    near = []
    if len(different):
        hashes = np.array([looks[i].outline for i in different], np.uint64)
        pairs = near_pairs(hashes, np.stack([looks[i].small for i in different]))
        near = components(len(looks), np.concatenate([different[pairs], same]))
        near = [group for group in near if len({looks[i].digest for i in group}) > 1]
    return {
        "exact": _told(exact, looks, name, label),
        "near": _told(near, looks, name, label) | {"bits": BITS, "distance": DISTANCE},
        "leakage": {"exact": _leaked(exact, looks, name), "near": _leaked(near, looks, name)},
    }


def _told(groups: list[np.ndarray], looks, name, label) -> dict:
    mixed = [g for g in groups if len({label(looks[i]) for i in g} - {-1}) > 1]
    return {
        "images": int(sum(map(len, groups))),
        "groups": len(groups),
        "needless": int(sum(len(group) - 1 for group in groups)),
        "groups_of_several_classes": len(mixed),
        "first": [[name(looks[i]) for i in group[:SHOWN]] for group in groups[:SHOWN]],
        "first_of_several_classes": [[name(looks[i]) for i in group[:SHOWN]] for group in mixed[:SHOWN]],
    }


def _leaked(groups: list[np.ndarray], looks, name) -> dict:
    """Test images in groups that have training images too."""
    count, first = 0, []
    for group in groups:
        parts = {part: [looks[i] for i in group if looks[i].part == part] for part in (TRAIN, TEST)}
        if parts[TRAIN]:
            count += len(parts[TEST])
            first += [[name(look), name(parts[TRAIN][0])] for look in parts[TEST]]
    return {"test_images": count, "first": first[:SHOWN]}
