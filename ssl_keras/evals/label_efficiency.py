"""Label efficiency: the linear probe with few labels, more, and all; what a better encoder saves in labels."""

import dataclasses

import numpy as np

from ssl_keras.errors import UserError
from ssl_keras.evals import few, linear
from ssl_keras.evals.features import check, sizes
from ssl_keras.evals.subject import Row, Subject

NEEDS = ("features", "labels")


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the curve.

    Args:
        shares: shares of the training labels, separated by commas
        draws: how often each share but the whole is drawn; the scores are means
    """

    shares: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
    draws: int = 3

    def __post_init__(self):
        if not self.shares or not all(0 < share <= 1 for share in self.shares) or self.draws < 1:
            raise UserError(
                f"--label_efficiency_shares must be greater than 0 and at most 1, such as 0.01,0.1,1, and "
                f"--label_efficiency_draws at least 1, got {','.join(map(str, self.shares))} and {self.draws}"
            )


def evaluate(subject: Subject, options: Options) -> list[Row]:
    """Top-1 accuracy of the linear probe for each share of the labels: the same share of each class, one at least.

    A larger share holds the smaller one's images of the same draw. Two shares that are the same images are one.

    Raises:
        UserError: features are missing or not finite, or are of one class.
    """
    train, test = subject.features
    check(train, test)
    if len(np.unique(train.labels)) < 2:
        raise UserError("the training images are of one class only: a classifier needs two")
    rows: dict[int, Row] = {}
    for share in sorted(options.shares):
        drawn = [few.share(train.labels, share, draw, subject.seed) for draw in range(options.draws)]
        labels = len(drawn[0])
        if labels in rows:
            continue
        if labels == len(train.x):
            probes = [linear.probe(subject)]
        else:
            probes = [linear.fitted(few.part(train, each), subject.seed) for each in drawn]
        values = [probe.accuracy(test) for probe in probes]
        known = {"labels": labels, "share": share, "draws": len(probes)} | sizes(train, test)
        rows[labels] = few.mean("top1", values, known)
    return list(rows.values())


def labels_for(rows: list[dict], accuracy: float) -> float | None:
    """With how many labels a curve reaches an accuracy, between its points on a logarithmic axis of labels; None where
    it does not."""
    curve = sorted((row["labels"], row["top1"]) for row in rows)
    before = None
    for labels, value in curve:
        if value >= accuracy:
            if before is None or value == before[1]:
                return float(labels)
            part = (accuracy - before[1]) / (value - before[1])
            return float(before[0] * (labels / before[0]) ** part)
        before = labels, value
    return None


def saved(rows: list[dict], than: list[dict]) -> str:
    """A sentence: how many labels one encoder needs for what the other reaches with all.

    Args:
        rows, than: rows of `evaluate` of two encoders.
    """
    last = max(than, key=lambda row: row["labels"])
    needed = labels_for(rows, last["top1"])
    if needed is None:
        return f"{rows[0]['encoder']} does not reach the {100 * last['top1']:.1f} % of {than[0]['encoder']}"
    least = "at most " if needed <= min(row["labels"] for row in rows) else ""
    return (
        f"{rows[0]['encoder']} needs {least}{needed:.0f} labels for the {100 * last['top1']:.1f} % that "
        f"{than[0]['encoder']} reaches with {last['labels']}"
    )
