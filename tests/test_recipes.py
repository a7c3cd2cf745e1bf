"""Every flagfile trains: two steps of its method, views and optimizer, with networks, images and batches made small."""

import dataclasses
import functools
import inspect

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import methods
from ssl_keras.build import arguments as build_arguments
from ssl_keras.build import data as build_data
from ssl_keras.build import method as build_method
from ssl_keras.data.canvases import batches
from ssl_keras.nn import resnet, vit
from ssl_keras.views import policies
from ssl_keras.views.layer import RandomViews
from tests.test_flagfiles import FLAGFILES, ROOT, read

BATCH = 16
FEW = 4  # views: so many take less time than tracing what makes them
SMALL = {  # the largest value of an argument that sets a size
    "hidden_dim": 32,
    "bottleneck_dim": 16,
    "projection_dim": 32,
    "projector_dim": 32,
    "predictor_dim": 16,
    "embedding_dim": 16,
    "tile_dim": 8,
    "column_dim": 16,
    "prototypes": 32,
    "negatives": 16,
    "slices": 16,
    "queue_length": 2 * BATCH,
    "decoder_dim": 32,
    "decoder_depth": 1,
    "decoder_heads": 2,
}
IN_PROPORTION = ("context_prediction", "jigsaw")  # whose patches are given in pixels of their own views


def small(settings):
    """The recipe on 16 images of the built-in scenes, with a narrow network of its kind."""
    method = methods.load(settings.method)
    settings = dataclasses.replace(
        settings,
        data=f"builtin:scenes:{BATCH}",
        train_examples=None,
        canvas_size=None,
        channels=3,
        dtype="uint8",
        backbone="vit_tiny" if settings.backbone.startswith("vit") else "resnet8",
        width=1.0 if settings.backbone.startswith("vit") else 0.125,
        patch=8 if settings.patch else None,
        image_size=settings.image_size if settings.method in IN_PROPORTION else 16,
        batch_size=BATCH,
        jit_compile="false",
        precision="float32" if settings.precision == "auto" else settings.precision,
    )
    given = build_arguments.method_arguments(settings, method)
    defaults = inspect.signature(method.__init__).parameters
    sizes = {
        name: min(given.get(name, defaults[name].default), most) for name, most in SMALL.items() if name in defaults
    }
    return dataclasses.replace(
        settings, method_arg=(*settings.method_arg, *(f"{name}={size}" for name, size in sizes.items()))
    )


@functools.cache
def canvases(image_size, needs_labels):
    settings = read(ROOT / "flags" / ("supervised.flags" if needs_labels else "simclr.flags"))
    settings = dataclasses.replace(settings, data=f"builtin:scenes:{4 * BATCH}", image_size=image_size)
    method = methods.load(settings.method)
    source = build_data.open_training_source(settings, method)
    settings, spec = build_data.resolve(settings, source, method)
    return build_data.load(source, spec, settings)


@functools.cache
def plain_views(views, image_size, **options):
    """One layer for all recipes with these views, without XLA, which takes seconds for each view that it compiles."""
    return RandomViews(views, image_size, jit_compile=False, **options)


@pytest.fixture(autouse=True)
def small_networks_and_plain_views(monkeypatch):
    monkeypatch.setattr(build_method, "RandomViews", plain_views)
    for name in vit.ARCHITECTURES:
        monkeypatch.setitem(vit.ARCHITECTURES, name, vit.Architecture(32, 2, 1))


def recipe(path):
    """A parameter of the test; those whose views cannot be made small are slow."""
    settings = read(path)
    large = settings.method in IN_PROPORTION and settings.image_size > 100
    return pytest.param(path, id=str(path.relative_to(ROOT / "flags")), marks=[pytest.mark.slow] if large else [])


@pytest.mark.filterwarnings("ignore:Even though")  # functions run eagerly, those of tf.data are traced
@pytest.mark.parametrize("path", map(recipe, FLAGFILES))
def test_a_recipe_trains(path, monkeypatch, request):
    settings = small(read(path))
    blocks = int(settings.zero_init_last)  # the first convolution alone, where nothing is said of blocks
    monkeypatch.setitem(resnet.ARCHITECTURES, "resnet8", resnet.Architecture((blocks,), (128,), 1))
    method_class = methods.load(settings.method)
    settings = dataclasses.replace(settings, views=settings.views or method_class.default_views)
    if len(policies.get(settings.views, settings.image_size)) <= FEW:
        request.getfixturevalue("eagerly")
    data = canvases(settings.image_size, method_class.needs_labels)
    arguments = build_arguments.method_arguments(settings, method_class)
    method = build_method.compiled_method(settings, method_class, arguments, data)
    before = [v.numpy() for v in method.backbone.trainable_variables]
    for batch in batches.train_batches(data, BATCH, seed=0).take(2):
        loss = method.train_step(batch)["loss"]
    assert np.isfinite(float(loss))
    # The first step of a warm-up has a rate of 0.
    moved = [np.any(v.numpy() != w) for v, w in zip(method.backbone.trainable_variables, before, strict=True)]
    assert any(moved)
    assert all(np.all(np.isfinite(tf.convert_to_tensor(v))) for v in method.trainable_variables)
