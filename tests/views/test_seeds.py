"""Where seed patches lie, and what views of them see: by construction, every pixel says where it is."""

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.views import policies
from ssl_keras.views.boxes import Boxes
from ssl_keras.views.layer import RandomViews
from ssl_keras.views.seeds import SeedBoxes, patch_energy
from tests.views.inputs import canvases, photographs

SIDE = 32
GEOMETRY = {"component_gain": None, "hsv_power": None}  # what is left of Exemplar's views without their colors


def square(count, side=1.0):
    return tf.fill([count, 2], float(side))


def pixels(boxes, side):
    """Boxes as whole pixels [b, 4] of the canvas: top, left, height, width."""
    exact = side * np.stack(boxes, axis=1)
    np.testing.assert_allclose(exact, np.rint(exact), atol=1e-4)
    return np.rint(exact).astype(int)


# ---- where


def test_seeds_lie_where_the_gradients_are():
    rng = np.random.default_rng(0)
    images = np.full((300, 16, 16, 1), 128, np.uint8)
    images[:, 10:13, 2:5] = rng.integers(0, 255, (300, 3, 3, 1))  # the only thing to be seen
    chosen = pixels(SeedBoxes(share=0.25)(tf.constant(images), square(300), np.arange(300)), 16)
    np.testing.assert_array_equal(chosen[:, 2:], 4)
    # A patch just above or left of it ends in its gradient, but shows none of it.
    shown = (abs(chosen[:, 0] - 9.5) < 3.5) & (abs(chosen[:, 1] - 1.5) < 3.5)
    assert shown.mean() > 0.8


def test_patch_energy_is_the_mean_squared_gradient_of_what_lies_inside():
    image = canvases(1, 12, dtype=np.float32)[0].astype(np.float64)
    down, right = np.zeros((12, 12)), np.zeros((12, 12))
    down[:-1] = np.square(np.diff(image, axis=0)).sum(-1)
    right[:, :-1] = np.square(np.diff(image, axis=1)).sum(-1)
    energy = patch_energy(tf.constant(image[None], tf.float32), tf.constant([[5.0, 3.0]]))[0].numpy()
    for y, x in ((0, 0), (3, 7), (7, 9)):
        assert energy[y, x] == pytest.approx((down + right)[y : y + 5, x : x + 3].mean(), rel=1e-5)
    assert not energy[8:].any() and not energy[:, 10:].any() and energy[:8, :10].all()


def test_seeds_are_drawn_in_proportion_to_their_energy():
    image = np.random.default_rng(0).uniform(0, 1, (1, 6, 6, 1)).astype(np.float32)
    count = 20_000
    energy = patch_energy(tf.constant(image), tf.constant([[4.0, 4.0]])).numpy()[0, :3, :3]
    chosen = pixels(SeedBoxes(share=4 / 6)(tf.constant(image.repeat(count, 0)), square(count), tf.range(count)), 6)
    counts = np.zeros((3, 3))
    np.add.at(counts, (chosen[:, 0], chosen[:, 1]), 1)
    np.testing.assert_allclose(counts / count, energy / energy.sum(), atol=0.015)


def test_a_seed_belongs_to_its_image_for_good():
    images = canvases(6, SIDE)
    draw = SeedBoxes(seed=3)
    first = np.stack(draw(tf.constant(images), square(6), np.arange(6)), axis=1)
    order = np.array([4, 2, 5, 0, 1, 3])
    np.testing.assert_array_equal(np.stack(draw(tf.constant(images[order]), square(6), order), axis=1), first[order])
    assert np.any(np.stack(SeedBoxes(seed=4)(tf.constant(images), square(6), np.arange(6)), axis=1) != first)


def test_flat_images_have_seeds_everywhere_that_fits():
    chosen = pixels(SeedBoxes()(tf.zeros([2000, SIDE, SIDE, 3], tf.uint8), square(2000), np.arange(2000)), SIDE)
    assert set(chosen[:, 0]) == set(chosen[:, 1]) == set(range(9)) and set(chosen[:, 2]) == {24}


def test_seeds_are_squares_of_the_image_not_of_the_canvas_that_it_was_squashed_to():
    sizes = tf.constant([[100.0, 300.0], [50.0, 50.0], [400.0, 100.0]])
    boxes = SeedBoxes(share=0.5)(tf.constant(canvases(3, 48)), sizes, np.arange(3))
    np.testing.assert_allclose(pixels(boxes, 48)[:, 2:], [[24, 8], [24, 24], [6, 24]])


# ---- what is seen


def views_within(images, boxes, size, sizes=None, color="fused", **changes):
    recipe = policies.get("exemplar", size, **{**GEOMETRY, **changes})
    sizes = square(len(images), images.shape[1]) if sizes is None else sizes
    views = RandomViews(recipe, size, jit_compile=False, color=color)(images, sizes, step=3, within=boxes)
    return np.concatenate([view.numpy() for view in views])


