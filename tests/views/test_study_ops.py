"""The operations of the studies and of Exemplar, each against what it is defined to do."""

import math

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.views import exemplar_ops, policies, study_ops
from ssl_keras.views.layer import RandomViews
from ssl_keras.views.policy import Policy
from tests.views.inputs import canvases, key, some_draws

pytestmark = pytest.mark.usefixtures("eagerly")


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


@pytest.mark.parametrize("size, degrees", [(41, 20.0), (16, 45.0), (16, 180.0), (9, 1.0)])
def test_tilt_turns_points_about_the_centre_and_finds_all_of_them(size, degrees):
    draw = some_draws(50)
    draw["tilt"] = tf.concat([draw["tilt"][:-2], [0.0, 1.0]], axis=0)  # the ends of the range, too
    side = size + 2 * exemplar_ops.tilt_margin(size, degrees)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    ramp = np.stack([y, x], -1).astype(np.float32)
    tilted = exemplar_ops.tilt(tf.constant(np.tile(ramp, (50, 1, 1, 1))), draw, degrees, size).numpy()
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    for image, u in zip(tilted, draw["tilt"].numpy()):
        angle = math.radians((2 * u - 1) * degrees)
        rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        np.testing.assert_allclose(image, np.stack([y, x], -1) @ rotation.T, atol=1e-3)


def test_the_margin_of_a_tilt_is_no_larger_than_needed():
    assert exemplar_ops.tilt_margin(32, 0.0) == 0
    assert exemplar_ops.tilt_margin(32, 20.0) == 5  # 31 (cos 20 + sin 20 - 1) / 2 = 4.37
    assert exemplar_ops.tilt_margin(224, 20.0) == 32


def test_tilted_views_of_any_recipe_see_the_image_where_they_turn():
    """Without a crop, corners turn beyond the image: they are mirrored, not smeared and not black."""
    ramp = np.broadcast_to(np.linspace(0.25, 1, 24, dtype=np.float32)[:, None, None], (64, 24, 24, 1))
    recipe = policies.get("supervised", 24, crop_area=(0.25, 0.25), crop_aspect=(1.0, 1.0), flip=0.0, tilt=20.0)
    (view,) = RandomViews(recipe, 24, jit_compile=False)(ramp, step=0)
    steps = np.diff(view.numpy()[..., 0], axis=1)  # inside the image the ramp goes on to the last pixel
    inside = steps.min((1, 2)) > 0
    assert inside.mean() > 0.2 and view.numpy().min() >= 0.25 - 1e-5
    recipe = policies.get("supervised", 24, crop_area=None, tilt=20.0)
    (view,) = RandomViews(recipe, 24, jit_compile=False)(ramp, step=0)
    assert view.numpy().min() >= 0.25 - 1e-5


def test_component_contrast_scales_the_spread_along_each_axis():
    x = (0.45 + 0.1 * images(50)).astype(np.float32)
    out = exemplar_ops.component_contrast(tf.constant(x), some_draws(50), (0.5, 2.0)).numpy()
    np.testing.assert_allclose(out.mean((1, 2)), x.mean((1, 2)), atol=1e-5)
    axes = np.array(exemplar_ops.COMPONENTS)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-7)
    ratio = (out @ axes.T).std((1, 2)) / (x @ axes.T).std((1, 2))
    expected = 0.5 * 4 ** np.stack([some_draws(50)[f"component_{k}"] for k in (1, 2, 3)], axis=1)
    np.testing.assert_allclose(ratio, expected, rtol=1e-3)


def test_powers_and_gains_halve_as_often_as_they_double():
    """Log-uniform: half of the powers in [1/4, 4] are below 1. Uniform ones would darken four of five images."""
    gray = tf.fill([2000, 1, 1, 3], 0.5)
    policy = Policy(hsv_power=(0.25, 4.0), hsv_gain=(1.0, 1.0))
    value = exemplar_ops.hsv_jitter(gray, some_draws(2000), policy).numpy().max(-1).ravel()
    power = np.log(value) / np.log(0.5)
    assert power.min() > 0.2499 and power.max() < 4.001
    np.testing.assert_allclose(np.quantile(power, [0.25, 0.5, 0.75]), [0.5, 1.0, 2.0], rtol=0.1)


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


@pytest.mark.parametrize("name", ["simclr", "nnclr", "byol", "pair:blur+blur"])
def test_blur_is_cut_at_a_tenth_of_the_side_where_the_authors_do(name):
    for size, taps in ((224, 23), (96, 9), (32, 3)):
        wide = policies.get(name, size, blur_sigma=(0.1, 9.0))[0]
        assert 2 * wide.blur_radius + 1 == taps
    assert policies.get(name, 224)[0].blur_radius == 8  # four standard deviations of 2 pixels


UNCUT = ["moco_v2", "simsiam", "swav", "swav_two_views", "barlow_twins", "vicreg", "dino", "lejepa", "emp_ssl"]
UNCUT += ["histology"]


@pytest.mark.parametrize("size", [32, 96, 224])
@pytest.mark.parametrize("name", UNCUT)
def test_a_nominal_sigma_of_two_is_one_in_the_recipes_whose_blur_is_not_cut(name, size):
    """The standard deviation of what one bright pixel becomes, in views of every size that the recipe has."""
    off = {"without": ("crop", "flip", "color", "solarize"), "interpolation": "bilinear", "quarter_turn": 0.0}
    recipe = policies.get(name, size, **off, blur=1.0, blur_sigma=(2.0, 2.0))
    for policy in set(recipe):
        point = np.zeros((1, policy.size, policy.size, 1), np.float32)
        point[0, policy.size // 2, policy.size // 2] = 1
        view = RandomViews([policy], size, jit_compile=False)(point, step=0)[0].numpy()[0, ..., 0]
        place = np.arange(policy.size) - policy.size // 2
        row = view.sum(0) / view.sum()
        if policy.size > 16:  # in smaller ones the edge cuts it
            assert np.sqrt((row * place**2).sum()) == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"blur_kernel": 0.0}, "a number above 0"),
        ({"blur_kernel": "long"}, "'long' must be a number"),
        ({"blur_sigma": 2.0}, r"must be two numbers, \(smallest, largest\)"),
        ({"blur_sigma": (2.0, 0.1)}, "smallest, largest"),
        ({"hsv_power": (0.0, 4.0)}, "above 0"),
        ({"zoom": (0.0, 1.0)}, "above 0"),
        ({"tilt": -3.0}, "at least 0"),
        ({"tilt": None}, "None must be a number"),
        ({"crop_area": 0.2}, "two numbers"),
        ({"crop_area": (0.2, 2.0)}, "crop_area"),
        ({"brightness": float("nan")}, "at least 0"),
    ],
)
def test_fields_that_cannot_be_are_refused_in_a_sentence(change, message):
    with pytest.raises(ValueError, match=message):
        policies.get("exemplar", 32, **change)


def test_fields_that_can_be_are_taken():
    assert policies.get("moco_v2", 32, blur_kernel=0.1)[0].blur_radius == 1
    assert policies.get("byol", 32, blur_kernel=None)[0].blur_radius == 8
    assert policies.get("supervised", 32, crop_area=[0.2, 1], crop_padding=None)[0].crop_area == (0.2, 1)


def test_no_recipe_is_left_out_of_the_two_lists_of_blurs():
    blurred = {name for name, recipe in policies.POLICIES.items() if any(policy.blur for policy in recipe)}
    cut = {name for name in blurred if any(policy.blur_kernel for policy in policies.POLICIES[name])}
    assert cut == {"simclr", "nnclr", "byol"} and blurred - cut == set(UNCUT)
