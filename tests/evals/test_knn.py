import numpy as np
import pytest

from ssl_keras.evals import knn
from ssl_keras.evals.features import Features


def brute_force(train, test, k, temperature):
    """Section 3.4 of arXiv:1805.01978, one query at a time."""
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)  # noqa: E731
    bank, queries = unit(train.x), unit(test.x)
    correct = 0
    for query, label in zip(queries, test.labels):
        similarity = bank @ query
        votes = np.zeros(train.classes)
        for i in np.argsort(-similarity)[:k]:
            votes[train.labels[i]] += np.exp(similarity[i] / temperature)
        correct += votes.argmax() == label
    return correct / len(queries)


def random_features(seed, n, d=6, classes=3, signal=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n).astype(np.int32)
    x = rng.normal(size=(n, d)).astype(np.float32)
    x[np.arange(n), labels] += signal
    return Features(x, labels, classes)


@pytest.mark.parametrize("k, temperature", [(1, 0.1), (7, 0.1), (50, 0.07), (200, 0.5)])
def test_equals_the_definition(k, temperature):
    train, test = random_features(0, 300), random_features(1, 157)
    assert knn.evaluate(train, test, k=k, temperature=temperature, rows=50)["top1"] == pytest.approx(
        brute_force(train, test, k, temperature)
    )


def test_length_of_features_does_not_matter():
    train, test = random_features(0, 300), random_features(1, 100)
    scaled = Features(train.x * np.linspace(1, 50, 300)[:, None].astype(np.float32), train.labels, 3)
    assert knn.evaluate(train, test)["top1"] == knn.evaluate(scaled, test)["top1"]


def test_centering_takes_a_common_offset_away_and_is_stated():
    train, test = random_features(0, 300, signal=3.0), random_features(1, 200, signal=3.0)
    shift = lambda f: Features(f.x + 100.0, f.labels, f.classes)  # noqa: E731
    plain = knn.evaluate(train, test, center=True)
    shifted = knn.evaluate(shift(train), shift(test), center=True)
    assert shifted["top1"] == pytest.approx(plain["top1"], abs=0.02)
    assert shifted["centered"] is True and knn.evaluate(train, test)["centered"] is False
    assert knn.evaluate(shift(train), shift(test))["top1"] < shifted["top1"]


def test_a_bank_smaller_than_k_votes_whole_and_says_so():
    assert knn.evaluate(random_features(0, 20), random_features(1, 10), k=200)["k"] == 20


def test_a_feature_of_length_zero_is_no_error():
    train, test = random_features(0, 30), random_features(1, 5)
    test.x[0] = 0
    assert 0 <= knn.evaluate(train, test, k=5)["top1"] <= 1
