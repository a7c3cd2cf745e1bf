import pytest

from ssl_keras.evals import label_efficiency, run
from ssl_keras.evals.subject import Subject
from tests.evals.test_linear import features


def curve(encoder, *points):
    return [{"encoder": encoder, "labels": labels, "top1": top1} for labels, top1 in points]


def test_a_curve_rises_and_shares_that_are_the_same_images_are_one():
    train, test = features(0, 400, 2.0), features(1, 400, 2.0)
    options = label_efficiency.Options(shares=(0.001, 0.002, 0.1, 1.0))
    rows = run.merged(label_efficiency.evaluate(Subject(lambda: (train, test)), options))
    assert rows[0]["labels"] == 4 and [row["draws"] for row in rows] == [3, 3, 1]
    assert rows[0]["top1"] < rows[-1]["top1"] and "range" in rows[0] and "range" not in rows[-1]


def test_labels_between_two_points_are_found_on_a_logarithmic_axis():
    rows = curve("run", (10, 0.2), (1000, 0.6))
    assert label_efficiency.labels_for(rows, 0.4) == pytest.approx(100)
    assert label_efficiency.labels_for(rows, 0.1) == 10 and label_efficiency.labels_for(rows, 0.7) is None


def test_what_is_saved_is_said():
    run_rows, random = curve("run", (10, 0.2), (1000, 0.6)), curve("random", (10, 0.1), (1000, 0.4))
    assert label_efficiency.saved(run_rows, random) == (
        "run needs 100 labels for the 40.0 % that random reaches with 1000"
    )
    assert label_efficiency.saved(random, run_rows) == "random does not reach the 60.0 % of run"


@pytest.mark.parametrize("shares", [(), (0.0,), (1.5,)])
def test_shares_that_cannot_be_are_refused(shares):
    with pytest.raises(ValueError, match="--label_efficiency_shares"):
        label_efficiency.Options(shares=shares)
