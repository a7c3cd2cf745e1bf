"""The layer: what a step's views depend on, and what they do not."""

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.views import policies
from ssl_keras.views.layer import RandomViews, center_view
from tests.views.inputs import photographs


def canvases(count=8, side=24, channels=3, dtype=np.uint8):
    rng = np.random.default_rng(0)
    if dtype == np.float32:
        return rng.uniform(0, 1, (count, side, side, channels)).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, (count, side, side, channels), endpoint=True).astype(dtype)


def views_of(images, name="simclr", image_size=16, seed=0, step=5, jit_compile=False, sizes=None, **kwargs):
    layer = RandomViews(policies.get(name, image_size, **kwargs), image_size, seed=seed, jit_compile=jit_compile)
    return [view.numpy() for view in layer(images, sizes=sizes, step=step)]


@pytest.mark.parametrize("name", policies.POLICIES)
def test_every_recipe_gives_views_of_its_size_in_range(name):
    recipe = policies.get(name, 16)
    views = views_of(canvases(), name)
    assert len(views) == len(recipe)
    for view, policy in zip(views, recipe):
        assert view.shape == (8, policy.size, policy.size, 3) and view.dtype == np.float32
        assert view.min() >= 0 and view.max() <= 1 and view.std() > 0.01


def test_views_depend_on_seed_step_view_and_image():
    image = np.repeat(canvases(1), 4, axis=0)
    first, second = views_of(image)
    again, _ = views_of(image)
    np.testing.assert_array_equal(first, again)
    for other in (second, views_of(image, step=6)[0], views_of(image, seed=1)[0], np.roll(first, 1, axis=0)):
        assert np.abs(first - other).reshape(4, -1).max(axis=1).min() > 0.02


def test_removing_an_operation_leaves_the_other_draws_alone():
    plain = views_of(canvases(), "supervised")[0]
    np.testing.assert_allclose(views_of(canvases(), "moco_v2", without=("color", "blur"), crop_area=(0.08, 1.0))[0], plain)


@pytest.mark.parametrize("name", ["simclr", "moco_v2_cifar", "supervised_cifar"])
def test_xla_gives_the_same_views(name):
    for plain, compiled in zip(views_of(canvases(), name), views_of(canvases(), name, jit_compile=True)):
        np.testing.assert_allclose(compiled, plain, atol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_two_replicas_see_what_one_would(jit_compile):
    images = canvases(8)
    sizes = np.random.default_rng(0).uniform(50, 200, (8, 2)).astype(np.float32)
    alone = views_of(images, sizes=sizes, jit_compile=jit_compile)
    devices = [f"CPU:{k}" for k in range(2)]
    if len(tf.config.list_logical_devices("CPU")) < 2:
        pytest.skip("needs two logical CPU devices")
    strategy = tf.distribute.MirroredStrategy(devices)
    with strategy.scope():
        layer = RandomViews(policies.get("simclr", 16), 16, jit_compile=jit_compile)

    @tf.function
    def step(inputs):
        return strategy.run(lambda x, s: layer(x, sizes=s, step=tf.constant(5, tf.int64)), args=inputs)

    dataset = tf.data.Dataset.from_tensors((images, sizes)).unbatch().batch(8)
    both = step(next(iter(strategy.experimental_distribute_dataset(dataset))))
    for view, expected in zip(both, alone):
        parts = strategy.experimental_local_results(view)
        np.testing.assert_allclose(np.concatenate([part.numpy() for part in parts]), expected, atol=1e-5)


def test_crops_are_drawn_in_the_images_own_geometry():
    """A wide image squashed to a square canvas: boxes of its aspect cover a narrower part of the canvas's width."""
    ramp = np.broadcast_to(np.linspace(0, 1, 64, dtype=np.float32)[:, None], (256, 64, 64, 1))
    sizes = np.tile(np.float32([[100, 300]]), (256, 1))
    extent = {}
    for axis, images in (("width", ramp), ("height", np.swapaxes(ramp, 1, 2))):
        view = views_of(np.ascontiguousarray(images), "supervised", sizes=sizes)[0]
        extent[axis] = np.mean(view.max((1, 2, 3)) - view.min((1, 2, 3)))
    assert extent["height"] > 2 * extent["width"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_dtypes_agree_on_what_white_is(dtype):
    white = np.full((4, 24, 24, 3), 1 if dtype == np.float32 else np.iinfo(dtype).max, dtype)
    for view in views_of(white, "supervised"):
        np.testing.assert_allclose(view, 1.0, atol=1e-5)
    np.testing.assert_allclose(center_view(white, 16), 1.0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_other_channel_counts_pass(channels):
    views = views_of(canvases(channels=channels, dtype=np.uint16))
    assert views[0].shape == (8, 16, 16, channels)


def test_center_view_is_pillows_resize_of_the_whole_canvas():
    from PIL import Image

    images = photographs(3, side=96)
    ours = center_view(np.stack(images), 64).numpy() * 255
    pillow = np.stack([np.asarray(Image.fromarray(i).resize((64, 64), Image.Resampling.BILINEAR)) for i in images])
    assert np.abs(ours - pillow).max() <= 1.01
    np.testing.assert_array_equal(center_view(np.stack(images), 96), np.stack(images) / np.float32(255))


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match="simclr_cifar"):
        policies.get("simclrr", 32)
    with pytest.raises(ValueError, match="grayscale"):
        policies.get("simclr", 32, without=("colour",))
    with pytest.raises(ValueError, match="crop_area"):
        policies.get("simclr", 32, crop_areas=(0.1, 1.0))
    with pytest.raises(ValueError, match="probability"):
        policies.get("simclr", 32, flip=2.0)
