"""Views by the kind of images: what each operation does, and that the recipes suit any number of channels."""

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.views import draws, policies, value_ops
from ssl_keras.views.kinds import KINDS
from ssl_keras.views.layer import RandomViews
from ssl_keras.views.policy import Policy
from tests.views.inputs import canvases, key, some_draws

BATCH = 64


def images(channels=4, low=0.3, high=0.6):
    return tf.constant(np.random.default_rng(0).uniform(low, high, (BATCH, channels, 16, 16)), tf.float32)


def test_gain_and_shift_are_the_same_for_all_channels():
    x, policy = images(), Policy(gain=(0.8, 1.25), shift=0.1)
    y = value_ops.scale_and_shift(x, some_draws(BATCH), policy).numpy()
    x = x.numpy()
    gain = (y.max(axis=(1, 2, 3)) - y.min(axis=(1, 2, 3))) / (x.max(axis=(1, 2, 3)) - x.min(axis=(1, 2, 3)))
    shift = (y - gain[:, None, None, None] * x).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(y, gain[:, None, None, None] * x + shift[:, None, None, None], atol=1e-5)
    assert 0.79 < gain.min() < 0.9 and 1.1 < gain.max() < 1.26
    assert -0.101 < shift.min() < -0.05 and 0.05 < shift.max() < 0.101


def test_gamma_is_one_power_of_all_values():
    x = images()
    power = np.log(value_ops.gamma(x, some_draws(BATCH), 0.4)) / np.log(x)
    np.testing.assert_allclose(power, power[:, :1, :1, :1] * np.ones_like(power), rtol=1e-3)
    assert np.exp(-0.401) < power.min() < 0.8 and 1.25 < power.max() < np.exp(0.401)


def test_a_bias_field_is_smooth_and_bounded():
    field = value_ops.bias_field(tf.fill([BATCH, 1, 32, 32], 0.5), some_draws(BATCH), 0.4).numpy() / 0.5
    assert np.exp(-0.4) <= field.min() < 0.9 and 1.1 < field.max() <= np.exp(0.4)
    assert np.abs(np.diff(field, axis=2)).max() < 0.05 < np.ptp(field, axis=(2, 3)).max()


def test_channels_are_dropped_with_their_probability_and_one_stays():
    x = images(channels=5)
    left = value_ops.channel_drop(x, key(BATCH), 0.4).numpy().any(axis=(2, 3))
    assert 0.5 < left.mean() < 0.7 and left.any(axis=1).all()
    assert value_ops.channel_drop(x, key(BATCH), 1.0).numpy().any(axis=(2, 3)).sum() == BATCH
    one = images(channels=1)
    np.testing.assert_array_equal(value_ops.channel_drop(one, key(BATCH), 1.0), one)


def test_channels_have_gains_of_their_own_or_become_their_mean():
    x = images()
    gain = value_ops.channel_gain(x, key(BATCH), 0.4).numpy() / x.numpy()
    np.testing.assert_allclose(gain, gain[..., :1, :1] * np.ones_like(gain), rtol=1e-4)
    assert 0.6 <= gain.min() < 0.7 and 1.3 < gain.max() <= 1.4 and np.ptp(gain[..., 0, 0], axis=1).min() > 0.01
    y = value_ops.channel_mean(x, some_draws(BATCH), 0.5).numpy()
    same = np.ptp(y, axis=1).max(axis=(1, 2)) < 1e-6
    assert 0.3 < same.mean() < 0.7
    np.testing.assert_allclose(y[same][:, 0], x.numpy()[same].mean(axis=1), atol=1e-6)
    np.testing.assert_array_equal(y[~same], x.numpy()[~same])


def test_noise_is_a_share_of_each_channels_own_spread():
    """Bands that differ a hundredfold get noise that differs a hundredfold."""
    x = 0.5 + (images(channels=3) - 0.45) * np.reshape([1.0, 0.1, 0.01], (3, 1, 1))
    added = value_ops.own_noise(x, tf.fill([BATCH], 0.2), None, key(BATCH)) - x
    share = tf.math.reduce_std(added, axis=[2, 3]) / tf.math.reduce_std(x, axis=[2, 3])
    np.testing.assert_allclose(np.mean(share, axis=0), 0.2, rtol=0.03)


def test_draws_for_shapes_and_channels_are_apart_from_the_others():
    drops = draws.channel_drops(key(BATCH), 6).numpy()
    own = draws.channel_draws(key(BATCH), 6)
    shapes = draws.shape_draws(key(BATCH), 4).numpy()
    assert shapes.shape == (BATCH, 4, 4) and 0.45 < shapes.mean() < 0.55
    for other in own.values():
        assert abs(np.corrcoef(drops.ravel(), other.numpy().ravel())[0, 1]) < 0.15


CHANNELS = {"histology": 3, "fluorescence": 5, "multispectral": 13, "industrial": 3}  # others: 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_recipe_of_a_kind_makes_two_views(kind):
    channels = CHANNELS.get(kind, 1)
    waves = np.sin(np.linspace(0, 9, 24))[:, None, None] + np.cos(np.linspace(0, 7, 24))[:, None] + np.zeros(channels)
    layer = RandomViews(policies.get(kind, 24), 24, jit_compile=False)
    codes = np.tile(((waves + 2) * 16000).astype(np.uint16), (16, 1, 1, 1))
    one, two = (view.numpy() for view in layer(codes, step=1))
    assert one.shape == two.shape == (16, 24, 24, channels)
    assert min(one.min(), two.min()) >= 0 and max(one.max(), two.max()) <= 1
    assert np.abs(one - two).mean() > 0.01 and (one.std(axis=(1, 2)).max(axis=1) > 0.05).all()


def test_xla_makes_the_same_views():
    codes = canvases(8, 24, 4, np.uint16) // 8 + 30000
    codes[:, 4:9, 3:12] = 0
    everything = Policy(
        tilt=20.0, quarter_turn=0.75, gain=(0.8, 1.2), shift=0.1, gamma=0.3, bias_field=0.3, channel_gain=0.2,
        channel_drop=0.2, channel_mean=0.2, own_noise=0.2, holes=0.5, erosion=0.5,
    )  # fmt: skip
    one, other = (
        RandomViews([everything], 24, jit_compile=jit_compile, gaps=True, mark_gaps=True)(codes, step=2)[0].numpy()
        for jit_compile in (False, True)
    )
    assert 0.1 < np.isnan(one).mean() < 0.7
    assert np.isclose(one, other, atol=1e-4, equal_nan=True).mean() > 0.999  # rounding decides what is an edge
