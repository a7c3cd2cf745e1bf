"""The distribution of random crops, against torchvision's rule carried out literally."""

import math

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.views import boxes
from tests.views.inputs import some_draws


def drawn(batch_size, ratio, area, aspect=(3 / 4, 4 / 3)):
    log_ratio = tf.fill([batch_size], math.log(ratio))
    box = boxes.random_resized(some_draws(batch_size, seed=3), log_ratio, area, aspect)
    return (part.numpy() for part in box)


def by_rejection(count, ratio, area, aspect=(3 / 4, 4 / 3), seed=0):
    """Area and aspect ratio drawn uniformly and log-uniformly until the box fits."""
    rng = np.random.default_rng(seed)
    a = rng.uniform(*area, 40 * count)
    log_aspect = rng.uniform(*np.log(aspect), 40 * count)
    height, width = np.sqrt(a * np.exp(-log_aspect) * ratio), np.sqrt(a * np.exp(log_aspect) / ratio)
    fits = (height <= 1) & (width <= 1)
    return height[fits][:count], width[fits][:count]


def largest_gap(x, y):
    """The Kolmogorov-Smirnov statistic of two samples."""
    grid = np.sort(np.concatenate([x, y]))
    return np.abs(
        np.searchsorted(np.sort(x), grid, "right") / len(x) - np.searchsorted(np.sort(y), grid, "right") / len(y)
    ).max()


@pytest.mark.parametrize("ratio", [1.0, 4 / 3, 0.5])
@pytest.mark.parametrize("area", [(0.08, 1.0), (0.2, 1.0), (0.05, 0.14)])
def test_area_and_aspect_are_distributed_as_in_torchvision(ratio, area):
    count = 20000
    _, _, height, width = drawn(count, ratio, area)
    reference_height, reference_width = by_rejection(count, ratio, area)
    assert len(reference_height) == count
    critical = 2.2 * math.sqrt(2 / count)  # p ~ 1e-4
    assert largest_gap(height, reference_height) < critical
    assert largest_gap(width, reference_width) < critical
    assert largest_gap(height * width, reference_height * reference_width) < critical


@pytest.mark.parametrize("ratio", [0.1, 0.5, 1.0, 12.0])
def test_boxes_lie_inside_the_image_with_allowed_area_and_aspect(ratio):
    top, left, height, width = drawn(5000, ratio, (0.2, 1.0))
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + height <= 1 + 1e-6).all() and (left + width <= 1 + 1e-6).all()
    aspect = width / height * ratio
    assert (aspect >= 3 / 4 - 1e-3).all() and (aspect <= 4 / 3 + 1e-3).all()
    if 0.2 < ratio < 5:
        assert (height * width >= 0.2 - 1e-4).all()


def test_position_is_uniform_over_what_is_left():
    top, left, height, width = drawn(20000, 1.0, (0.08, 0.8))
    for start, length in ((top, height), (left, width)):
        free = length < 0.99
        assert largest_gap((start / (1 - length))[free], np.random.default_rng(0).uniform(0, 1, 20000)) < 0.025


def test_zoomed_boxes_have_a_uniform_factor_and_a_moved_centre():
    box = boxes.zoomed(some_draws(20000), (0.7, 1.4), 0.2)
    factor = 1 / box.height.numpy()
    assert largest_gap(factor, np.random.default_rng(0).uniform(0.7, 1.4, 20000)) < 0.025
    np.testing.assert_array_equal(box.height, box.width)
    for start in (box.top, box.left):
        centre = (start + 0.5 * box.height).numpy()
        assert largest_gap(centre, np.random.default_rng(1).uniform(0.3, 0.7, 20000)) < 0.025


def test_boxes_of_boxes_and_boxes_grown():
    outer, inner = (boxes.Boxes(*map(tf.constant, box)) for box in ((0.2, 0.4, 0.5, 0.1), (0.5, -1.0, 0.5, 2.0)))
    np.testing.assert_allclose(boxes.inside(outer, inner), [0.45, 0.3, 0.25, 0.2], atol=1e-6)
    np.testing.assert_allclose(boxes.grown(outer, 3.0), [-0.3, 0.3, 1.5, 0.3], atol=1e-6)


def test_shifted_boxes_move_by_whole_pixels_within_the_padding():
    box = boxes.shifted(some_draws(5000), (4, 32))
    moves = box.top.numpy() * 32
    assert set(np.round(moves, 4)) == set(range(-4, 5))
    np.testing.assert_array_equal(box.height, 1.0)
