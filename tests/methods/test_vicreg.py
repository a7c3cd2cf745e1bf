import numpy as np
import pytest

from tests.methods import harness

TINY = {"projection_dim": 32}
SCENES = [
    "--view_arg=crop_area=(0.25,1.0)",
    "--view_arg=hue=0.4",
    "--view_arg=grayscale=0.5",
    "--method_arg=projection_dim=512",
]


def embeddings(b=12, d=5):
    rng = np.random.default_rng(0)
    return rng.normal(size=(b, d)).astype(np.float32) * 0.9, rng.normal(size=(b, d)).astype(np.float32) * 0.7


def expected(z1, z2, invariance=25, variance=25, covariance=1, of_views=0.5):
    z1, z2 = z1.astype(np.float64), z2.astype(np.float64)
    loss = invariance * np.mean((z1 - z2) ** 2)
    for z in (z1, z2):
        d = z.shape[1]
        loss += variance * of_views * np.mean(np.maximum(0, 1 - np.sqrt(z.var(axis=0, ddof=1) + 1e-4)))
        c = np.cov(z.T)
        loss += covariance * sum(c[i, j] ** 2 for i in range(d) for j in range(d) if i != j) / d
    return loss


def test_loss_is_the_papers_equation_in_its_codes_variant():
    z = embeddings()
    assert float(harness.make("vicreg").three_terms(*z)) == pytest.approx(expected(*z), rel=1e-5)


def test_the_papers_own_variant_adds_the_views_variances_up():
    z = embeddings()
    method = harness.make("vicreg", variance_sum=True, invariance=5.0, variance=10.0, covariance=2.0)
    assert float(method.three_terms(*z)) == pytest.approx(expected(*z, 5, 10, 2, of_views=1), rel=1e-5)


def test_equal_views_that_vary_and_do_not_covary_cost_nothing():
    signs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], np.float32)
    assert float(harness.make("vicreg").three_terms(signs, signs)) == pytest.approx(0.0, abs=1e-6)


def test_a_collapsed_batch_costs_the_whole_variance_term():
    constant = np.ones((8, 4), np.float32)
    assert float(harness.make("vicreg").three_terms(constant, constant)) == pytest.approx(25 * 0.99, rel=1e-5)


@pytest.mark.parametrize("name", ["invariance", "variance", "covariance"])
def test_a_negative_weight_is_refused(name):
    with pytest.raises(ValueError, match=name):
        harness.make("vicreg", **{name: -1.0})
