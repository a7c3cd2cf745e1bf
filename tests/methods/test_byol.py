import numpy as np
import pytest

from ssl_keras.training.spread import even_z_std
from tests.methods import harness

TINY = {"hidden_dim": 32, "projection_dim": 16}
# As flags/scenes/simclr.flags: color says nothing about the scenes' classes, and the run is short.
SCENES = [
    "--view_arg=crop_area=(0.25,1.0)",
    "--view_arg=hue=0.4",
    "--view_arg=grayscale=0.5",
    "--method_arg=base_momentum=0.96",
    "--weight_decay=0",
    "--epochs=30",  # the first targets are a random network's: slow at first
]


def target_and_online(method):
    return [(copy.numpy(), online.numpy()) for copy, online in method.target._pairs()]


def test_distance_is_the_squared_difference_of_unit_vectors():
    p, t = np.random.default_rng(0).normal(size=(2, 6, 16)).astype(np.float32)
    unit_p, unit_t = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (p, t))
    expected = np.mean(np.sum((unit_p - unit_t) ** 2, axis=1))
    assert float(harness.make("byol").distance(p, t)) == pytest.approx(expected, rel=1e-5)


def test_loss_is_the_sum_of_both_directions_towards_the_target_before_it_moves():
    method = harness.make("byol")
    (batch,) = harness.batches(1)
    x1, x2 = method.make_views(batch)
    t1, t2 = method.project_target(x1, x2)
    _, p1, p2 = method.project_and_predict(x1, x2)
    logs = harness.train(harness.make("byol"), harness.batches(1))
    assert logs["loss"] == pytest.approx(float(method.distance(p1, t2) + method.distance(p2, t1)), rel=1e-4)


def test_target_starts_elsewhere_and_moves_after_the_step_by_its_share_of_the_difference():
    method = harness.make("byol", base_momentum=0.75)
    before = target_and_online(method)
    assert all(np.any(copy != online) for copy, online in before if copy.ndim > 1)
    harness.train(method, harness.batches(1))
    for (old, _), (new, online) in zip(before, target_and_online(method), strict=True):
        np.testing.assert_allclose(new, old + 0.25 * (online - old), rtol=1e-5, atol=1e-6)


def test_momentum_rises_from_its_base_to_one_along_half_a_cosine():
    method = harness.make("byol", base_momentum=0.9)
    steps, last = (0, 3, 5, 10), harness.FACTS["total_steps"]
    momenta = [float(method.target_momentum(step)) for step in steps]
    expected = [1 - 0.1 * (np.cos(np.pi * k / last) + 1) / 2 for k in steps]
    np.testing.assert_allclose(momenta, expected, rtol=1e-6)
    assert momenta[0] == pytest.approx(0.9) and momenta[-1] == 1.0


def test_with_momentum_one_the_target_stays_a_fixed_random_network():
    method = harness.make("byol", base_momentum=1.0)
    before = target_and_online(method)
    harness.train(method, harness.batches(2))
    for (old, theta), (new, moved) in zip(before, target_and_online(method), strict=True):
        np.testing.assert_array_equal(new, old)
        assert np.any(theta != moved)


def test_with_momentum_zero_the_target_is_the_online_network():
    method = harness.make("byol", base_momentum=0.0)
    harness.train(method, harness.batches(2))
    for copy, online in target_and_online(method):
        np.testing.assert_allclose(copy, online, rtol=1e-5, atol=1e-6)


def test_without_predictor_the_projections_themselves_are_compared():
    method = harness.make("byol", predictor=False)
    z1, p1, _ = method.project_and_predict(*method.make_views(next(iter(harness.batches(1)))))
    np.testing.assert_array_equal(z1, p1)
    assert not any("predictor" in v.path for v in method.weights)
    assert np.isfinite(harness.train(method, harness.batches(1))["loss"])


def test_what_is_shipped_is_the_online_backbone():
    method = harness.make("byol")
    assert method.encoder is method.backbone
    assert not any(v.path.startswith("target/") for v in method.encoder.weights)


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_a_momentum_that_is_no_share_is_refused(value):
    with pytest.raises(ValueError, match="base_momentum"):
        harness.make("byol", base_momentum=value)


@pytest.mark.slow
def test_without_a_moving_target_and_predictor_the_projections_collapse():
    spread = {}
    for name, arguments in {
        "byol": {"base_momentum": 0.9},
        "no predictor": {"base_momentum": 0.9, "predictor": False},
        "no predictor, no average": {"base_momentum": 0.0, "predictor": False},
    }.items():
        method = harness.make("byol", learning_rate=1.0, **arguments)
        method.total_steps = 400
        for epoch in range(20):
            logs = harness.train(method, harness.batches(20, seed=epoch), traced=True)
        spread[name] = logs["z_std"] / even_z_std(16)
    # Measured: 0.46 to 0.6 with both, below 0.01 without.
    assert spread["byol"] > 0.25
    assert spread["no predictor"] < 0.05 and spread["no predictor, no average"] < 0.05
