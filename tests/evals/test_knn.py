import numpy as np
import pytest

from ssl_keras.evals import few, knn, linear
from ssl_keras.evals.features import Features
from ssl_keras.evals.subject import Subject
from ssl_keras.scores import neighbors
from tests.evals.judge import judged


def brute_force(train, test, k, temperature):
    """Section 3.4 of arXiv:1805.01978, one query at a time."""
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)  # noqa: E731
    bank, queries = unit(train.x), unit(test.x)
    correct = 0
    for query, label in zip(queries, test.labels):
        similarity = bank @ query
        votes = np.zeros(train.labels.max() + 1)
        for i in np.argsort(-similarity)[:k]:
            votes[train.labels[i]] += np.exp(similarity[i] / temperature)
        correct += votes.argmax() == label
    return correct / len(queries)


def random_features(seed, n, d=6, classes=3, signal=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n).astype(np.int32)
    x = rng.normal(size=(n, d)).astype(np.float32)
    x[np.arange(n), labels] += signal
    return Features(x, labels)


@pytest.mark.parametrize("k, temperature", [(1, 0.1), (7, 0.1), (50, 0.07), (200, 0.5)])
def test_equals_the_definition(monkeypatch, k, temperature):
    monkeypatch.setattr(knn, "ROWS", 50)
    monkeypatch.setattr(neighbors, "BANK_ROWS", 70)
    monkeypatch.setattr(neighbors, "QUERY_ROWS", 60)
    train, test = random_features(0, 300), random_features(1, 157)
    assert judged(knn, train, test, k=(k,), temperature=temperature)["top1"] == pytest.approx(
        brute_force(train, test, k, temperature)
    )


def test_length_of_features_does_not_matter():
    train, test = random_features(0, 300), random_features(1, 100)
    scaled = Features(train.x * np.linspace(1, 50, 300)[:, None].astype(np.float32), train.labels)
    assert judged(knn, train, test)["top1"] == judged(knn, scaled, test)["top1"]


def test_centering_takes_a_common_offset_away_and_is_stated():
    train, test = random_features(0, 300, signal=3.0), random_features(1, 200, signal=3.0)
    shift = lambda f: Features(f.x + 100.0, f.labels)  # noqa: E731
    plain = judged(knn, train, test, center=True)
    shifted = judged(knn, shift(train), shift(test), center=True)
    assert shifted["top1"] == pytest.approx(plain["top1"], abs=0.02)
    assert shifted["centered"] is True and judged(knn, train, test)["centered"] is False
    assert judged(knn, shift(train), shift(test))["top1"] < shifted["top1"]


def test_a_bank_smaller_than_k_votes_whole_and_says_so():
    assert judged(knn, random_features(0, 20), random_features(1, 10), k=(200,))["k"] == 20


def test_a_feature_of_length_zero_is_no_error():
    train, test = random_features(0, 30), random_features(1, 5)
    test.x[0] = 0
    assert 0 <= judged(knn, train, test, k=(5,))["top1"] <= 1


@pytest.mark.parametrize("temperature", [0.011, 0.005, 1e-3, 1e-6, 1e-300])
def test_towards_no_temperature_the_nearest_neighbour_decides(temperature):
    train, test = random_features(0, 300, signal=2.0), random_features(1, 200, signal=2.0)
    found = judged(knn, train, test, k=(200,), temperature=temperature)["top1"]
    nearest = judged(knn, train, test, k=(1,))["top1"]
    assert found == nearest if temperature < 1e-5 else abs(found - nearest) < 0.15
    assert nearest > 0.7


def test_near_duplicates_are_found_at_a_low_temperature():
    """With exp(cosine / T) in float32 every weight below T = 0.0113 is infinite, and the first class wins."""
    train = random_features(0, 400, d=16, classes=4)
    noise = np.random.default_rng(1).normal(scale=0.01, size=train.x.shape)
    test = Features(train.x + noise.astype(np.float32), train.labels)
    assert judged(knn, train, test, k=(200,), temperature=0.005)["top1"] > 0.99


