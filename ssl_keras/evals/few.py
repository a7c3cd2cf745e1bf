"""Few labels: training images drawn at random, the same number or share of each class, several times."""

import math

import numpy as np

from ssl_keras.errors import UserError
from ssl_keras.evals.features import Features
from ssl_keras.evals.subject import Row


def check(name: str, per_class: int, draws: int) -> None:
    """Raises UserError for numbers that no draw can have."""
    if per_class < 0 or draws < 1:
        raise UserError(
            f"--{name}_per_class must be at least 0 (all) and --{name}_draws at least 1, got {per_class} and {draws}"
        )


def draws(labels: np.ndarray, per_class: int, number: int, seed: int) -> list[np.ndarray]:
    """Sorted rows with `per_class` images of each class, or all of a class that has fewer; `number` draws of them.

    Args:
        labels: int [N].
        per_class: 0 for all rows, which are one draw.
    """
    if not per_class:
        return [np.arange(len(labels))]
    return [_drawn(labels, lambda members: per_class, np.random.default_rng([seed, draw])) for draw in range(number)]


def share(labels: np.ndarray, fraction: float, draw: int, seed: int) -> np.ndarray:
    """Sorted rows with a fraction of each class, at least one image of it. A larger fraction holds a smaller one's rows
    of the same draw."""
    rng = np.random.default_rng([seed, draw])
    return _drawn(labels, lambda members: math.ceil(fraction * members - 1e-9), rng)


def part(features: Features, rows: np.ndarray) -> Features:
    """The features at some rows."""
    if len(rows) == len(features.x):
        return features
    groups = None if features.groups is None else features.groups[rows]
    return Features(features.x[rows], features.labels[rows], groups=groups)


def conditions(per_class: int, drawn: list[np.ndarray]) -> dict:
    """What a row says of its draws; nothing where all images were used."""
    return {"per_class": per_class, "draws": len(drawn)} if per_class else {}


def mean(metric: str, values: list[float], known: dict, share: bool = True) -> Row:
    """The mean of draws as a row, with the lowest and the highest where there are several."""
    low, high = (min(values), max(values)) if len(values) > 1 else (None, None)
    return Row(metric, float(np.mean(values)), known, low, high, share)


def _drawn(labels: np.ndarray, wanted, rng: np.random.Generator) -> np.ndarray:
    rows = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        rows.append(members[: wanted(len(members))])
    return np.sort(np.concatenate(rows))
