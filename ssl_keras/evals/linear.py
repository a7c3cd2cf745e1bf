"""Linear evaluation: multinomial logistic regression on frozen features, cached once.

The features do not change from epoch to epoch, so the convex problem is solved to its end by L-BFGS instead of by the
papers' many epochs of SGD; its only choice, the penalty, falls on a held-out part of the training features.
"""

import os
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from ssl_keras.evals.features import Features

PENALTIES = tuple(10.0**e for e in range(-5, 3))  # C of scikit-learn: the inverse strength of the L2 penalty
HELD_OUT = 0.2


def evaluate(train: Features, test: Features, seed: int = 0, iterations: int = 300) -> dict:
    """Top-1 accuracy of logistic regression on standardised features, with the penalty chosen on held-out training
    rows.

    Args:
        train: fitted on. test: scored once.
        seed: of the stratified choice of held-out rows.
        iterations: at most so many L-BFGS steps for each penalty.

    Returns:
        {"top1": accuracy in [0, 1], "held_out_top1": that of the chosen penalty, "C": the choice, and the sizes}.
    """
    mean, std = train.x.mean(axis=0), train.x.std(axis=0)
    std = np.where(std > 1e-6 * max(float(std.max()), 1e-12), std, 1.0)  # a constant feature stays one
    x, x_test = (train.x - mean) / std, (test.x - mean) / std
    counts = np.bincount(train.labels)
    stratify = train.labels if counts[counts > 0].min() > 1 else None
    x_fit, x_held, y_fit, y_held = train_test_split(
        x, train.labels, test_size=HELD_OUT, random_state=seed, stratify=stratify
    )
    held_out = {c: _fit(x_fit, y_fit, c, iterations).score(x_held, y_held) for c in PENALTIES}
    best = max(held_out, key=held_out.get)
    final = _fit(x, train.labels, best, iterations)
    return {
        "top1": float(final.score(x_test, test.labels)),
        "held_out_top1": float(held_out[best]),
        "C": best,
        "train_examples": len(x),
        "test_examples": len(x_test),
        "dimension": x.shape[1],
    }


def _fit(x: np.ndarray, labels: np.ndarray, c: float, iterations: int) -> LogisticRegression:
    # BLAS threads that spin for each other on every core cost small problems more than they bring.
    with warnings.catch_warnings(), threadpool_limits(max(1, os.cpu_count() // 2), "blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)  # weak penalties need not be solved to the end to lose
        return LogisticRegression(C=c, solver="lbfgs", max_iter=iterations, tol=1e-3).fit(x, labels)
