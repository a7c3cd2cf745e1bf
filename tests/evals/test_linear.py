import numpy as np
import pytest

from ssl_keras.evals import linear
from ssl_keras.evals.features import Features
from tests.evals.judge import judged


def features(seed, n, signal, d=20, classes=4):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n).astype(np.int32)
    x = rng.normal(size=(n, d)).astype(np.float32)
    x[np.arange(n), labels] += signal
    return Features(x, labels)


def test_separable_classes_are_separated_and_noise_is_not():
    assert judged(linear, features(0, 400, 12.0), features(1, 400, 12.0))["top1"] > 0.99
    assert judged(linear, features(0, 400, 0.0), features(1, 2000, 0.0))["top1"] < 0.33


def test_scale_and_offset_of_features_do_not_matter():
    train, test = features(0, 400, 2.0), features(1, 400, 2.0)
    gain, offset = np.logspace(-2, 2, 20, dtype=np.float32), np.linspace(-50, 50, 20, dtype=np.float32)
    moved = [Features(f.x * gain + offset, f.labels) for f in (train, test)]
    assert abs(judged(linear, train, test)["top1"] - judged(linear, *moved)["top1"]) <= 0.01


def test_the_test_part_chooses_nothing():
    train, test = features(0, 400, 1.0), features(1, 400, 1.0)
    other = Features(test.x, np.roll(test.labels, 1))
    a, b = judged(linear, train, test), judged(linear, train, other)
    assert (a["C"], a["held_out_top1"]) == (b["C"], b["held_out_top1"])
    assert a["top1"] != b["top1"]


def test_constant_features_and_a_rare_class_are_no_error():
    train, test = features(0, 100, 3.0), features(1, 50, 3.0)
    train.x[:, 5] = 7.0
    train.labels[:] = train.labels % 3
    train.labels[0] = 3
    assert judged(linear, train, test)["top1"] > 0.4


@pytest.mark.parametrize(
    "counts, chosen", [([3] * 10, True), ([2] * 10, True), ([1, 9, 9], True), ([1] * 10, False), ([1, 9], False)]
)
def test_few_images_of_each_class_are_enough(counts, chosen):
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    x = np.random.default_rng(0).normal(size=(len(labels), 12)).astype(np.float32)
    x[np.arange(len(labels)), labels] += 12.0
    found = judged(linear, Features(x, labels), Features(x, labels))
    assert found["top1"] == 1.0
    assert (found["held_out_top1"] is not None) == chosen and (chosen or found["C"] == 1.0)


def test_what_is_held_out_for_the_penalty_leaves_an_image_of_each_class():
    for counts in ([3] * 10, [2, 2, 50], [1, 2, 3, 4, 5]):
        labels = np.repeat(np.arange(len(counts)), counts)
        fit, held = linear.split(labels, seed=0)
        assert sorted([*fit, *held]) == list(range(len(labels))) and len(held)
        assert set(labels[fit]) == set(labels)


def test_one_class_is_refused():
    data = features(0, 20, 1.0, classes=1)
    with pytest.raises(ValueError, match="one class only"):
        judged(linear, data, data)
