"""Ridge classifier on frozen features, in closed form: big_vision's few-shot protocol (evaluators/fewshot_lsr.py)."""

import dataclasses

import numpy as np

from ssl_keras.errors import UserError
from ssl_keras.evals import few
from ssl_keras.evals.features import Features, check, sizes
from ssl_keras.evals.subject import Row, Subject
from ssl_keras.scores.ridge import Ridge

NEEDS = ("features", "labels")


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the classifier.

    Args:
        l2: strength of the penalty, which is not chosen: 2^10 in big_vision
        per_class: fit to only so many training images of each class, drawn at random; 0: all
        draws: how often these are drawn; the score is the mean
    """

    l2: float = 1024.0
    per_class: int = 0
    draws: int = 5

    def __post_init__(self):
        if not self.l2 > 0:
            raise UserError(f"--ridge_l2 must be greater than 0, got {self.l2}")
        few.check("ridge", self.per_class, self.draws)


def evaluate(subject: Subject, options: Options) -> list[Row]:
    """Top-1 accuracy of least squares on targets of ±1 with an L2 penalty.

    Raises:
        UserError: features are missing or not finite, or are of one class.
    """
    train, test = subject.features
    check(train, test)
    if len(np.unique(train.labels)) < 2:
        raise UserError("the training images are of one class only: a classifier needs two")
    drawn = few.draws(train.labels, options.per_class, options.draws, subject.seed)
    values = [_accuracy(few.part(train, rows), test, options.l2) for rows in drawn]
    conditions = {"l2": options.l2} | few.conditions(options.per_class, drawn)
    return [few.mean("top1", values, conditions | sizes(few.part(train, drawn[0]), test))]


def _accuracy(train: Features, test: Features, l2: float) -> float:
    classes, numbers = np.unique(train.labels, return_inverse=True)
    ridge = Ridge(train.x, numbers, len(classes))
    found = ridge.logits(test.x, ridge.fit(l2)).argmax(axis=1)
    return float((classes[found] == test.labels).mean())
