"""Parts of labeled images that share no group."""

import numpy as np


def held_out(labels: np.ndarray, groups: np.ndarray, seed: int, share: float) -> np.ndarray:
    """Images of whole groups, about a share of each class: bool [N].

    Of the images that are alone in their groups, the share of each class is drawn. Larger groups are looked at in
    random order; one is taken where that brings its classes nearer to their shares, and leaves an image of each.
    (scikit-learn's StratifiedGroupKFold takes 18 s for 20,000 groups, and may leave nothing of a class to fit to.)

    Args:
        labels: int [N]; images of -1 are not held out.
        groups: int [N].
        seed: of the draws.
        share: 0 to 1.

    Returns:
        All False where no group can be held out: each has all that there is of a class.
    """
    generator = np.random.Generator(np.random.Philox(key=[seed % 2**64, 3]))
    found = np.zeros(len(labels), bool)
    known = np.flatnonzero(labels >= 0)
    if not len(known):
        return found
    _, classes, totals = np.unique(labels[known], return_inverse=True, return_counts=True)
    _, number, sizes = np.unique(groups[known], return_inverse=True, return_counts=True)
    members_of = np.split(np.argsort(number, kind="stable"), np.cumsum(sizes)[:-1])
    targets, held = np.maximum(1.0, share * totals), np.zeros(len(totals), np.int64)

    def error(which: np.ndarray, more: np.ndarray | int = 0) -> float:
        """How far some classes are from their shares, `more` of them being held out."""
        return float((((held[which] + more) / targets[which] - 1) ** 2).sum())

    def take(members: np.ndarray) -> None:
        found[known[members]] = True
        np.add.at(held, classes[members], 1)

    single = generator.permutation(np.flatnonzero(sizes[number] == 1))
    for label in np.unique(classes[single]):
        members = single[classes[single] == label]
        take(members[: min(round(share * len(members)), totals[label] - 1)])
    worse = []
    for group in generator.permutation(np.flatnonzero(sizes > 1)):
        which, counts = np.unique(classes[members_of[group]], return_counts=True)
        if (held[which] + counts >= totals[which]).any():
            continue
        change = error(which, counts) - error(which)
        if change < 0:
            take(members_of[group])
        else:
            worse.append((change, group))
    if not held.any() and worse:  # groups so large that none comes near to a share
        take(members_of[min(worse)[1]])
    for member in single:  # for a class that has none yet
        if not held[classes[member]] and totals[classes[member]] > 1:
            take(np.array([member]))
    return found


def folds(labels: np.ndarray, groups: np.ndarray | None, count: int, seed: int) -> np.ndarray:
    """The fold of each image, int [N] from 0 to `count` - 1: the classes are spread over all, and groups stay whole.

    Args:
        labels: classes from 0, int [N].
        groups: int [N]; None: each image is one of its own.
    """
    first, number = np.arange(len(labels)), np.arange(len(labels))
    if groups is not None:
        _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    own = labels[first]  # the class of a group is that of its first image
    order = np.random.default_rng(seed).permutation(len(own))
    order = order[np.argsort(own[order], kind="stable")]
    fold = np.empty(len(own), np.int64)
    fold[order] = np.arange(len(own)) % count
    return fold[number]
