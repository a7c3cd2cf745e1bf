"""The layer: what a step's views depend on, and what they do not."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssl_keras.views import policies
from ssl_keras.views.layer import RandomViews, center_view
from tests.views.inputs import canvases, photographs

LOOPS = {"While", "StatelessWhile", "MapDefun", "If", "StatelessIf"}


def views_of(images, name="simclr", image_size=16, seed=0, step=5, sizes=None, **kwargs):
    layer_options = {key: kwargs.pop(key) for key in ("color", "form") if key in kwargs}
    jit_compile = kwargs.pop("jit_compile", False)
    recipe = policies.get(name, image_size, **kwargs)
    layer = RandomViews(recipe, image_size, seed=seed, jit_compile=jit_compile, **layer_options)
    tf.config.run_functions_eagerly(not jit_compile)  # views that are made once take a tenth of the time of a trace
    try:
        return [view.numpy() for view in layer(images, sizes, step=step)]
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize("name", policies.POLICIES)
def test_every_recipe_gives_views_of_its_size_in_range(name):
    recipe = policies.get(name, 32)
    views = views_of(canvases(), name, 32)
    assert len(views) == len(recipe)
    for view, policy in zip(views, recipe):
        assert view.shape == (8, policy.size, policy.size, 3) and view.dtype == np.float32
        assert view.min() >= 0 and view.max() <= 1 and view.std() > 0.01


EACH_POLICY = {policy: name for name in policies.POLICIES for policy in policies.get(name, 32)}


@pytest.mark.parametrize("policy", [pytest.param(policy, id=name) for policy, name in EACH_POLICY.items()])
def test_no_recipe_loops_over_images(policy):
    layer = RandomViews([policy], 32, jit_compile=True, form="banded")
    graph = tf.function(lambda x: layer(x, step=tf.constant(0))).get_concrete_function(
        tf.TensorSpec([4, 64, 64, 3], tf.uint8)
    ).graph.as_graph_def()  # fmt: skip
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert len(nodes) > 100
    assert not LOOPS & {node.op for node in nodes}


def test_views_depend_on_seed_step_view_and_image():
    image = np.repeat(canvases(1), 4, axis=0)
    first, second = views_of(image)
    again, _ = views_of(image)
    np.testing.assert_array_equal(first, again)
    for other in (second, views_of(image, step=6)[0], views_of(image, seed=1)[0], np.roll(first, 1, axis=0)):
        assert np.abs(first - other).reshape(4, -1).max(axis=1).min() > 0.02


def test_removing_an_operation_leaves_the_other_draws_alone():
    plain = views_of(canvases(), "supervised")[0]
    ablated = views_of(canvases(), "moco_v2", without=("color", "blur"), crop_area=(0.08, 1.0))[0]
    np.testing.assert_allclose(ablated, plain, atol=1e-6)


@pytest.mark.parametrize("name", ["simclr", "supervised_cifar", "vicreg"])
def test_xla_gives_the_same_views(name):
    for plain, compiled in zip(views_of(canvases(), name), views_of(canvases(), name, jit_compile=True)):
        np.testing.assert_allclose(compiled, plain, atol=1e-5)


@pytest.mark.parametrize("name", ["simclr", "swav", "exemplar"])
def test_the_two_forms_of_the_matrices_give_the_same_views(name):
    images = canvases(4, side=80)
    forms = [views_of(images, name, 64, form=form) for form in ("dense", "banded")]
    for dense, banded in zip(*forms):
        np.testing.assert_allclose(banded, dense, atol=1e-4)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_two_replicas_see_what_one_would(jit_compile):
    if len(tf.config.list_logical_devices("CPU")) < 2:
        pytest.skip("needs two logical CPU devices")
    images = canvases(8)
    sizes = np.random.default_rng(0).uniform(50, 200, (8, 2)).astype(np.float32)
    alone = views_of(images, "moco_v2", sizes=sizes, jit_compile=jit_compile)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        layer = RandomViews(policies.get("moco_v2", 16), 16, jit_compile=jit_compile)

    @tf.function
    def step(inputs):
        return strategy.run(lambda x, s: layer(x, s, step=tf.constant(5, tf.int64)), args=inputs)

    dataset = tf.data.Dataset.from_tensors((images, sizes)).unbatch().batch(8)
    both = step(next(iter(strategy.experimental_distribute_dataset(dataset))))
    for view, expected in zip(both, alone):
        parts = strategy.experimental_local_results(view)
        np.testing.assert_allclose(np.concatenate([part.numpy() for part in parts]), expected, atol=1e-5)


def test_crops_are_drawn_in_the_images_own_geometry():
    """Of a wide image that was squashed to a square, crops of aspect ratio about 1 span more of the height."""
    ramp = np.broadcast_to(np.linspace(0, 1, 64, dtype=np.float32)[:, None], (256, 64, 64, 1))
    sizes = np.tile(np.float32([[100, 300]]), (256, 1))
    span = {}
    for axis, images in (("width", ramp), ("height", np.swapaxes(ramp, 1, 2))):
        view = views_of(np.ascontiguousarray(images), "supervised", sizes=sizes)[0]
        span[axis] = np.mean(view.max((1, 2, 3)) - view.min((1, 2, 3)))
    assert span["height"] > 2 * span["width"]


def test_exact_and_fused_colors_agree_where_nothing_clips():
    images = (0.4 + 0.2 * canvases(dtype=np.float32)).astype(np.float32)
    mild = {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.0, "interpolation": "bilinear"}
    fused, exact = (views_of(images, "simclr", color=color, **mild) for color in ("fused", "exact"))
    np.testing.assert_allclose(fused[0], exact[0], atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_dtypes_agree_on_what_white_is(dtype):
    white = np.full((4, 24, 24, 3), 1 if dtype == np.float32 else np.iinfo(dtype).max, dtype)
    for view in views_of(white, "supervised"):
        np.testing.assert_allclose(view, 1.0, atol=1e-5)
    np.testing.assert_allclose(center_view(white, 16), 1.0, atol=1e-5)


def test_sixteen_bits_are_not_rounded_to_eight():
    images = np.full((2, 24, 24, 1), 1000, np.uint16)
    images[1] += 20
    low, high = views_of(images, "supervised", flip=0.0)[0].mean((1, 2, 3))
    assert low == pytest.approx(1000 / 65535, rel=1e-4) and high - low == pytest.approx(20 / 65535, rel=1e-2)


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("name", ["byol", "exemplar"])
def test_other_channel_counts_are_jittered_too(channels, name):
    images = canvases(channels=channels, dtype=np.uint16)
    views = views_of(images, name)
    plain = views_of(images, name, without=("color",))
    assert views[0].shape == (8, 16, 16, channels) and np.isfinite(views[0]).all()
    if name == "byol":
        changed = np.abs(views[0] - plain[0]).max((1, 2, 3)) > 1e-3
        assert changed.mean() > 0.5
        if channels > 1:  # channels have gains of their own
            ratio = (views[0] / np.maximum(plain[0], 1e-3)).mean((1, 2))
            assert np.ptp(ratio[changed], axis=1).max() > 0.01


def test_center_view_is_pillows_resize():
    images = np.stack(photographs(3, side=96))
    bilinear = Image.Resampling.BILINEAR
    pillow = np.stack([np.asarray(Image.fromarray(image).resize((64, 64), bilinear)) for image in images])
    assert np.abs(center_view(images, 64) * 255 - pillow).max() <= 1.01
    np.testing.assert_array_equal(center_view(images, 96), images / np.float32(255))

    # The centre square of a true 96 x 192 image, three quarters of its shorter side: 12..84 by 30..66 of the canvas.
    cut = center_view(images, 64, sizes=[[96, 192]] * 3, crop=0.75) * 255
    box = (30, 12, 66, 84)
    pillow = np.stack([np.asarray(Image.fromarray(i).resize((64, 64), bilinear, box=box)) for i in images])
    assert np.abs(cut - pillow).max() <= 1.01


def test_no_array_of_the_compiled_program_is_much_larger_than_its_output():
    recipe = policies.get("simclr", 96)[:1]
    layer = RandomViews(recipe, 96, form="banded")
    images = tf.constant(canvases(16, side=112))
    maker = layer._maker(layer.views[0])
    sizes, zero = tf.ones([16, 2]), tf.constant(0)
    columns = tf.transpose(images, [0, 2, 1, 3])
    report = maker.experimental_get_compiler_ir(images, sizes, tf.constant(0, tf.int64), zero, zero, columns, None)
    hlo = report(stage="optimized_hlo")
    biggest = sorted(map(_bytes_of, _shapes(hlo)), reverse=True)
    output = 16 * 96 * 96 * 3 * 4
    # Two arrays live at once beside the output, so that a batch needs at most six times the memory of its views.
    assert 2 * biggest[0] + output <= 6 * output


def _shapes(hlo):
    entry = hlo[hlo.index("ENTRY") :]
    return [
        (part.split("[")[0], part.split("[")[1].split("]")[0])
        for line in entry.splitlines()
        if " = " in line
        for part in [line.split(" = ", 1)[1].lstrip("(")]
        if "[" in part.split(" ")[0]
    ]


def _bytes_of(shape):
    kind, dimensions = shape
    size = {"pred": 1, "u8": 1, "s8": 1, "u16": 2, "bf16": 2, "f16": 2, "s64": 8, "u64": 8}.get(kind, 4)
    return size * int(np.prod([int(n) for n in dimensions.split(",") if n] or [1]))


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match="simclr_cifar"):
        policies.get("simclrr", 32)
    with pytest.raises(ValueError, match="grayscale"):
        policies.get("simclr", 32, without=("colour",))
    with pytest.raises(ValueError, match="crop_area"):
        policies.get("simclr", 32, crop_areas=(0.1, 1.0))
    with pytest.raises(ValueError, match="probability"):
        policies.get("simclr", 32, flip=2.0)
    with pytest.raises(ValueError, match="sobel"):
        policies.get("pair:crop+colour", 32)
    with pytest.raises(ValueError, match="exact"):
        RandomViews(policies.get("simclr", 32), 32, color="sequential")
    with pytest.raises(ValueError, match="uint16"):
        views_of(np.zeros((2, 8, 8, 3), np.int64))
