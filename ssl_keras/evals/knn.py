"""Weighted k-nearest-neighbor accuracy of frozen features (Wu et al., 2018, arXiv:1805.01978, section 3.4)."""

import dataclasses

import numpy as np

from ssl_keras.errors import UserError
from ssl_keras.evals.features import check, sizes
from ssl_keras.evals.subject import Row, Subject

NEEDS = ("features", "labels")
ROWS = 512  # queries that are compared at a time


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the vote.

    Args:
        k: neighbors that vote; all training images where these are fewer
        temperature: softmax temperature of the votes; towards 0 the nearest neighbor decides alone
        center: subtract the mean of the training features from all features first, which takes away the offset that
            untrained features and pixels have much of
    """

    k: int = 200
    temperature: float = 0.1
    center: bool = False

    def __post_init__(self):
        if self.k < 1 or not self.temperature > 0:
            raise UserError(
                f"--knn_k must be at least 1 and --knn_temperature greater than 0, got {self.k} and {self.temperature}"
            )


def evaluate(subject: Subject, options: Options) -> list[Row]:
    """Top-1 accuracy of a vote of the k nearest training features, weighted by exp(cosine/temperature).

    Raises:
        UserError: features are missing or not finite.
    """
    train, test = subject.features
    check(train, test)
    k = min(options.k, len(train.x))
    offset = train.x.mean(axis=0) if options.center else 0.0
    bank, queries = _unit(train.x - offset), _unit(test.x - offset)
    classes, numbers = np.unique(train.labels, return_inverse=True)  # numbers [N] in 0..classes-1
    correct = 0
    for start in range(0, len(queries), ROWS):
        similarity = queries[start : start + ROWS] @ bank.T
        nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        chosen = np.take_along_axis(similarity, nearest, axis=1)
        votes = _votes(chosen, numbers[nearest], len(classes), options.temperature)
        correct += int((classes[votes.argmax(axis=1)] == test.labels[start : start + ROWS]).sum())
    conditions = {"k": k, "temperature": options.temperature, "centered": options.center}
    return [Row("top1", correct / len(queries), conditions | sizes(train, test))]


def _votes(similarity: np.ndarray, numbers: np.ndarray, classes: int, temperature: float) -> np.ndarray:
    """The weight of each class among the neighbors [Q, k] of each query: [Q, classes]."""
    # Only ratios of weights count. Those to the nearest are at most 1 and do not overflow at any temperature.
    with np.errstate(over="ignore", under="ignore"):
        closeness = (similarity - similarity.max(axis=1, keepdims=True)).astype(np.float64)
        weights = np.exp(closeness / temperature)
    cells = np.arange(len(numbers))[:, np.newaxis] * classes + numbers
    return np.bincount(cells.ravel(), weights.ravel(), len(numbers) * classes).reshape(-1, classes)


def _unit(x: np.ndarray) -> np.ndarray:
    x = x / np.maximum(np.abs(x).max(axis=1, keepdims=True), np.finfo(x.dtype).tiny)  # so that no square underflows
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
