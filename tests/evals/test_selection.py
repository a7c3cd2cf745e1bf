"""Which images are chosen to look at."""

import numpy as np
import pytest

from ssl_keras.evals import linear
from ssl_keras.scores import selection
from tests.evals.test_linear import features


def blobs(sizes, d=16, spread=0.05):
    """Groups of features around random directions."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(len(sizes), d))
    x = np.concatenate([center + spread * rng.normal(size=(n, d)) for center, n in zip(centers, sizes)])
    return x.astype(np.float32), np.repeat(np.arange(len(sizes)), sizes)


def test_copies_are_near_duplicates_and_others_are_not():
    x = np.random.default_rng(0).normal(size=(200, 16)).astype(np.float32)
    x[150:160] = 3 * x[:10] + 1e-4  # of other lengths
    x[160] = x[0]
    groups = selection.near_duplicates(*selection.neighbors_of(x))
    assert groups[150] == groups[160] == groups[0] == 0
    np.testing.assert_array_equal(groups[150:160], np.arange(10))
    assert len(np.unique(groups)) == 200 - 11
    np.testing.assert_array_equal(selection.near_duplicates(*selection.neighbors_of(x[:2])), [0, 1])


def test_identical_images_are_one_group():
    assert (selection.near_duplicates(*selection.neighbors_of(np.ones((20, 4), np.float32))) == 0).all()


def test_what_is_far_from_all_is_an_outlier():
    x, _ = blobs([100, 100])
    x[30] = -x[:100].mean(axis=0) - x[100:].mean(axis=0)
    assert selection.outlier_distances(selection.neighbors_of(x)[0]).argmax() == 30


def test_margins_are_own_less_the_best_other():
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    assert selection.margins(shares, np.array([0, 1])) == pytest.approx([0.5, -0.3])


def test_k_center_takes_one_of_each_group_first():
    x, groups = blobs([80, 15, 60, 30])
    chosen = selection.k_center(x, 4)
    assert sorted(groups[chosen]) == [0, 1, 2, 3]
    assert len(np.unique(selection.k_center(x, 50))) == 50
    assert len(selection.k_center(x[:6], 50)) <= 6


def test_typical_takes_the_middle_of_each_large_group():
    x, groups = blobs([80, 3, 60, 30])
    chosen = selection.typical(x, 4, 0)
    assert {0, 2, 3} <= set(groups[chosen]) and groups[chosen[0]] == 0
    center = x[:80].mean(axis=0)
    apart = np.linalg.norm(x[:80] - center, axis=1)
    assert np.linalg.norm(x[chosen[0]] - center) < np.median(apart)
    np.testing.assert_array_equal(chosen, selection.typical(x, 4, 0))


def test_wrong_labels_are_doubted():
    data = features(0, 400, 4.0)
    wrong = np.arange(0, 400, 40)
    labels = data.labels.copy()
    labels[wrong] = (labels[wrong] + 1) % 3
    mixed = type(data)(data.x, labels)
    shares, classes = linear.out_of_fold(mixed, 0.1, 0)
    assert shares.sum(axis=1) == pytest.approx(1) and list(classes) == sorted(set(labels))
    doubted = np.argsort(selection.margins(shares, labels))[: len(wrong)]
    assert len(set(doubted) & set(wrong)) >= 9


def test_a_class_of_one_image_has_no_share_where_it_is_not_seen():
    data = features(0, 60, 4.0)
    labels = data.labels.copy()
    labels[7] = 9
    shares, classes = linear.out_of_fold(type(data)(data.x, labels), 0.1, 0)
    assert shares[7, list(classes).index(9)] == 0
