"""Retrieval: are the images nearest to a test image of its class? Recall@k, mAP@R and mean average precision."""

import dataclasses

import numpy as np

from ssl_keras.errors import UserError
from ssl_keras.evals.features import check, sizes
from ssl_keras.evals.subject import Row, Subject
from ssl_keras.scores import neighbors

NEEDS = ("features", "labels")


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the search.

    Args:
        k: recall@k is the share of test images with one of their class among the k nearest; several separated by commas
        whole: rank all images for the mean average precision (mAP); else only as many as the class has (mAP@R)
    """

    k: tuple[int, ...] = (1, 5)
    whole: bool = True

    def __post_init__(self):
        if not self.k or min(self.k) < 1:
            raise UserError(f"--retrieval_k must be at least 1, got {','.join(map(str, self.k))}")


def evaluate(subject: Subject, options: Options) -> list[Row]:
    """Each test image is looked for among the other test images, by cosine.

    mAP@R (Musgrave et al., arXiv:2003.08505, section 3.2) averages the precision at the relevant ones of the R nearest,
    R being the number of other images of the class, over R; mAP does so over the whole ranking. A test image that is
    the only one of its class is no query. Where groups are known, a test image is looked for among the images of other
    groups alone.

    Raises:
        UserError: features are missing or not finite, or no class has two test images.
    """
    train, test = subject.features
    check(train, test)
    labels = test.labels
    _, number, counts = np.unique(labels, return_inverse=True, return_counts=True)
    others = counts[number] - _of_own_group(number, test.groups)  # R of each query
    queries = np.flatnonzero(others > 0)
    if not len(queries):
        of = "" if test.groups is None else " of two groups"
        raise UserError(f"no class has two test images{of}, so there is nothing to be found")
    least = min(len(labels) - 1, max(*options.k, int(others.max())))
    k = len(labels) - 1 if options.whole else least
    if test.groups is None:
        _, rows = neighbors.nearest_others(test.x, k)
    else:
        _, rows = neighbors.nearest_of_other_groups(test.x, test.groups, k)
    hits = ((labels[rows] == labels[:, np.newaxis]) & (rows >= 0))[queries]  # [Q, k], nearest first
    relevant = others[queries]
    conditions = {"queries": len(queries)} | sizes(train, test)
    found = {f"recall@{k}": float(hits[:, :k].any(axis=1).mean()) for k in options.k}
    found["map_at_r"] = float(_precisions(hits, relevant, relevant).mean())
    if options.whole:
        found["map"] = float(_precisions(hits, relevant, np.full(len(hits), hits.shape[1])).mean())
    return [Row(name, value, conditions) for name, value in found.items()]


def _of_own_group(number: np.ndarray, groups: np.ndarray | None) -> np.ndarray | int:
    """How many images of its class are of an image's own group, itself among them: int [N], or 1 for all."""
    if groups is None:
        return 1
    _, pair, counts = np.unique(np.stack([number, groups]), axis=1, return_inverse=True, return_counts=True)
    return counts[pair]


def _precisions(hits: np.ndarray, relevant: np.ndarray, until: np.ndarray) -> np.ndarray:
    """Average precision of rankings [Q, k] up to a place of each, over the number of relevant images [Q]."""
    place = np.arange(1, hits.shape[1] + 1)
    found = []
    for row, number, end in zip(hits, relevant, until):
        at = row[:end]
        found.append((np.cumsum(at) / place[:end])[at].sum() / number)
    return np.array(found)
