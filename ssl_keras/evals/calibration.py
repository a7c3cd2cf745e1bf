"""Calibration of the linear probe: does it know when it is right? ECE (Guo et al., 2017, arXiv:1706.04599) and NLL."""

import dataclasses

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from ssl_keras.errors import UserError
from ssl_keras.evals import few, linear
from ssl_keras.evals.features import Features, check, sizes
from ssl_keras.evals.subject import Row, Subject

NEEDS = ("features", "labels")


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the calibration.

    Args:
        bins: of equal width, into which confidences are sorted
    """

    bins: int = 15

    def __post_init__(self):
        if self.bins < 1:
            raise UserError(f"--calibration_bins must be at least 1, got {self.bins}")


def evaluate(subject: Subject, options: Options) -> list[Row]:
    """ECE and NLL of the linear probe on test images, as it is and with a temperature found on held-out training rows.

    The temperature is found for a probe that has not seen those rows, and used for the probe that is scored.
    Test images of classes that the probe does not know are left out, and counted.

    Raises:
        UserError: features are missing or not finite, or are of one class; or too few for held-out ones.
    """
    train, test = subject.features
    check(train, test)
    if len(np.unique(train.labels)) < 2:
        raise UserError("the training images are of one class only: a classifier needs two")
    fit, held = linear.split(train.labels, subject.seed, train.groups)
    if not len(held):
        raise UserError(
            "too few training images to hold some out for the temperature: two of each class are the least, of two "
            "groups where --group_by is set"
        )
    probe = linear.probe(subject)
    blind = linear.fitted(few.part(train, fit), subject.seed)
    temperature = best_temperature(*_logits(blind, few.part(train, held)))
    logits, numbers = _logits(probe, test)
    if not len(numbers):
        raise UserError("all test images are of classes that the training images lack")
    known = {"bins": options.bins, "C": probe.c, "temperature": temperature, "left_out": len(test.x) - len(numbers)}
    known |= sizes(train, test)
    rows = []
    for ending, values in (("", logits), ("_scaled", logits / temperature)):
        rows.append(Row(f"ece{ending}", ece(values, numbers, options.bins), known))
        rows.append(Row(f"nll{ending}", nll(values, numbers), known, share=False))
    return rows


def _logits(probe: linear.Fitted, features: Features) -> tuple[np.ndarray, np.ndarray]:
    """Logits [N, K] and class numbers [N] of the images of known classes."""
    known = np.isin(features.labels, probe.classes)
    numbers = np.searchsorted(probe.classes, features.labels[known])
    return probe.classifier.logits(features.x[known]).astype(np.float64), numbers


def nll(logits: np.ndarray, numbers: np.ndarray) -> float:
    """Mean negative log-likelihood, in nats."""
    return float(-log_softmax(logits, axis=1)[np.arange(len(numbers)), numbers].mean())


def ece(logits: np.ndarray, numbers: np.ndarray, bins: int) -> float:
    """Mean of |accuracy - confidence| over bins of confidence, weighted by their images (equation 3)."""
    shares = np.exp(log_softmax(logits, axis=1))
    confidence, right = shares.max(axis=1), shares.argmax(axis=1) == numbers
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, right, bins) - np.bincount(place, confidence, bins)
    return float(np.abs(gaps).sum() / len(numbers))


def best_temperature(logits: np.ndarray, numbers: np.ndarray) -> float:
    """The temperature by which logits are divided for the lowest NLL, from 1/100 to 100."""
    found = minimize_scalar(lambda log: nll(logits / np.exp(log), numbers), bounds=(-4.6, 4.6), method="bounded")
    return float(np.exp(found.x))
