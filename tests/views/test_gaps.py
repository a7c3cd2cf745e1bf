"""Views of images with pixels that were not measured, and the pixels that views take out."""

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.views import gap_ops, policies
from ssl_keras.views.layer import RandomViews, center_view
from ssl_keras.views.policy import Policy
from tests.views.inputs import key, some_draws

WHOLE = Policy(crop_area=None, flip=0.0)


def with_holes(count=6, side=32, channels=2, share=0.3):
    """Codes uint16 with square holes of a few pixels."""
    rng = np.random.default_rng(0)
    codes = rng.integers(1, 65536, (count, side, side, channels)).astype(np.uint16)
    hole = rng.random((count, side // 4, side // 4, channels)) < share
    codes[np.kron(hole, np.ones((1, 4, 4, 1), bool))] = 0
    return codes


def made(codes, *policy, size=16):
    layer = RandomViews(policy, size, jit_compile=False, gaps=True, mark_gaps=True)
    return [view.numpy() for view in layer(codes, step=3)]


def test_a_view_is_the_mean_of_what_was_measured():
    """Normalized convolution, by TensorFlow's own resizing of the values and of the mask."""
    codes = with_holes()
    (view,) = made(codes, WHOLE)
    there = (codes > 0).astype(np.float32)
    total, weight = (tf.image.resize(x, [16, 16], antialias=True).numpy() for x in (codes * there / 65535.0, there))
    expected = np.where(weight > 0.5, total / np.maximum(weight, 1e-6), np.nan)
    assert 0.1 < np.isnan(expected).mean() < 0.5
    edge = np.abs(weight - 0.5) < 1e-3  # rounding decides there
    np.testing.assert_allclose(view[~edge], expected[~edge], atol=1e-4)
    np.testing.assert_allclose(center_view(codes, 16, gaps=True).numpy()[~edge], view[~edge], atol=1e-6)


def test_no_edge_between_a_surface_and_nothing():
    """A wall at one distance, with holes: every pixel of a view has that distance, or none."""
    codes = np.where(with_holes() > 0, 40000, 0).astype(np.uint16)
    strong = Policy(crop_area=(0.2, 1.0), tilt=30.0, quarter_turn=0.75, blur=1.0, interpolation="bicubic")
    (view,) = made(codes, strong)
    assert 0.1 < np.isnan(view).mean() < 0.6
    np.testing.assert_allclose(view[np.isfinite(view)], 40000 / 65535, atol=1e-4)


def test_values_change_as_if_there_were_no_holes():
    """Contrast is about the mean of what was measured, and noise is a share of its spread."""
    codes = np.full((4, 32, 32, 1), 0, np.uint16)
    codes[:, :, :16] = np.random.default_rng(0).integers(20000, 40000, (4, 32, 16, 1))
    half = codes[:, :, :16] / np.float32(65535)
    (view,) = made(codes, Policy(crop_area=None, flip=0.0, jitter=1.0, contrast=0.5), size=32)
    ratio = np.nanstd(view, axis=(1, 2)) / half.std(axis=(1, 2))
    assert (np.abs(ratio - 1) > 0.05).any()
    np.testing.assert_allclose(np.nanmean(view, axis=(1, 2)), half.mean(axis=(1, 2)), atol=1e-5)
    (noisy,) = made(codes, Policy(crop_area=None, flip=0.0, own_noise=1.0), size=32)
    added = np.nanstd(noisy[:, :, :16] - half, axis=(1, 2)) / half.std(axis=(1, 2))
    (filled,) = made(np.tile(codes[:, :, :16], (1, 1, 2, 1)), Policy(crop_area=None, flip=0.0, own_noise=1.0), size=32)
    expected = np.nanstd(filled[:, :, :16] - half, axis=(1, 2)) / half.std(axis=(1, 2))
    np.testing.assert_allclose(added, expected, rtol=0.02)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_images_without_holes_have_the_views_that_they_have_without_masks(jit_compile):
    codes = np.random.default_rng(0).integers(1, 65536, (4, 32, 32, 3)).astype(np.uint16)
    recipe = policies.get("simclr_cifar", 64) + policies.get("moco_v2", 16)
    plain = RandomViews(recipe, 64, jit_compile=jit_compile)(codes, step=3)
    masked = RandomViews(recipe, 64, jit_compile=jit_compile, gaps=True, mark_gaps=True)(codes, step=3)
    for number, (one, other) in enumerate(zip(plain, masked)):
        difference = np.abs(one.numpy() - other.numpy())
        assert difference.mean() < 1e-3 and not np.isnan(other).any(), number  # bicubic: clipped once, not twice


def test_floats_with_nan_have_gaps_too():
    codes = with_holes()
    floats = np.where(codes > 0, codes / np.float32(65535), np.nan)
    np.testing.assert_allclose(made(floats, WHOLE)[0], made(codes, WHOLE)[0], atol=1e-5)
    (dark,) = RandomViews([WHOLE], 16, jit_compile=False, gaps=True)(codes, step=3)
    np.testing.assert_array_equal(dark, np.nan_to_num(made(codes, WHOLE)[0]))


def test_holes_cover_what_the_policy_says():
    share = []
    for most in (0.1, 0.2, 0.4):
        policy = Policy(holes=1.0, hole_share=(most, most))
        left = gap_ops.holes(tf.ones([400, 1, 32, 32], tf.bool), some_draws(400), policy, key(400))
        share.append(1 - np.mean(left))
        assert share[-1] <= most
    assert share[0] < share[1] < share[2] and share[0] > 0.05  # they overlap, and reach beyond the view
    none = gap_ops.holes(tf.ones([9, 1, 8, 8], tf.bool), some_draws(9), Policy(holes=0.0), key(9))
    assert np.all(none)


def test_edges_are_what_erosion_takes():
    depth = np.full((1, 1, 9, 9), 0.5, np.float32)
    depth[..., 5:] = 0.8
    measured = np.ones_like(depth, bool)
    measured[..., 0, 0] = False
    policy = Policy(erosion=1.0)
    left = gap_ops.eroded(tf.constant(depth), tf.constant(measured), some_draws(1), policy).numpy()[0, 0]
    taken = {(int(i), int(j)) for i, j in np.argwhere(~left)}
    assert taken == {(0, 0), (0, 1), (1, 0), (1, 1)} | {(i, j) for i in range(9) for j in (4, 5)}


def test_what_a_policy_takes_out_is_dark_where_the_network_does_not_know_gaps():
    images = np.full((8, 16, 16, 1), 200, np.uint8)
    policy = Policy(crop_area=None, holes=1.0, hole_share=(0.2, 0.2))
    (view,) = RandomViews([policy], 16, jit_compile=False)(images, step=0)
    assert set(np.unique(np.round(view.numpy() * 255))) == {0, 200}
