"""Networks and optimizers of others: Keras's own layers, keras.applications, keras-hub; other backends."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import ssl_keras
from ssl_keras import UserError
from ssl_keras.nn.state import MomentumEncoder
from ssl_keras.optim import held_parts
from tests.library import BATCH, SIDE, convolutions, plain_views, some_images


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return some_images()


# ---- micro-batches, schedules ---------------------------------------------------------------------------------------


def test_micro_batches_refuse_layers_that_each_pass_changes(images):
    dropout = keras.Sequential([keras.Input((SIDE, SIDE, 3)), *convolutions().layers, keras.layers.Dropout(0.5)])
    for backbone, layer in ((convolutions(normalize=True), "moving_mean"), (dropout, "seed_generator_state")):
        method = ssl_keras.SimCLR(backbone, plain_views())
        method.compile("sgd")
        method.micro_batch_size = 8
        with pytest.raises(UserError, match=f"change no variable, and .*{layer} is changed"):
            method.fit(images, batch_size=BATCH, verbose=0)


def test_keras_batch_normalization_becomes_one_that_knows_pieces(images):
    backbone = convolutions(normalize=True)
    fused = ssl_keras.as_fused(backbone)
    x = np.float32(images[:4] / 255)
    for training in (False, True):
        np.testing.assert_allclose(fused(x, training=training), backbone(x, training=training), atol=1e-5)
    for v, w in zip(fused.weights, backbone.weights, strict=True):
        np.testing.assert_allclose(v, w, atol=1e-6, err_msg=v.path)
    method = ssl_keras.SimCLR(fused, plain_views())
    method.compile("sgd")
    method.micro_batch_size = 8
    before = fused.layers[1].moving_variance.numpy()
    method.fit(images[:BATCH], batch_size=BATCH, verbose=0)
    moved = (fused.layers[1].moving_variance.numpy() - 0.99 * before) / 0.01
    assert np.all(moved < 1) and np.all(moved > 0)  # once, to what the variance of some pixels in [0, 1] can be


def steps_of_ones(optimizer, names=("encoder/w", "predictor/w"), steps=4) -> np.ndarray:
    """Where the gradient 1 takes parameters that start at 0: [steps, parameters]."""
    variables = []
    for name in names:
        scope, _, own = name.partition("/")
        with keras.name_scope(scope):
            variables.append(keras.Variable(0.0, name=own))
    optimizer.build(variables)
    step = tf.function(lambda: optimizer.apply([tf.ones([])] * len(variables), variables))
    places = []
    for _ in range(steps):
        step()
        places.append([float(v) for v in variables])
    return np.array(places)


@pytest.mark.parametrize(
    "schedule, peak",
    [
        (lambda: keras.optimizers.schedules.CosineDecay(0.1, 4), 0.1),
        (lambda: keras.optimizers.schedules.CosineDecay(0.0, 4, warmup_target=0.2, warmup_steps=2), 0.2),
        (lambda: keras.optimizers.schedules.PiecewiseConstantDecay([2], [0.3, 0.1]), 0.3),
        (lambda: ssl_keras.schedule("cosine", 0.1, 256, 4), 0.1),
    ],
)
def test_a_constant_rate_is_kept_under_any_schedule(schedule, peak):
    plain = steps_of_ones(keras.optimizers.SGD(schedule()))
    for make in (keras.optimizers.SGD, lambda rate: ssl_keras.build_optimizer("sgd", rate, momentum=0.0)):
        optimizer = make(schedule())
        held_parts.respect(optimizer, ("predictor",), {}, "SimSiam")
        places = steps_of_ones(optimizer)
        np.testing.assert_allclose(places[:, 0], plain[:, 0], rtol=1e-5)
        np.testing.assert_allclose(places[:, 1], -peak * np.arange(1, 5), rtol=1e-5)


@pytest.mark.parametrize("make", [lambda: keras.optimizers.Adam(0.1), lambda: ssl_keras.build_optimizer("adamw", 0.1)])
def test_a_held_part_stays_as_it_is_under_any_optimizer(make):
    optimizer = make()
    held_parts.respect(optimizer, (), {"predictor": 2}, "DINO")
    places = steps_of_ones(optimizer)
    assert np.all(places[:2, 1] == 0) and np.all(np.diff(places[1:, 1]) < 0) and np.all(np.diff(places[:, 0]) < 0)


def test_what_cannot_be_kept_is_refused():
    class Own(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.1

    method = ssl_keras.SimSiam(convolutions(), projection_dim=8, predictor_dim=4)
    with pytest.raises(UserError, match="Own does not say which"):
        method.compile(keras.optimizers.SGD(Own()))
    method.compile("sgd")
    with pytest.raises(UserError, match="ReduceLROnPlateau changes that of all parts"):
        method.fit(np.zeros((8, SIDE, SIDE, 3)), callbacks=keras.callbacks.ReduceLROnPlateau())
    facts = {"num_examples": 32, "batch_size": 8, "total_steps": 8}
    method = ssl_keras.SwAV(convolutions(), plain_views(), prototypes=4, **facts)
    with pytest.raises(UserError, match=r"weight decay of adam_w\w* would move it"):
        method.compile("adamw")
    method.compile("adam")
    assert method.optimizer.update_step.__name__ == "update_step" and "update_step" in vars(method.optimizer)


def test_groups_of_a_shuffled_batch_move_keras_batch_normalization_once(images):
    moved = []
    backbone = convolutions(normalize=True)
    for network in (backbone, ssl_keras.as_fused(backbone)):
        method = ssl_keras.MoCo(network, plain_views(), batch_size=BATCH, queue_length=BATCH, bn_splits=2)
        method.compile("sgd")
        method.fit(images[:BATCH], verbose=0)
        moved.append([w for v, w in zip(method.weights, method.get_weights()) if "moving_" in v.path])
    assert len(moved[0]) == 4
    for stock, fused in zip(*moved, strict=True):
        np.testing.assert_allclose(stock, fused, rtol=1e-5, atol=1e-7)


# ---- others' networks -----------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("tests")
class Scale(keras.layers.Layer):
    """A layer of a user's own with a weight."""

    def build(self, shape):
        self.scale = self.add_weight(shape=shape[-1:], initializer="ones", name="scale")

    def call(self, x):
        return x * self.scale


