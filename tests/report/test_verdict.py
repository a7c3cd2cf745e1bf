"""The verdict: what is said of which scores."""

import pytest

from ssl_keras.report.verdict import Gain, Score, disagreement, verdict, without_labels


def score(value, low=None, high=None, seeds=1, tests=1000):
    return Score(value, low or value, high or value, seeds, tests)


def test_a_row_of_several_seeds_has_their_range():
    row = {"top1": 0.5, "range": {"top1": [0.4, 0.6]}, "seeds": [0, 1, 2], "test_examples": 100}
    assert Score.of(row) == Score(0.5, 0.4, 0.6, 3, 100)
    assert Score.of({"top1": 0.5, "test_examples": 100}) == Score(0.5, 0.5, 0.5, 1, 100)


def test_a_gain_is_as_wide_as_chance_and_seeds_are():
    one = Gain.of(score(0.8), score(0.7))
    error = 1.96 * (0.8 * 0.2 / 1000 + 0.7 * 0.3 / 1000) ** 0.5
    assert one == pytest.approx((0.1, 0.1 - error, 0.1 + error))
    seeds = Gain.of(score(0.8, 0.75, 0.85, 3), score(0.7, 0.6, 0.74, 3))
    assert seeds.low == pytest.approx(0.01) and seeds.high == pytest.approx(0.25)
    assert Gain.of(score(0.8, tests=10), score(0.7, tests=10)).clear == 0


@pytest.mark.parametrize(
    "run, untrained, supervised, answer, words",
    [
        (0.8, 0.3, None, "yes", "Worth it, beside no training: with 500 labels"),
        (0.8, 0.3, 0.6, "yes", "Worth it: with 500 labels"),
        (0.8, 0.3, 0.9, "no", "Not worth it with 500 labels"),
        (0.8, 0.3, 0.81, "unclear", "No clear gain"),
        (0.31, 0.3, None, "no", "Not worth it: with 500 labels"),
        (0.2, 0.3, 0.1, "no", "less than the 30.0 % of the same network untrained"),
    ],
)
def test_what_is_said(run, untrained, supervised, answer, words):
    said = verdict(score(run), score(untrained), supervised and score(supervised), 500)
    assert said.answer == answer and words in said.sentence and f"{100 * run:.1f} %" in said.sentence
    assert ("--method=supervised" in " ".join(said.remarks)) == (supervised is None and answer == "yes")
    assert "Other seeds may differ more" in said.remarks[0]


def test_seeds_are_told_with_their_range():
    said = verdict(score(0.8, 0.78, 0.82, 3), score(0.3), score(0.6, 0.5, 0.7, 3), 500)
    assert "80.0 % (78.0 to 82.0)" in said.sentence and "Other seeds" not in said.remarks[0]


def test_no_labels_no_verdict():
    assert without_labels().answer == "unknown" and "no labels" in without_labels().sentence


def test_metrics_that_disagree_are_named():
    up, down = Gain(0.1, 0.05, 0.15), Gain(-0.1, -0.15, -0.05)
    assert disagreement([up], [up]) == [] and "kNN does not say the same" in disagreement([up], [down])[0]