def everywhere(count, share, side):
    """Boxes of a share of the side at uniform places of whole pixels."""
    rng, length = np.random.default_rng(0), round(share * side)
    top, left = (tf.constant(rng.integers(0, side - length + 1, count) / side, tf.float32) for _ in range(2))
    return Boxes(top, left, tf.fill([count], length / side), tf.fill([count], length / side))


@pytest.mark.parametrize("share", [0.75, 1 / 3])
def test_views_of_a_white_image_are_white(share):
    for dtype in (np.uint8, np.float32):
        images = np.full((200, SIDE, SIDE, 3), 255 if dtype == np.uint8 else 1, dtype)
        np.testing.assert_allclose(views_within(images, everywhere(200, share, SIDE), SIDE), 1.0, atol=1e-5)


def test_the_surroundings_of_a_seed_are_the_images_own():
    """A seed of white on black ground: turned, moved and zoomed out, its views are white inside and black outside."""
    side, length = 96, 32
    images = np.zeros((200, side, side, 1), np.float32)
    images[:, length : 2 * length, length : 2 * length] = 1
    third = tf.fill([200], 1 / 3)
    white = views_within(images, Boxes(third, third, third, third), SIDE).mean((1, 2, 3))
    # The view's area is the seed's / zoom^2: zoomed out, at most zoom^2 of it is white, the rest was never in the seed.
    assert white.min() < 0.55 and white.max() > 0.99
    whole = views_within(images, Boxes(third, third, third, third), SIDE, zoom=(0.5, 0.5), zoom_shift=0.0)
    np.testing.assert_allclose(whole.mean((1, 2, 3)), 0.25, atol=0.01)  # however it is turned


def test_only_what_lies_beyond_the_image_is_made_up():
    """The views are those of a larger picture that goes on where the image ends: there, by its mirror image."""
    side, pad = 32, 32
    image = canvases(1, side, 3, np.float32)
    larger = np.pad(image, [[0, 0], [pad, pad], [pad, pad], [0, 0]], mode="symmetric")
    boxes = everywhere(100, 0.75, side)
    ratio = side / (side + 2 * pad)
    inner = Boxes(*((b * side + pad) / (side + 2 * pad) for b in boxes[:2]), *(b * ratio for b in boxes[2:]))
    seen = views_within(image.repeat(100, 0), boxes, SIDE)
    # Zoomed out, pixels shrink by 7 %, and the kernel is cut at the image's end.
    np.testing.assert_allclose(seen, views_within(larger.repeat(100, 0), inner, SIDE), atol=5e-3)

    own = np.pad(np.ones_like(image), [[0, 0], [pad, pad], [pad, pad], [0, 0]])
    share = views_within(own.repeat(100, 0), inner, SIDE).mean((1, 2, 3))
    assert 0.5 < share.mean() < 0.99 and share.max() == pytest.approx(1, abs=1e-4)  # so the test above tests something


def test_a_view_without_transformation_is_the_seed():
    images = canvases(8, SIDE)
    boxes = everywhere(8, 0.5, SIDE)
    views = views_within(images, boxes, 16, zoom=(1.0, 1.0), zoom_shift=0.0, tilt=1e-6)
    for view, image, top, left in zip(views, images, *(np.rint(SIDE * np.array(b)).astype(int) for b in boxes[:2])):
        np.testing.assert_allclose(view, image[top : top + 16, left : left + 16] / np.float32(255), atol=1e-5)


def test_a_recipe_of_crops_stays_within_the_seed():
    images = np.zeros((64, SIDE, SIDE, 3), np.uint8)
    images[:, 8:24, 8:24] = 200
    quarter, half = tf.fill([64], 0.25), tf.fill([64], 0.5)
    layer = RandomViews(policies.get("supervised", 16), 16, jit_compile=False)
    (view,) = layer(images, square(64), step=0, within=Boxes(quarter, quarter, half, half))
    # Taps at the seed's edge see half of what lies beyond, as at the edge of any crop.
    np.testing.assert_allclose(view[:, 2:-2, 2:-2], 200 / 255, atol=1e-5)


@pytest.mark.parametrize("color", ["fused", "exact"])
def test_xla_gives_the_same_views_of_seeds(color):
    images, boxes = canvases(8, SIDE), everywhere(8, 0.75, SIDE)
    recipe = policies.get("exemplar", SIDE, jitter=0.8, brightness=0.4, contrast=0.4)
    plain, compiled = (
        RandomViews(recipe, SIDE, jit_compile=jit, color=color)(images, square(8), step=1, within=boxes)
        for jit in (False, True)
    )
    for a, b in zip(plain, compiled):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_photographs_have_no_black_in_their_views():
    images = np.stack(photographs(8, 64)) // 2 + 100  # no pixel below 100
    boxes = SeedBoxes()(tf.constant(images), square(8), np.arange(8))
    assert views_within(images, boxes, SIDE).min() >= 100 / 255 - 1e-5