def test_class_numbers_may_be_any():
    train, test = random_features(0, 300, classes=2), random_features(1, 100, classes=2)
    sparse = [Features(f.x, np.where(f.labels == 1, 2_000_000_000, 7).astype(np.int32)) for f in (train, test)]
    assert judged(knn, *sparse, k=(9,))["top1"] == judged(knn, train, test, k=(9,))["top1"]


def test_a_class_that_the_bank_lacks_counts_as_wrong():
    train, test = random_features(0, 300), random_features(1, 50)
    assert judged(knn, train, Features(test.x, np.full(50, 9, np.int32)))["top1"] == 0.0


@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e15])
def test_very_small_and_large_features_keep_their_direction(scale):
    train, test = random_features(0, 300), random_features(1, 100)
    scaled = [Features(f.x * np.float32(scale), f.labels) for f in (train, test)]
    assert judged(knn, *scaled, k=(9,))["top1"] == judged(knn, train, test, k=(9,))["top1"]


@pytest.mark.parametrize("evaluation", [knn, linear])
@pytest.mark.parametrize(
    "part, value, message",
    [
        (0, np.nan, "1 of 30 training images are not finite"),
        (1, np.inf, "1 of 5 test images"),
        (1, 1e30, "beyond 1e\\+18"),
    ],
)
def test_features_of_a_diverged_run_are_refused(evaluation, part, value, message):
    pair = random_features(0, 30), random_features(1, 5)
    pair[part].x[3, 2] = value
    with pytest.raises(ValueError, match=message):
        judged(evaluation, *pair)


@pytest.mark.parametrize("evaluation", [knn, linear])
def test_nothing_to_compare_is_refused(evaluation):
    some, none = random_features(0, 30), random_features(1, 0)
    for pair, what in (((some, none), "test"), ((none, some), "training")):
        with pytest.raises(ValueError, match=f"there are no {what} images"):
            judged(evaluation, *pair)


@pytest.mark.parametrize("evaluation", [knn, linear])
def test_constant_features_are_at_chance(evaluation):
    labels = np.arange(60, dtype=np.int32) % 3
    constant = Features(np.full((60, 4), 0.1, np.float32), labels)
    assert judged(evaluation, constant, constant)["top1"] == pytest.approx(1 / 3)


def test_several_k_are_one_look_at_the_bank():
    train, test = random_features(0, 300), random_features(1, 100)
    rows = knn.evaluate(Subject(lambda: (train, test)), knn.Options(k=(1, 20, 400, 500)))
    assert [row.conditions["k"] for row in rows] == [1, 20, 300]
    assert [row.value for row in rows] == [
        pytest.approx(brute_force(train, test, k, 0.1)) for k in (1, 20, 300)
    ]


def test_few_labels_are_drawn_alike_of_each_class_and_have_a_spread():
    train, test = random_features(0, 300, signal=2.0), random_features(1, 100, signal=2.0)
    found = judged(knn, train, test, per_class=4, draws=3, k=(3,))
    assert (found["draws"], found["per_class"], found["train_examples"]) == (3, 4, 12)
    low, high = found["range"]["top1"]
    assert low < high and low <= found["top1"] <= high
    assert found == judged(knn, train, test, per_class=4, draws=3, k=(3,))


def test_a_larger_share_holds_the_smaller_one():
    labels = np.repeat(np.arange(4), [1, 3, 20, 100])
    small, large = (few.share(labels, fraction, draw=0, seed=0) for fraction in (0.1, 0.5))
    assert np.bincount(labels[small]).tolist() == [1, 1, 2, 10] and set(small) < set(large)


@pytest.mark.parametrize("equal", [1, 5])
def test_a_row_is_not_its_own_neighbor(equal):
    x = np.repeat(random_features(0, 30).x, equal, axis=0)
    cosines, rows = neighbors.nearest_others(x, 3)
    assert not (rows == np.arange(len(x))[:, None]).any() and (np.diff(cosines) <= 0).all()
    assert equal == 1 or np.allclose(cosines, 1, atol=1e-6)
