"""The operations of the studies and of Exemplar, each against what it is defined to do."""

import math

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.views import exemplar_ops, policies, study_ops
from ssl_keras.views.layer import RandomViews
from tests.views.inputs import canvases, key, some_draws


def images(count=200, side=12, channels=3):
    return canvases(count, side, channels, np.float32)


def test_quarter_turns_are_rotations_and_equally_frequent():
    x = images(600)
    turned = study_ops.quarter_turn(tf.constant(x), some_draws(600), 1.0).numpy()
    counts = [sum(np.array_equal(t, np.rot90(i, k)) for t, i in zip(turned, x)) for k in range(4)]
    assert counts[0] == 0 and sum(counts) == 600 and min(counts[1:]) > 140
    np.testing.assert_array_equal(study_ops.quarter_turn(tf.constant(x), some_draws(600), 0.0), x)


def test_cutout_blackens_one_square_of_the_asked_size():
    out = study_ops.cutout(tf.ones([300, 20, 20, 2]), some_draws(300), 1.0, (0.2, 0.5)).numpy()
    black = (out == 0).all(-1)
    rows, columns = black.any(2), black.any(1)
    np.testing.assert_array_equal(black, rows[:, :, None] & columns[:, None])
    assert np.abs(rows.sum(1) - columns.sum(1)).max() <= 1
    assert rows.sum(1).min() >= 3 and rows.sum(1).max() <= 10


def test_sobel_is_zero_on_flat_ground_and_one_at_a_full_step():
    step = np.zeros((1, 8, 8, 1), np.float32)
    step[:, :, 4:] = 1
    out = study_ops.sobel(tf.constant(step), some_draws(1), 1.0).numpy()[0, :, :, 0]
    np.testing.assert_allclose(out[:, 3:5], 1.0)
    np.testing.assert_allclose(np.delete(out, [3, 4], axis=1), 0.0)
    turned = study_ops.sobel(tf.constant(np.swapaxes(step, 1, 2)), some_draws(1), 1.0).numpy()[0, :, :, 0]
    np.testing.assert_allclose(turned, out.T)


def test_noise_has_the_drawn_standard_deviation():
    gray, draw = tf.fill([100, 30, 30, 1], 0.5), some_draws(100)
    out = study_ops.noise(gray, draw, 1.0, (0.0, 0.1), key(100)).numpy()
    np.testing.assert_allclose(out.std((1, 2, 3)), 0.1 * draw["noise_sigma"].numpy(), rtol=0.1)


def test_tilt_turns_points_about_the_centre():
    draw, side = some_draws(50), 41
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    ramp = np.stack([y, x], -1).astype(np.float32)
    tilted = exemplar_ops.tilt(tf.constant(np.tile(ramp, (50, 1, 1, 1))), draw, 20.0).numpy()
    inside = np.hypot(y, x) < 18
    for image, u in zip(tilted, draw["tilt"].numpy()):
        angle = math.radians((2 * u - 1) * 20)
        rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        np.testing.assert_allclose(image[inside], ramp[inside] @ rotation.T, atol=1e-3)


def test_component_contrast_scales_the_spread_along_each_axis():
    x = (0.45 + 0.1 * images(50)).astype(np.float32)
    out = exemplar_ops.component_contrast(tf.constant(x), some_draws(50), (0.5, 2.0)).numpy()
    np.testing.assert_allclose(out.mean((1, 2)), x.mean((1, 2)), atol=1e-5)
    axes = np.array(exemplar_ops.COMPONENTS)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-7)
    ratio = (out @ axes.T).std((1, 2)) / (x @ axes.T).std((1, 2))
    expected = 0.5 + 1.5 * np.stack([some_draws(50)[f"component_{k}"] for k in (1, 2, 3)], axis=1)
    np.testing.assert_allclose(ratio, expected, rtol=1e-3)


@pytest.mark.parametrize("operation", policies.PAIR_OPERATIONS)
def test_a_pair_changes_one_view_and_leaves_the_other_alone(operation):
    recipe = policies.get(f"pair:{operation}+{operation}", 24)
    changed, plain = RandomViews(recipe, 24, jit_compile=False)(canvases(), step=0)
    np.testing.assert_allclose(plain, canvases() / np.float32(255), atol=1e-5)
    assert np.mean(np.abs(changed - plain.numpy()).max((1, 2, 3)) > 0.02) > 0.5


def test_without_crop_and_flip_and_color_nothing_is_left_of_simclr_cifar():
    recipe = policies.get("simclr_cifar", 24, without=("crop", "flip", "color"))
    for view in RandomViews(recipe, 24, jit_compile=False)(canvases(), step=0):
        np.testing.assert_allclose(view, canvases() / np.float32(255), atol=1e-5)


def test_multi_crop_sizes_are_the_papers_and_scale_with_the_image():
    assert [policy.size for policy in policies.get("swav", 224)] == [224] * 2 + [96] * 6
    assert [policy.size for policy in policies.get("dino", 224)] == [224] * 2 + [96] * 8
    assert [policy.size for policy in policies.get("dino", 32)] == [32] * 2 + [16] * 8


def test_blur_kernels_have_the_papers_lengths():
    for size, taps in ((224, 23), (96, 9), (32, 3)):
        wide = policies.get("simclr", size, blur_sigma=(0.1, 9.0))[0]
        assert 2 * wide.blur_radius + 1 == taps
    assert policies.get("simclr", 224)[0].blur_radius == 8  # four standard deviations of 2 pixels
