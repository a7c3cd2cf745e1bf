import numpy as np
import pytest

from ssl_keras.evals import clusters
from ssl_keras.evals.features import Features
from tests.evals.judge import judged
from tests.evals.test_linear import features


def test_accuracy_is_of_the_best_assignment():
    numbers = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    groups = np.array([5, 5, 7, 7, 7, 1, 1, 5])
    assert clusters.accuracy(numbers, groups) == pytest.approx(6 / 8)
    assert clusters.accuracy(numbers, (numbers + 1) % 3) == 1.0


def test_classes_far_apart_are_the_clusters():
    test = features(0, 200, 30.0)
    found = judged(clusters, test, test)
    assert found["accuracy"] > 0.7 and found["clusters"] == 4 and found["range"]["nmi"][1] == pytest.approx(1.0)
    noise = features(0, 400, 0.0)
    assert abs(judged(clusters, noise, noise)["ari"]) < 0.05


def test_without_labels_only_the_silhouette_is_known():
    test = features(0, 100, 30.0)
    unlabeled = Features(test.x, np.full(100, -1, np.int32))
    found = judged(clusters, unlabeled, unlabeled, number=4)
    assert found["metrics"] == ["silhouette"] and found["silhouette"] > 0.5 and found["plain"] == ["silhouette"]
    with pytest.raises(ValueError, match="set --clusters_number"):
        judged(clusters, unlabeled, unlabeled)
    with pytest.raises(ValueError, match="fewer clusters than images"):
        judged(clusters, unlabeled, unlabeled, number=100)
