"""Linear probe: multinomial logistic regression on frozen features.

The features do not change from epoch to epoch, so the convex problem is solved to its end by L-BFGS instead of by the
papers' many epochs of SGD; its only choice, the penalty, falls on a held-out part of the training features.
"""

import dataclasses
import math
import os
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from ssl_keras.errors import UserError
from ssl_keras.evals.features import check, sizes
from ssl_keras.evals.subject import Row, Subject

NEEDS = ("features", "labels")
PENALTIES = tuple(10.0**e for e in range(-5, 3))  # C of scikit-learn: the inverse strength of the L2 penalty
HELD_OUT = 0.2
UNCHOSEN = 1.0  # the penalty where images of several classes cannot be held out


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the classifier.

    Args:
        iterations: most L-BFGS steps for each penalty
    """

    iterations: int = 300

    def __post_init__(self):
        if self.iterations < 1:
            raise UserError(f"--linear_iterations must be at least 1, got {self.iterations}")


def evaluate(subject: Subject, options: Options) -> list[Row]:
    """Top-1 accuracy of logistic regression on standardized features, with the penalty chosen on held-out training
    rows.

    The subject's seed draws the held-out rows: a fifth of each class, or one for each class where that is more. A
    class's only image is not held out; where fewer than two classes have several images, the penalty is not chosen: 1.

    Returns:
        "top1", with "held_out_top1": that of the chosen penalty (None: not chosen), and "C": the choice.

    Raises:
        UserError: features are missing or not finite, or the training images are all of one class.
    """
    train, test = subject.features
    check(train, test)
    if len(np.unique(train.labels)) < 2:
        raise UserError("the training images are of one class only: a classifier needs two")
    mean, std = train.x.mean(axis=0), train.x.std(axis=0)
    std = np.where(std > 1e-6 * max(float(std.max()), 1e-12), std, 1.0)  # a constant feature stays one
    x, x_test = (train.x - mean) / std, (test.x - mean) / std
    fit, held = _split(train.labels, subject.seed)
    scores = {}
    for c in PENALTIES if len(held) else ():
        scores[c] = _fit(x[fit], train.labels[fit], c, options.iterations).score(x[held], train.labels[held])
    best = max(scores, key=lambda c: (scores[c], -abs(math.log(c))), default=UNCHOSEN)  # of equals the most moderate
    final = _fit(x, train.labels, best, options.iterations)
    conditions = {"held_out_top1": float(scores[best]) if scores else None, "C": best}
    return [Row("top1", float(final.score(x_test, test.labels)), conditions | sizes(train, test))]


def _split(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit on, among them one of each class at least, and rows to choose the penalty on, perhaps none."""
    _, number, counts = np.unique(labels, return_inverse=True, return_counts=True)
    several, classes = np.flatnonzero(counts[number] > 1), int((counts > 1).sum())
    if classes < 2:
        return np.arange(len(labels)), np.arange(0)
    size = max(math.ceil(HELD_OUT * len(several)), classes)  # at most half, as each class has two
    fit, held = train_test_split(several, test_size=size, random_state=seed, stratify=labels[several])
    return np.concatenate([fit, np.flatnonzero(counts[number] == 1)]), held


def _fit(x: np.ndarray, labels: np.ndarray, c: float, iterations: int) -> LogisticRegression:
    # BLAS threads that spin for each other on every core cost small problems more than they bring.
    with warnings.catch_warnings(), threadpool_limits(max(1, os.cpu_count() // 2), "blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)  # weak penalties need not be solved to the end to lose
        return LogisticRegression(C=c, solver="lbfgs", max_iter=iterations, tol=1e-3).fit(x, labels)
