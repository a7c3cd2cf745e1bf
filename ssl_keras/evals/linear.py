"""Linear probe: multinomial logistic regression on frozen features.

The features do not change from epoch to epoch, so the convex problem is solved to its end by L-BFGS
(`scores.logistic`) instead of by the papers' many epochs of SGD; its only choice, the penalty, falls on a held-out part
of the training features.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import softmax
from sklearn.model_selection import train_test_split

from ssl_keras.data.groups import parts
from ssl_keras.errors import UserError
from ssl_keras.evals import few
from ssl_keras.evals.features import Features, check, sizes
from ssl_keras.evals.subject import Row, Subject
from ssl_keras.scores.logistic import Classifier, Regression

NEEDS = ("features", "labels")
PENALTIES = tuple(10.0**e for e in range(-5, 3))  # C of scikit-learn: the inverse strength of the L2 penalty
HELD_OUT, FOLDS = 0.2, 5
UNCHOSEN = 1.0  # the penalty where images of several classes cannot be held out


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the classifier.

    Args:
        iterations: most L-BFGS steps for each penalty
        per_class: fit to only so many training images of each class, drawn at random; 0: all
        draws: how often these are drawn; the score is the mean
    """

    iterations: int = 300
    per_class: int = 0
    draws: int = 5

    def __post_init__(self):
        if self.iterations < 1:
            raise UserError(f"--linear_iterations must be at least 1, got {self.iterations}")
        few.check("linear", self.per_class, self.draws)


def evaluate(subject: Subject, options: Options) -> list[Row]:
    """Top-1 accuracy of logistic regression on standardized features, with the penalty chosen on held-out training
    rows.

    Raises:
        UserError: features are missing or not finite, or are of one class.
    """
    train, test = subject.features
    check(train, test)
    if len(np.unique(train.labels)) < 2:
        raise UserError("the training images are of one class only: a classifier needs two")
    drawn = few.draws(train.labels, options.per_class, options.draws, subject.seed)
    if options.per_class:
        fits = [fitted(few.part(train, rows), subject.seed, options.iterations) for rows in drawn]
    else:
        fits = [probe(subject, options.iterations)]
    if len(fits) == 1:
        conditions = {"held_out_top1": fits[0].held_out, "C": fits[0].c}
    else:
        conditions = {"C": sorted({fit.c for fit in fits})}
    conditions |= few.conditions(options.per_class, drawn) | sizes(few.part(train, drawn[0]), test)
    return [few.mean("top1", [fit.accuracy(test) for fit in fits], conditions)]


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A classifier with a chosen penalty.

    Args:
        classifier: over `classes`.
        classes: labels in the order of the classifier's logits [K].
        c: the penalty that was chosen.
        held_out: accuracy by which it was; None where nothing could be held out.
    """

    classifier: Classifier
    classes: np.ndarray
    c: float
    held_out: float | None

    def accuracy(self, features: Features) -> float:
        """The share of features whose label it finds; a class that it does not know counts as wrong."""
        found = self.classes[self.classifier.logits(features.x).argmax(axis=1)]
        return float((found == features.labels).mean())


def probe(subject: Subject, iterations: int = Options.iterations) -> Fitted:
    """The classifier fitted to all training images, once for all evaluations."""
    train, _ = subject.features
    return subject.once(("linear", iterations), lambda: fitted(train, subject.seed, iterations))


def fitted(train: Features, seed: int, iterations: int = 300) -> Fitted:
    """Chooses the penalty on a fifth of the rows, then fits to all of them."""
    classes, numbers = np.unique(train.labels, return_inverse=True)
    fit, held = split(train.labels, seed, train.groups)
    scores = {}
    if len(held):
        regression = Regression(train.x[fit], numbers[fit], len(classes))
        for c in PENALTIES:
            scores[c] = regression.fit(c, iterations).accuracy(train.x[held], numbers[held])
    best = max(scores, key=lambda c: (scores[c], -abs(math.log(c))), default=UNCHOSEN)  # of equals the most moderate
    classifier = Regression(train.x, numbers, len(classes)).fit(best, iterations)
    return Fitted(classifier, classes, best, scores.get(best))


def shares(fit: Fitted, features: Features) -> np.ndarray:
    """The probabilities of the classes, float64 [N, K], in the order of `fit.classes`."""
    return softmax(fit.classifier.logits(features.x).astype(np.float64), axis=1)


def out_of_fold(features: Features, c: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What classifiers say of images that they have not seen: each is fitted to four fifths, and asked of the rest.

    Images of a group are asked together.

    Args:
        features: of training images.
        c: the penalty.
        seed: of the folds.

    Returns:
        Probabilities float64 [N, K] and the classes [K]. Where a class is missing from the four fifths, its share is 0.
    """
    classes, numbers = np.unique(features.labels, return_inverse=True)
    found = np.zeros((len(numbers), len(classes)))
    fold = parts.folds(numbers, features.groups, FOLDS, seed)
    for which in range(FOLDS):
        fit, held = fold != which, fold == which
        known, seen = np.unique(numbers[fit], return_inverse=True)
        if held.any() and len(known):
            classifier = Regression(features.x[fit], seen, len(known)).fit(c)
            logits = classifier.logits(features.x[held]).astype(np.float64)
            found[np.ix_(held, known)] = softmax(logits, axis=1)
    return found, classes


def best_rate(
    rates: Sequence[float],
    labels: np.ndarray,
    seed: int,
    score: Callable[[float, np.ndarray, np.ndarray], float],
    groups: np.ndarray | None = None,
) -> tuple[float, float | None]:
    """The best of some learning rates on held-out rows, and its score there.

    A single rate is taken unscored. Where nothing can be held out it is the middle one; of equal ones the first.

    Args:
        labels: of the training rows, int [N].
        seed: of the choice of the held-out ones.
        score: (rate, rows to fit to, held-out rows) -> accuracy on these.
        groups: see `split`.
    """
    if len(rates) == 1:
        return rates[0], None
    fit, held = split(labels, seed, groups)
    if not len(held):
        return rates[len(rates) // 2], None
    scores = [score(rate, fit, held) for rate in rates]
    best = int(np.argmax(scores))
    return rates[best], scores[best]


def split(labels: np.ndarray, seed: int, groups: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit on, among them one of each class at least, and rows to choose the penalty on, perhaps none.

    Args:
        labels: int [N].
        seed: of the draw.
        groups: int [N], of which none is on both sides; None: each row is one of its own.
    """
    if groups is not None:
        chosen = parts.held_out(labels, groups, seed, HELD_OUT)
        if len(np.unique(labels[chosen])) < 2:
            return np.arange(len(labels)), np.arange(0)
        return np.flatnonzero(~chosen), np.flatnonzero(chosen)
    _, number, counts = np.unique(labels, return_inverse=True, return_counts=True)
    several, classes = np.flatnonzero(counts[number] > 1), int((counts > 1).sum())
    if classes < 2:
        return np.arange(len(labels)), np.arange(0)
    size = max(math.ceil(HELD_OUT * len(several)), classes)  # at most half, as each class has two
    fit, held = train_test_split(several, test_size=size, random_state=seed, stratify=labels[several])
    return np.concatenate([fit, np.flatnonzero(counts[number] == 1)]), held
