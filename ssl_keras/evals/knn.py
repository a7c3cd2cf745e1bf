"""Weighted k-nearest-neighbor accuracy of frozen features (Wu et al., 2018, arXiv:1805.01978, section 3.4)."""

import numpy as np

from ssl_keras.evals.features import Features, check


def evaluate(
    train: Features, test: Features, k: int = 200, temperature: float = 0.1, center: bool = False, rows: int = 512
) -> dict:
    """Top-1 accuracy of a vote of the k nearest training features, weighted by exp(cosine/temperature).

    Args:
        train: the bank. test: the queries.
        k: neighbors; the whole bank where that is smaller.
        temperature: of the weights, > 0; towards 0 the nearest neighbor decides alone.
        center: subtract the bank's mean from bank and queries before they are brought to unit length. It takes away the
            offset that all features share, which untrained features and pixels have much of.
        rows: queries compared at a time.

    Returns:
        {"top1": accuracy in [0, 1], and the options and sizes that it was measured with}.

    Raises:
        ValueError: bank or queries are empty or not finite.
    """
    check(train, test)
    k = min(k, len(train.x))
    offset = train.x.mean(axis=0) if center else 0.0
    bank, queries = _unit(train.x - offset), _unit(test.x - offset)
    classes, numbers = np.unique(train.labels, return_inverse=True)  # numbers [N] in 0..classes-1
    correct = 0
    for start in range(0, len(queries), rows):
        similarity = queries[start : start + rows] @ bank.T
        nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        votes = _votes(np.take_along_axis(similarity, nearest, axis=1), numbers[nearest], len(classes), temperature)
        correct += int((classes[votes.argmax(axis=1)] == test.labels[start : start + rows]).sum())
    return {
        "top1": correct / len(queries),
        "k": k,
        "temperature": temperature,
        "centered": center,
        "train_examples": len(bank),
        "test_examples": len(queries),
        "dimension": bank.shape[1],
    }


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
