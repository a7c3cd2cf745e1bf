"""The matrices of resampling, against Pillow and against the definitions."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssl_keras.views.resample import gaussian_kernel, resample, resampling_matrix
from tests.views.photos import photographs

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def column(value):
    return tf.constant([value], tf.float32)


def resized(image, box, size, interpolation, **kwargs):
    """`image` [H, W, C] cut at box (left, top, right, bottom) and resized to [size, size, C] by our matrices."""
    left, top, right, bottom = box
    height, width = image.shape[:2]
    vertical = resampling_matrix(column(top), column(bottom - top), height, size, interpolation)
    horizontal = resampling_matrix(column(left), column(right - left), width, size, interpolation, **kwargs)
    full = 255.0 if image.dtype == np.uint8 else 1.0
    view = resample(tf.constant(image[None]), vertical, horizontal / full, overshoots=full == 255.0)
    return full * view[0].numpy().transpose(0, 2, 1)


def random_boxes(rng, height, width, count):
    for _ in range(count):
        h, w = rng.uniform(0.15, 1.0, 2) * (height, width)
        top, left = rng.uniform(0, height - h), rng.uniform(0, width - w)
        yield left, top, left + w, top + h


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("size", [32, 96, 224])
def test_resize_of_a_box_equals_pillow_on_photographs(interpolation, size):
    rng = np.random.default_rng(size)
    for image in photographs(4):
        for box in random_boxes(rng, *image.shape[:2], 3):
            ours = np.clip(resized(image, box, size, interpolation), 0, 255)
            pillow = Image.fromarray(image).resize((size, size), FILTERS[interpolation], box=box)
            # Pillow rounds to whole grey levels after each of its two passes; cubic lobes amplify the first.
            difference = np.abs(ours - np.asarray(pillow, np.float32))
            assert difference.max() <= (1.01 if interpolation == "bilinear" else 1.13)
            assert np.mean(difference > 1.0) < 1e-3


@pytest.mark.parametrize("interpolation", FILTERS)
def test_resize_equals_pillow_in_floating_point(interpolation):
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 1, (57, 40)).astype(np.float32)
    for box in random_boxes(rng, 57, 40, 5):
        pillow = Image.fromarray(image).resize((23, 23), FILTERS[interpolation], box=box)
        np.testing.assert_allclose(
            resized(image[..., None], box, 23, interpolation)[..., 0], np.asarray(pillow), atol=2e-5
        )


@pytest.mark.parametrize("interpolation", FILTERS)
def test_rows_sum_to_one_and_the_whole_axis_is_the_identity(interpolation):
    matrix = resampling_matrix(
        tf.constant([0.0, 3.3, 10.0]), tf.constant([32.0, 9.1, 22.0]), 32, 17, interpolation,
        blur_kernel=gaussian_kernel(tf.constant([0.0, 0.7, 2.0]), 3),
    )  # fmt: skip
    np.testing.assert_allclose(tf.reduce_sum(matrix, axis=-1), 1.0, atol=1e-5)
    same = resampling_matrix(column(0.0), column(32.0), 32, 32, interpolation)
    np.testing.assert_allclose(same[0], np.eye(32), atol=1e-6)


def test_flip_reverses_the_rows_of_its_images_only():
    start, length = tf.constant([3.0, 3.0]), tf.constant([20.0, 20.0])
    plain = resampling_matrix(start, length, 32, 16)
    flipped = resampling_matrix(start, length, 32, 16, flip=tf.constant([True, False]))
    np.testing.assert_allclose(flipped[0], plain[0, ::-1], atol=1e-6)
    np.testing.assert_allclose(flipped[1], plain[1], atol=0)


def test_a_box_beyond_the_canvas_sees_black():
    matrix = resampling_matrix(column(-4.0), column(32.0), 32, 32)[0].numpy()
    assert not matrix[:4].any()
    np.testing.assert_allclose(matrix[4:, :28], np.eye(28), atol=1e-6)


def test_blur_is_the_separable_gaussian_of_the_view_continued_at_its_edges():
    image = np.random.default_rng(1).uniform(0, 1, (40, 40, 1)).astype(np.float32)
    sigma, radius = 1.3, 4
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    taps /= taps.sum()
    view = resized(image, (5, 5, 35, 35), 24, "bilinear")[..., 0]
    reference = np.pad(view, radius, mode="edge")
    reference = sum(tap * reference[k : k + 24] for k, tap in enumerate(taps))
    reference = sum(tap * reference[:, k : k + 24] for k, tap in enumerate(taps))

    blur = gaussian_kernel(column(sigma), radius)
    matrix = resampling_matrix(column(5.0), column(30.0), 40, 24, blur_kernel=blur)
    ours = resample(image[None], matrix, matrix, overshoots=False)[0, :, 0]
    np.testing.assert_allclose(ours, reference, atol=1e-5)


def test_a_blur_of_no_width_changes_nothing():
    np.testing.assert_allclose(gaussian_kernel(column(0.0), 2), [[0, 0, 1, 0, 0]], atol=1e-30)
