"""An evaluation of features that are given, not extracted."""

from ssl_keras.evals.features import Features
from ssl_keras.evals.run import merged
from ssl_keras.evals.subject import Subject


def judged(evaluation, train: Features, test: Features, seed: int = 0, **options) -> dict:
    """The one row of an evaluation module: its metrics and what they were measured with."""
    (row,) = merged(evaluation.evaluate(Subject(lambda: (train, test), seed=seed), evaluation.Options(**options)))
    return row
