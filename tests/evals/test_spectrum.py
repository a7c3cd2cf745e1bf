"""Numbers without labels, beside their definitions."""

import numpy as np
import pytest

from ssl_keras.evals import spectrum as evaluation
from ssl_keras.evals.features import Features
from ssl_keras.scores import spectrum
from tests.evals.judge import judged


def relu_features(n, d, seed=0):
    return np.maximum(np.random.default_rng(seed).normal(size=(n, d)), 0)


def by_svd(x):
    p = np.linalg.svd(x, compute_uv=False)
    p = p / p.sum()
    return np.exp(-(p * np.log(p)).sum())


@pytest.mark.parametrize("shape", [(300, 20), (15, 40)])
def test_rankme_and_effective_rank_are_two_numbers(shape):
    x = relu_features(*shape)
    assert spectrum.rankme(x) == pytest.approx(by_svd(x), rel=1e-6)
    centered = x - x.mean(0)
    values = np.linalg.svd(centered, compute_uv=False)
    p = values[values > 1e-9] / values.sum()
    assert spectrum.effective_rank(x) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-4)
    assert len(x) < 100 or spectrum.effective_rank(x) > 1.05 * spectrum.rankme(x)  # the common offset hides others
    assert spectrum.stable_rank(x) == pytest.approx((values**2).sum() / values[0] ** 2)


def test_limits():
    line = np.arange(50.0)[:, None] * np.ones((1, 8))
    assert spectrum.effective_rank(line) == pytest.approx(1.0, abs=1e-3)
    assert spectrum.effective_rank(np.ones((50, 8))) == 0.0 and spectrum.rankme(np.zeros((5, 3))) == 0.0
    assert spectrum.rankme(np.eye(8)) == pytest.approx(8.0)


def test_alpha_is_the_power_of_the_spectrum():
    rng = np.random.default_rng(0)
    left = rng.normal(size=(400, 80))
    left, right = np.linalg.qr(left - left.mean(0))[0], np.linalg.qr(rng.normal(size=(80, 80)))[0]
    x = left * np.arange(1, 81.0) ** -0.6 @ right.T
    assert spectrum.alpha_req(x) == pytest.approx(1.2, abs=1e-6)
    assert spectrum.alpha_req(x[:, :20]) is None and spectrum.alpha_req(line_of(60)) is None


def line_of(d):
    return np.arange(100.0)[:, None] * np.ones((1, d))


def test_lidar_counts_the_directions_that_tell_images_apart():
    rng = np.random.default_rng(0)
    n, q, d, delta = 200, 10, 12, 1e-4
    images = np.zeros((n, d))
    images[:, :4] = rng.normal(size=(n, 4))
    x = images[:, None] + 0.1 * rng.normal(size=(n, q, d))
    means = x.mean(1)
    between = (means - means.mean(0)).T @ (means - means.mean(0)) / (n - 1)
    within = sum((v - v.mean(0)).T @ (v - v.mean(0)) for v in x) / (n * (q - 1)) + delta * np.eye(d)
    values, vectors = np.linalg.eigh(within)
    half = vectors / np.sqrt(values) @ vectors.T
    eigenvalues = np.linalg.eigvalsh(half @ between @ half)
    p = eigenvalues / eigenvalues.sum()
    assert spectrum.lidar(x) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-6)
    assert spectrum.lidar(x) == pytest.approx(4, abs=0.3)


def test_alignment_and_uniformity():
    z = np.random.default_rng(0).normal(size=(1000, 64))
    assert spectrum.alignment(z, 3 * z) == pytest.approx(0, abs=1e-12)
    assert spectrum.alignment(z, -z) == pytest.approx(4)
    assert spectrum.uniformity(z) == pytest.approx(-4, abs=0.15)
    assert spectrum.uniformity(np.ones((10, 4))) == pytest.approx(0, abs=1e-9)


def test_the_evaluation_needs_no_labels_and_says_whether_images_were_enough():
    x = relu_features(100, 8).astype(np.float32)
    unlabeled = Features(x, np.full(100, -1, np.int32))
    found = judged(evaluation, unlabeled, unlabeled, images=60)
    assert found["images"] == 60 and found["enough_images"] and "rankme" in found["plain"]
    assert 1 < found["effective_rank"] <= 8
