"""Outliers: do features tell images of another kind apart, by distance to the k-th neighbor (Sun et al., 2022)?

Source: arXiv:2204.06507. An image's distance is that to its k-th nearest training image, all features scaled to length
1 (k = 50); nothing is trained, and no label is needed. Two numbers say how well distances tell outliers from the
data's own test images: AUROC, the chance that an outlier lies farther away than an inlier (0.5: no better than
guessing), and FPR@95, the share of outliers that lie as near as the nearest 95 % of the inliers (lower is better).
"""

import dataclasses
from math import ceil

import numpy as np
from sklearn.metrics import roc_auc_score

from ssl_keras.data import splits
from ssl_keras.data.canvases.memory import load_canvases
from ssl_keras.data.canvases.probe import possible_channels
from ssl_keras.data.sources import absolute, open_source
from ssl_keras.errors import UserError
from ssl_keras.evals import features, few
from ssl_keras.evals.features import check, sizes
from ssl_keras.evals.subject import Row, Subject
from ssl_keras.scores import neighbors

NEEDS = ("features",)
ACCEPTED = 0.95  # of the inliers


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the outliers.

    Args:
        data: images of another kind, written as for --data, such as folder:PATH; without it each class in turn is the
            other kind
        k: the neighbor whose distance counts; the farthest where there are fewer training images
        examples: only so many of the other data's images; 0: all
    """

    data: str = ""
    k: int = 50
    examples: int = 2000

    def __post_init__(self):
        if self.k < 1 or self.examples < 0:
            raise UserError(
                f"--outliers_k must be at least 1 and --outliers_examples at least 0 (all), got {self.k} and "
                f"{self.examples}"
            )


def evaluate(subject: Subject, options: Options) -> list[Row]:
    """AUROC and FPR@95 of telling outliers from the test images.

    With other data, all of the test images are inliers. Without, each class is held out in turn: its training images
    leave the bank, its test images are the outliers, and the scores are means over the classes, with their range. (The
    encoder may have been pretrained on images of all classes.)

    Raises:
        UserError: features are missing or not finite; there is no other data, and labels are missing or of fewer than
            three classes; the other data cannot be read, or not be brought to the encoder's channels.
    """
    train, test = subject.features
    check(train, test)
    if options.data:
        scores, known = _other_data(subject, options)
    else:
        scores, known = _held_out_classes(train, test, options.k)
    aurocs, rates = zip(*scores)
    known |= sizes(train, test)
    return [few.mean("auroc", list(aurocs), known), few.mean("fpr95", list(rates), known)]


def separation(inliers: np.ndarray, outliers: np.ndarray) -> tuple[float, float]:
    """(AUROC, FPR@95) of distances [N] of inliers and [M] of outliers, which should be larger."""
    which = np.repeat([0, 1], [len(inliers), len(outliers)])
    auroc = roc_auc_score(which, np.concatenate([inliers, outliers]))
    limit = np.sort(inliers)[ceil(ACCEPTED * len(inliers) - 1e-9) - 1]
    return float(auroc), float((outliers <= limit).mean())


def _other_data(subject: Subject, options: Options) -> tuple[list[tuple[float, float]], dict]:
    train, test = subject.features
    k = min(options.k, len(train.x))
    others = _features_of(subject, options)
    inliers, outliers = (-neighbors.nearest(x, train.x, k)[0][:, -1] for x in (test.x, others))
    return [separation(inliers, outliers)], {"k": k, "outliers": options.data, "outlier_examples": len(others)}


def _features_of(subject: Subject, options: Options) -> np.ndarray:
    """Features [M, D] of the other data: of its test images where it has some, else of all."""
    encoding, spec, name = subject.encoding, subject.images[0].spec, absolute(options.data)
    source = open_source(name, canvas_size=spec.size)
    if source.has_test_split:
        source = open_source(name, "test", canvas_size=spec.size)
    possible = possible_channels(source)
    if spec.channels not in possible:
        known = " or ".join(map(str, sorted(possible)))
        raise UserError(
            f"--outliers_data: {source.name} has images of {known} channels, the encoder takes {spec.channels}"
        )
    source = splits.take(source, min(options.examples, len(source)), subject.seed)
    x = features.extract(features.embedder(*encoding), load_canvases(source, spec)).x
    wrong = int((~(np.abs(x).max(axis=1) < features.LARGEST)).sum())
    if wrong:
        raise UserError(f"the features of {wrong} of {len(x)} images of {source.name} are not finite")
    return x


def _held_out_classes(
    train: features.Features, test: features.Features, k: int
) -> tuple[list[tuple[float, float]], dict]:
    """The scores of each class that has training and test images."""
    if min(train.labels.min(), test.labels.min()) < 0:
        raise UserError("the images have no labels: name images of another kind, such as --outliers_data=folder:PATH")
    classes, counts = np.unique(train.labels, return_counts=True)
    held = np.intersect1d(classes, test.labels)
    if len(classes) < 3 or len(held) < 2:
        raise UserError(
            "classes cannot be held out in turn, three with training and test images are the least: name images of "
            "another kind, such as --outliers_data=folder:PATH"
        )
    k = min(k, len(train.x) - int(counts.max()))
    test = few.part(test, np.flatnonzero(np.isin(test.labels, classes)))  # the others are always outliers
    cosines, owners = _capped(train, test.x, k)
    scores = []
    for label in held:
        others = owners != label
        place = (np.cumsum(others, axis=1) == k).argmax(axis=1)  # of the k-th neighbor of another class
        distances = -cosines[np.arange(len(place)), place]
        out = test.labels == label
        scores.append(separation(distances[~out], distances[out]))
    return scores, {"k": k, "outliers": "each class in turn", "classes_held_out": len(held)}


def _capped(train: features.Features, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest 2k neighbors of each query, nearest first, of each class its nearest k at most.

    They hold the k nearest without any one class, so that the bank is looked through once, not once for each class.

    Returns:
        Cosines float32 [Q, M], and labels [Q, M]; M is 2k, or less where the bank has less.
    """
    cosines, owners = np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), train.labels.dtype)
    for label in np.unique(train.labels):
        bank = train.x[train.labels == label]
        found = neighbors.nearest(queries, bank, min(k, len(bank)))[0]
        cosines = np.concatenate([cosines, found], axis=1)
        owners = np.concatenate([owners, np.full(found.shape, label, owners.dtype)], axis=1)
        order = np.argsort(-cosines, axis=1, kind="stable")[:, : 2 * k]
        cosines, owners = np.take_along_axis(cosines, order, 1), np.take_along_axis(owners, order, 1)
    return cosines, owners
