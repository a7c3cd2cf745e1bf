import numpy as np
import pytest
from sklearn.metrics import log_loss

from ssl_keras.evals import calibration
from ssl_keras.evals.features import Features
from tests.evals.judge import judged
from tests.evals.test_linear import features


def test_who_says_how_often_he_is_right_has_no_error():
    rng = np.random.default_rng(0)
    shares = rng.uniform(0.5, 1, 200_000)
    logits = np.log(np.stack([shares, 1 - shares], 1))
    numbers = (rng.random(len(shares)) > shares).astype(int)
    assert calibration.ece(logits, numbers, 15) < 0.005
    assert calibration.ece(3 * logits, numbers, 15) > 0.05
    assert calibration.best_temperature(3 * logits, numbers) == pytest.approx(3, abs=0.05)
    assert calibration.nll(logits, numbers) == pytest.approx(log_loss(numbers, np.exp(logits)))


def test_one_bin_is_the_gap_between_confidence_and_accuracy():
    logits = np.log(np.array([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6]]))
    assert calibration.ece(logits, np.array([0, 1, 1]), 1) == pytest.approx(abs((0.9 + 0.7 + 0.6) / 3 - 2 / 3))


def test_the_probe_is_scored_and_unknown_classes_are_left_out():
    train, test = features(0, 400, 2.0), features(1, 400, 2.0)
    found = judged(calibration, train, test)
    assert 0 <= found["ece"] < 0.3 and found["nll"] > 0 and found["left_out"] == 0
    other = Features(test.x, np.where(np.arange(400) < 10, 9, test.labels).astype(np.int32))
    assert judged(calibration, train, other)["left_out"] == 10
    with pytest.raises(ValueError, match="all test images are of classes that the training images lack"):
        judged(calibration, train, Features(test.x, np.full(400, 9, np.int32)))
