"""Learning rates against their formulas."""

import math

import keras
import numpy as np
import pytest

from ssl_keras.optim.schedules import schedule


def rates(lr, steps):
    return [float(lr(s)) for s in steps]


@pytest.mark.parametrize("scaling, expected", [("linear", 0.3 * 1024 / 256), ("sqrt", 0.3 * 32), ("none", 0.3)])
def test_the_peak_follows_the_batch_size(scaling, expected):
    assert math.isclose(schedule("constant", 0.3, 1024, 10, scaling=scaling).peak, expected)


def test_warm_up_rises_linearly_from_zero_to_the_peak():
    for name in ("cosine", "step", "constant"):
        lr = schedule(name, 1.0, 256, 100, warmup_steps=10)
        np.testing.assert_allclose(rates(lr, range(11)), np.arange(11) / 10, rtol=1e-6)


def test_cosine_after_warm_up():
    lr = schedule("cosine", 2.0, 256, 110, warmup_steps=10, final_fraction=0.1)
    steps = np.arange(10, 111)
    expected = 2 * (0.1 + 0.9 * (1 + np.cos(np.pi * (steps - 10) / 100)) / 2)
    np.testing.assert_allclose(rates(lr, steps), expected, rtol=1e-5)
    assert float(lr(500)) == pytest.approx(0.2)  # no rise after the end


def test_step_decays_at_the_milestones():
    lr = schedule("step", 1.0, 256, 200)
    np.testing.assert_allclose(rates(lr, (0, 119, 120, 159, 160, 199)), (1, 1, 0.1, 0.1, 0.01, 0.01), rtol=1e-6)


def test_constant_stays():
    assert rates(schedule("constant", 0.5, 256, 10), (0, 5, 10)) == [0.5] * 3


def test_it_survives_serialisation():
    lr = schedule("step", 0.3, 512, 100, warmup_steps=7, milestones=(0.5, 0.9))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(lr))
    assert again.get_config() == lr.get_config()
    assert rates(again, range(100)) == rates(lr, range(100))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"name": "linear"}, "cosine, step, constant"),
        ({"scaling": "square"}, "linear, sqrt, none"),
        ({"batch_size": 0}, "at least 1"),
        ({"warmup_steps": 11}, "shorten the warm-up"),
        ({"milestones": (0.8, 0.6)}, "increasing fractions"),
    ],
)
def test_errors_say_what_is_expected(change, message):
    with pytest.raises(ValueError, match=message):
        schedule(**{"name": "cosine", "base_lr": 0.1, "batch_size": 256, "total_steps": 10, **change})
