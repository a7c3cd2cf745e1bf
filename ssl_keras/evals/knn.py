"""Weighted k-nearest-neighbor accuracy of frozen features (Wu et al., 2018, arXiv:1805.01978, section 3.4)."""

import dataclasses

import numpy as np

from ssl_keras.errors import UserError
from ssl_keras.evals import few
from ssl_keras.evals.features import Features, check, sizes
from ssl_keras.evals.subject import Row, Subject
from ssl_keras.scores import neighbors

NEEDS = ("features", "labels")
ROWS = 512  # queries whose votes are counted at a time


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the vote.

    Args:
        k: neighbors that vote, several separated by commas; all training images where these are fewer
        temperature: softmax temperature of the votes; towards 0 the nearest neighbor decides alone
        center: subtract the mean of the training features from all features first, which takes away the offset that
            untrained features and pixels have much of
        per_class: let only so many training images of each class vote, drawn at random; 0: all
        draws: how often these are drawn; the score is the mean
    """

    k: tuple[int, ...] = (200,)
    temperature: float = 0.1
    center: bool = False
    per_class: int = 0
    draws: int = 5

    def __post_init__(self):
        if not self.k or min(self.k) < 1 or not self.temperature > 0:
            raise UserError(
                f"--knn_k must be at least 1 and --knn_temperature greater than 0, got {self.k} and {self.temperature}"
            )
        few.check("knn", self.per_class, self.draws)


def evaluate(subject: Subject, options: Options) -> list[Row]:
    """Top-1 accuracy of a vote of the k nearest training features, weighted by exp(cosine/temperature), for each k.

    Raises:
        UserError: features are missing or not finite.
    """
    train, test = subject.features
    check(train, test)
    drawn = few.draws(train.labels, options.per_class, options.draws, subject.seed)
    scores = [_scores(few.part(train, rows), test, options) for rows in drawn]
    conditions = {"temperature": options.temperature, "centered": options.center} | few.conditions(
        options.per_class, drawn
    )
    rows = []
    for number, asked in enumerate(options.k):
        known = {"k": min(asked, *map(len, drawn))} | conditions | sizes(few.part(train, drawn[0]), test)
        row = few.mean("top1", [score[number] for score in scores], known)
        if row not in rows:  # larger numbers than the bank has images are one
            rows.append(row)
    return rows


def _scores(train: Features, test: Features, options: Options) -> list[float]:
    """The accuracy with each k."""
    offset = train.x.mean(axis=0) if options.center else 0.0
    numbers_of_neighbors = [min(k, len(train.x)) for k in options.k]
    cosines, rows = neighbors.nearest(test.x, train.x, max(numbers_of_neighbors), offset)
    classes, numbers = np.unique(train.labels, return_inverse=True)  # numbers [N] in 0..classes-1
    found = []
    for k in numbers_of_neighbors:
        correct = 0
        for start in range(0, len(rows), ROWS):
            block = slice(start, start + ROWS)
            votes = _votes(cosines[block, :k], numbers[rows[block, :k]], len(classes), options.temperature)
            correct += int((classes[votes.argmax(axis=1)] == test.labels[block]).sum())
        found.append(correct / len(rows))
    return found


def _votes(similarity: np.ndarray, numbers: np.ndarray, classes: int, temperature: float) -> np.ndarray:
    """The weight of each class among the neighbors [Q, k] of each query: [Q, classes]."""
    # Only ratios of weights count. Those to the nearest are at most 1 and do not overflow at any temperature.
    with np.errstate(over="ignore", under="ignore"):
        closeness = (similarity - similarity.max(axis=1, keepdims=True)).astype(np.float64)
        weights = np.exp(closeness / temperature)
    cells = np.arange(len(numbers))[:, np.newaxis] * classes + numbers
    return np.bincount(cells.ravel(), weights.ravel(), len(numbers) * classes).reshape(-1, classes)
