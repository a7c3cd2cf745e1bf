import numpy as np
import pytest

from tests.methods import harness


def test_loss_of_an_untrained_classifier_is_near_log_classes():
    logs = harness.train(harness.make("supervised", learning_rate=0.0), harness.batches(2))
    assert logs["loss"] == pytest.approx(np.log(harness.CLASSES), abs=1.0)


def test_labels_are_learned():
    method = harness.make("supervised")
    data = harness.batches(4)
    first = harness.train(method, data, traced=True)
    for _ in range(30):
        last = harness.train(method, data, traced=True)
    assert last["accuracy"] > first["accuracy"] + 0.2
