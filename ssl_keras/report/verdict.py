"""Was it worth it? One sentence, from the scores of the linear probe."""

import math
from typing import NamedTuple

Z95 = 1.96  # standard errors on either side of a number in which 95 % of repetitions lie


class Score(NamedTuple):
    """A share of test images, in [0, 1].

    Fields:
        value: the share, or the mean over seeds.
        low, high: the lowest and the highest over seeds; the value itself where there is one seed.
        seeds: number of seeds.
        tests: number of test images.
    """

    value: float
    low: float
    high: float
    seeds: int
    tests: int

    @classmethod
    def of(cls, row: dict, metric: str = "top1") -> "Score":
        """The score of a row of `evals.run`."""
        low, high = row.get("range", {}).get(metric, (row[metric], row[metric]))
        return cls(row[metric], low, high, len(row.get("seeds", (0,))), row["test_examples"])


class Gain(NamedTuple):
    """How much higher one score is than another, and in which range that lies; shares, such as 0.02 for 2 points."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, score: Score, other: Score) -> "Gain":
        """The gain of a score over another.

        Its range holds all pairs of seeds, and at least the 95 % interval of two independent shares of so many test
        images (Wald). Both are of the same images, which makes the true interval narrower: a gain is not claimed too
        early.
        """
        value = score.value - other.value
        error = Z95 * math.sqrt(
            score.value * (1 - score.value) / score.tests + other.value * (1 - other.value) / other.tests
        )
        return cls(value, min(score.low - other.high, value - error), max(score.high - other.low, value + error))

    @property
    def clear(self) -> int:
        """1: surely higher, -1: surely lower, 0: no difference can be told."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0

    def __str__(self):
        """Its size; whether it is more or less is said beside it."""
        low, high = (self.low, self.high) if self.value >= 0 else (-self.high, -self.low)
        return f"{100 * abs(self.value):.1f} points ({100 * low:.1f} to {100 * high:.1f})"


class Verdict(NamedTuple):
    """What is said.

    Fields:
        answer: yes | no | unclear | unknown.
        sentence: the verdict.
        remarks: what else is to be known of it, sentences.
    """

    answer: str
    sentence: str
    remarks: list[str]


def verdict(run: Score, untrained: Score, supervised: Score | None, labels: int) -> Verdict:
    """The verdict on a run.

    Args:
        run, untrained, supervised: linear probes on the run's encoder, on the same network untrained, and on a network
            that was trained with the labels from scratch; None: there is none.
        labels: training images with a label.
    """
    over_untrained = Gain.of(run, untrained)
    ours = f"a linear classifier on this encoder is right for {_percent(run)} of the test images"
    with_labels = f"with {labels:,} labels"
    remarks = [_spread(run, supervised)]
    if over_untrained.clear <= 0:
        less = "less than" if over_untrained.clear < 0 else "no clear difference from"
        return Verdict(
            "no",
            f"Not worth it: {with_labels} {ours}, {less} the {_percent(untrained)} of the same network untrained: "
            f"{_more(over_untrained)}.",
            remarks,
        )
    gain = f"{over_untrained} more than on the same network untrained"
    if supervised is None:
        remarks.append(
            "Compare it with a network that is trained with the labels alone: train one (--method=supervised), and "
            "name its folder by --against."
        )
        return Verdict("yes", f"Worth it, beside no training: {with_labels} {ours}, {gain}.", remarks)
    over_supervised = Gain.of(run, supervised)
    scratch = f"a network trained from scratch with the labels ({_percent(supervised)})"
    if over_supervised.clear > 0:
        answer, sentence = "yes", f"Worth it: {with_labels} {ours}, {over_supervised} more than {scratch}, and {gain}."
    elif over_supervised.clear < 0:
        answer = "no"
        sentence = (
            f"Not worth it {with_labels}: {ours}, {over_supervised} less than {scratch}, though {gain}. With fewer "
            "labels that may be otherwise."
        )
    else:
        answer = "unclear"
        sentence = (
            f"No clear gain {with_labels}: {ours}, which cannot be told from {scratch}: {_more(over_supervised)}. It "
            f"is {gain}."
        )
    return Verdict(answer, sentence, remarks)


def without_labels() -> Verdict:
    """The verdict where there are no labels."""
    return Verdict(
        "unknown",
        "Unknown: these images have no labels, so nothing can say whether the encoder knows what you need.",
        [
            "What can be seen without labels follows: the health of the run, neighbors, the map, clusters, "
            "near-duplicates and outliers. Label some images (see “Label these next”), and write the report again."
        ],
    )


def disagreement(linear: list[Gain], knn: list[Gain]) -> list[str]:
    """A remark where kNN would say otherwise than the linear probe.

    Args:
        linear, knn: gains over the same other encoders.
    """
    if all(a.clear == b.clear for a, b in zip(linear, knn)):
        return []
    return [
        "kNN does not say the same as the linear classifier, see the table: methods differ in how their features are "
        "used best."
    ]


def _percent(score: Score) -> str:
    several = f" ({100 * score.low:.1f} to {100 * score.high:.1f})" if score.seeds > 1 else ""
    return f"{100 * score.value:.1f} %{several}"


def _more(gain: Gain) -> str:
    return f"{100 * gain.value:+.1f} points ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"


def _spread(run: Score, supervised: Score | None) -> str:
    fewest = min(run.seeds, supervised.seeds) if supervised else run.seeds
    seeds = "the lowest and the highest difference of any two seeds, and at least " if fewest > 1 else ""
    more = "" if fewest > 1 else " Other seeds may differ more: give runs of three seeds."
    return f"In brackets: {seeds}what chance leaves with {run.tests:,} test images (95 %).{more}"