def nested():
    image = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Rescaling(255.0)(image)
    return keras.Model(image, Scale()(convolutions(normalize=True)(x)))


def mobilenet():
    return keras.applications.MobileNet(
        input_shape=(32, 32, 3), alpha=0.25, include_top=False, pooling="avg", weights=None
    )


def hub():
    if importlib.util.find_spec("keras_hub") is None:
        pytest.skip("keras_hub is not installed")
    import keras_hub

    vit = keras_hub.models.ViTBackbone(
        image_shape=(32, 32, 3), patch_size=8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    image = keras.Input((32, 32, 3))
    return keras.Model(image, keras.layers.GlobalAveragePooling1D()(vit(image)))


@pytest.mark.parametrize("make", [nested, mobilenet, hub])
@pytest.mark.parametrize("reseed", [False, True])
def test_a_momentum_encoder_is_a_copy_of_any_backbone(make, reseed):
    backbone = make()
    target = MomentumEncoder(backbone, reseed=reseed)
    assert not {id(v) for v in target.variables} & {id(v) for v in backbone.variables}
    assert not target.trainable_variables and len(target.weights) == len(backbone.weights)
    same = all(np.array_equal(v, w) for v, w in zip(target.get_weights(), backbone.get_weights(), strict=True))
    assert same != reseed
    x = np.random.default_rng(0).uniform(size=(4, *backbone.input_shape[1:])).astype(np.float32)
    target.update(0.0)
    np.testing.assert_allclose(target(x, training=False), backbone(x, training=False), atol=1e-5)


def of_its_size(network, method, **arguments):
    model = method(network, ssl_keras.RandomViews(method.default_views, 32, jit_compile=False), **arguments)
    model.compile("adam")
    return model


def beginning_of_mobilenet():
    """Its kinds of layers, in a fifth of its depth: each takes time to trace."""
    network = mobilenet()
    return keras.Model(network.input, keras.layers.GlobalAveragePooling2D()(network.get_layer("conv_pw_3_relu").output))


@pytest.mark.parametrize("network", [beginning_of_mobilenet, hub])
@pytest.mark.parametrize(
    "name, arguments",
    [
        ("SimCLR", {}),
        ("MoCo", {"batch_size": 8, "queue_length": 16, "bn_splits": 1}),
        ("BYOL", {"total_steps": 8, "hidden_dim": 16, "projection_dim": 8}),
    ],
)
def test_networks_of_others_are_trained_on_pairs_and_on_arrays(network, name, arguments):
    backbone = network()
    method = of_its_size(backbone, getattr(ssl_keras, name), **arguments)
    x = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3)).astype(np.uint8)
    y = np.arange(16)
    before = [w.copy() for w in backbone.get_weights()]
    pairs = tf.data.Dataset.from_tensor_slices((x, y)).batch(8, drop_remainder=True)
    losses = [method.fit(pairs, verbose=0).history["loss"], method.fit(x, y, batch_size=8, verbose=0).history["loss"]]
    assert np.all(np.isfinite(losses))
    assert all(np.any(w != v) for w, v in zip(backbone.get_weights(), before))


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_the_encoder_loads_without_this_package_under_each_backend(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    backbones = [
        ssl_keras.build_backbone("resnet8", SIDE, width=0.25, mean=0.5, std=0.2, seed=0),
        ssl_keras.build_backbone("vit_tiny", SIDE, patch=8, mean=0.5, std=0.2, seed=0),
        convolutions(normalize=True),
    ]
    encoders = [ssl_keras.build_encoder(backbone, "uint8") for backbone in backbones]
    for number, encoder in enumerate(encoders):
        ssl_keras.save_encoder(encoder, str(tmp_path / f"{number}.keras"))
    x = some_images(4).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    code = (
        "import sys, numpy, keras; x = numpy.load('x.npy')\n"
        "for i in range(3): h = keras.saving.load_model(f'{i}.keras')(x); "
        "numpy.save(f'{i}.npy', keras.ops.convert_to_numpy(h))\n"
        "assert 'ssl_keras' not in sys.modules; print(keras.config.backend())"
    )
    environment = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.stdout.strip() == backend, done.stderr[-3000:]
    for number, encoder in enumerate(encoders):
        np.testing.assert_allclose(np.load(tmp_path / f"{number}.npy"), encoder.model(x), atol=1e-4)
