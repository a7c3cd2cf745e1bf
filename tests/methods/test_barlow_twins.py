import numpy as np
import pytest

from tests.methods import harness

TINY = {"projection_dim": 32, "loss_scale": 0.01}  # plain SGD feels the scale: steps at full scale explode
SCENES = [
    "--view_arg=crop_area=(0.25,1.0)",
    "--view_arg=hue=0.4",
    "--view_arg=grayscale=0.5",
    "--method_arg=projection_dim=512",
]


def embeddings(b=12, d=5, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(b, d))
    return (z * 2 + 1).astype(np.float32), (z + rng.normal(size=(b, d))).astype(np.float32)


def test_loss_is_the_papers_equation():
    z1, z2 = embeddings()
    weight = 0.0051
    expected = 0.0
    for i in range(z1.shape[1]):
        for j in range(z1.shape[1]):
            a, b = z1[:, i].astype(np.float64), z2[:, j].astype(np.float64)
            covariance = np.mean(a * b) - a.mean() * b.mean()
            c = covariance / np.sqrt((a.var() + 1e-5) * (b.var() + 1e-5))
            expected += (1 - c) ** 2 if i == j else weight * c**2
    for scale in (1.0, 0.1):
        loss = harness.make("barlow_twins", loss_scale=scale).redundancy(z1, z2)
        assert float(loss) == pytest.approx(scale * expected, rel=1e-5)


def test_the_unit_and_offset_of_a_feature_do_not_matter():
    method = harness.make("barlow_twins", loss_scale=1.0)
    z1, z2 = embeddings(b=64)
    rng = np.random.default_rng(1)
    scale, offset = rng.uniform(1, 10, z1.shape[1]), rng.normal(size=z1.shape[1])
    scaled = (z1 * scale + offset).astype(np.float32)
    assert float(method.redundancy(scaled, z2)) == pytest.approx(float(method.redundancy(z1, z2)), rel=1e-4)


def test_the_loss_is_least_for_equal_views_with_uncorrelated_features():
    signs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], np.float32)
    assert float(harness.make("barlow_twins", loss_scale=1.0).redundancy(signs, signs)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("option", [{"off_diagonal_weight": -1.0}, {"loss_scale": 0.0}])
def test_options_that_make_no_loss_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        harness.make("barlow_twins", **option)
