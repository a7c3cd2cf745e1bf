"""The matrices of resampling, against Pillow and against the definitions."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageFilter

from ssl_keras.views.resample import gaussian_kernel, resample, resampling_matrix
from tests.views.inputs import photographs

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


FORMS = {"dense": False, "banded": True}


def column(value):
    return tf.constant([value], tf.float32)


def resized(image, box, size, interpolation, banded=False, **kwargs):
    """`image` [H, W, C] cut at box (left, top, right, bottom) and resized to [size, size, C] by our matrices."""
    left, top, right, bottom = box
    height, width = image.shape[:2]
    common = {"size_out": size, "interpolation": interpolation, "banded": banded, **kwargs}
    vertical = resampling_matrix(column(top), column(bottom - top), height, **common)
    horizontal = resampling_matrix(column(left), column(right - left), width, **common)
    full = 255.0 if image.dtype == np.uint8 else 1.0
    return full * resample(tf.constant(image[None]), vertical, horizontal, full, clip=full == 255.0)[0].numpy()


def dense(matrix, size_in):
    """The matrices [B, size_out, size_in] written out, whatever their form."""
    return (matrix @ tf.eye(size_in, batch_shape=[matrix.weights.shape[0]])).numpy()


def random_boxes(rng, height, width, count):
    for _ in range(count):
        h, w = rng.uniform(0.15, 1.0, 2) * (height, width)
        top, left = rng.uniform(0, height - h), rng.uniform(0, width - w)
        yield left, top, left + w, top + h


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("size", [32, 96, 224])
def test_resize_of_a_box_equals_pillow_on_photographs(interpolation, size, form):
    rng = np.random.default_rng(size)
    for image in photographs(4):
        for box in random_boxes(rng, *image.shape[:2], 3):
            ours = np.clip(resized(image, box, size, interpolation, FORMS[form]), 0, 255)
            pillow = Image.fromarray(image).resize((size, size), FILTERS[interpolation], box=box)
            # Pillow rounds to whole gray levels after each of its two passes; cubic lobes amplify the first.
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
    np.testing.assert_allclose(dense(matrix, 32).sum(-1), 1.0, atol=1e-5)
    same = resampling_matrix(column(0.0), column(32.0), 32, 32, interpolation)
    np.testing.assert_allclose(dense(same, 32)[0], np.eye(32), atol=1e-6)


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("size_in, size_out", [(256, 224), (112, 96), (300, 64), (50, 96)])
@pytest.mark.parametrize("radius", [0, 4])
def test_the_banded_form_is_the_dense_one(interpolation, size_in, size_out, radius):
    rng = np.random.default_rng(0)
    length = rng.uniform(0.1, 1.0, 16).astype(np.float32)
    length[0] = 1.0
    start = rng.uniform(0, 1 - length)
    arguments = (start * size_in, length * size_in, size_in, size_out, interpolation)
    arguments += (tf.constant([False, True] * 8), gaussian_kernel(tf.fill([16], 1.0), radius) if radius else None)
    full, banded = (resampling_matrix(*arguments, banded=banded) for banded in (False, True))
    assert full.first is None
    np.testing.assert_allclose(dense(banded, size_in), dense(full, size_in), atol=1e-6)


def test_the_transposed_form_is_the_dense_one():
    box = (tf.constant([0.0, 3.5, -4.0]), tf.constant([24.0, 9.2, 30.0]), 24, 16, "bicubic")
    flip, extent = tf.constant([True, False, True]), tf.constant([24.0, 20.0, 24.0])
    blur = gaussian_kernel(tf.constant([0.0, 0.7, 1.5]), 2)
    for mirrored in (False, True):
        plain, transposed = (
            resampling_matrix(*box, flip, blur, extent, transposed=t, mirrored=mirrored).weights[:, 0]
            for t in (False, True)
        )
        np.testing.assert_allclose(transposed, tf.transpose(plain, [0, 2, 1]), atol=1e-6)


def test_mixing_channels_commutes_with_resampling():
    image = np.random.default_rng(0).integers(0, 256, (2, 20, 24, 3), np.uint8)
    mixing = np.random.default_rng(1).normal(size=(2, 3, 3)).astype(np.float32)
    vertical = resampling_matrix(tf.constant([2.0, 0.0]), tf.constant([9.0, 20.0]), 20, 8)
    horizontal = resampling_matrix(tf.constant([2.0, 0.0]), tf.constant([9.0, 24.0]), 24, 8)
    mixed = resample(image, vertical, horizontal, 255.0, tf.constant(mixing))
    plain = resample(image, vertical, horizontal, 255.0)
    np.testing.assert_allclose(mixed, np.einsum("bkc,bhwc->bhwk", mixing, plain), atol=1e-5)


def test_flip_reverses_the_rows_of_its_images_only():
    start, length = tf.constant([3.0, 3.0]), tf.constant([20.0, 20.0])
    plain = dense(resampling_matrix(start, length, 32, 16), 32)
    flipped = dense(resampling_matrix(start, length, 32, 16, flip=tf.constant([True, False])), 32)
    np.testing.assert_allclose(flipped[0], plain[0, ::-1], atol=1e-6)
    np.testing.assert_array_equal(flipped[1], plain[1])


def test_a_box_beyond_the_canvas_sees_black():
    matrix = dense(resampling_matrix(column(-4.0), column(32.0), 32, 32), 32)[0]
    assert not matrix[:4].any()
    np.testing.assert_allclose(matrix[4:, :28], np.eye(28), atol=1e-6)


def test_a_mirrored_image_goes_on_beyond_its_ends():
    image = np.random.default_rng(0).uniform(0, 1, (20, 20, 1)).astype(np.float32)
    larger = np.pad(image, [[40, 40], [40, 40], [0, 0]], mode="symmetric")
    for box in ((-4, -4, 24, 24), (-30, 5, -10, 25), (-7, 15, 31, 53)):
        moved = tuple(edge + 40 for edge in box)
        ours = resized(image, box, 64, "bilinear", mirrored=True)
        np.testing.assert_allclose(ours, resized(larger, moved, 64, "bilinear"), atol=1e-5)
    # Of a larger canvas, the part that holds the image is mirrored.
    filled = np.pad(image, [[0, 12], [0, 12], [0, 0]], constant_values=np.float32(7))
    part = resized(filled, (-4, -4, 24, 24), 24, "bilinear", mirrored=True, extent=column(20.0))
    np.testing.assert_allclose(part, resized(image, (-4, -4, 24, 24), 24, "bilinear", mirrored=True), atol=1e-5)


def test_pixels_beyond_the_extent_are_never_seen():
    image = np.random.default_rng(0).uniform(0, 1, (40, 40, 1)).astype(np.float32)
    box = (3.0, 3.0, 25.0, 25.0)
    padded = np.pad(image[:25, :25], [[0, 15], [0, 15], [0, 0]], constant_values=np.float32(7))
    np.testing.assert_allclose(
        resized(padded, box, 16, "bicubic", extent=column(25.0)),
        resized(image[:25, :25], box, 16, "bicubic"),
        atol=1e-5,
    )


def test_blur_is_the_separable_gaussian_of_the_view_continued_at_its_edges():
    image = np.random.default_rng(1).uniform(0, 1, (40, 40, 1)).astype(np.float32)
    sigma, radius = 1.3, 4
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    taps /= taps.sum()
    view = resized(image, (5, 5, 35, 35), 24, "bilinear")[..., 0]
    reference = np.pad(view, radius, mode="edge")
    reference = sum(tap * reference[k : k + 24] for k, tap in enumerate(taps))
    reference = sum(tap * reference[:, k : k + 24] for k, tap in enumerate(taps))
    ours = resized(image, (5, 5, 35, 35), 24, "bilinear", blur_kernel=gaussian_kernel(column(sigma), radius))
    np.testing.assert_allclose(ours[..., 0], reference, atol=1e-5)


@pytest.mark.parametrize("size", [32, 96, 224])
@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_blur_is_pillows(size, sigma):
    """Pillow filters by three boxes, rounds after each pass, and continues the edges anew at each."""
    blur, mean, inside = gaussian_kernel(column(sigma), 8), [], []
    for image in photographs(4, size):
        ours = resized(image, (0, 0, size, size), size, "bilinear", blur_kernel=blur)
        pillow = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)), np.float32)
        difference = np.abs(ours - pillow)
        mean.append(difference.mean())
        inside.append(difference[8:-8, 8:-8].max())
    assert np.mean(mean) < 0.7 and max(inside) < 4  # of 255


def test_a_blur_of_no_width_changes_nothing():
    np.testing.assert_allclose(gaussian_kernel(column(0.0), 2), [[0, 0, 1, 0, 0]], atol=1e-30)
