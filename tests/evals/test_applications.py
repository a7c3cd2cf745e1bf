"""Networks of keras.applications as encoders: what they see, which files they take, and that no network is needed."""

import importlib
import json
import os
import pathlib

import h5py
import keras
import numpy as np
import pytest
from keras.src.applications import imagenet_utils
from keras.src.legacy.saving import legacy_h5_format
from keras.src.utils import file_utils

from ssl_keras.encoders import applications
from ssl_keras.evals import fine_tune, recipes
from ssl_keras.evals import run as evaluation
from ssl_keras.evals import whole as whole_network
from tests.evals import networks
from tests.runs import run_tool
from tests.test_evaluation import write_images

FAMILIES = {  # the module, and the smallest network of it that can be had
    "convnext": "ConvNeXtTiny",
    "densenet": "DenseNet121",
    "efficientnet": "EfficientNetB0",
    "efficientnet_v2": "EfficientNetV2B0",
    "inception_resnet_v2": "InceptionResNetV2",
    "inception_v3": "InceptionV3",
    "mobilenet": "MobileNet",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3": "MobileNetV3Small",
    "nasnet": "NASNetMobile",
    "resnet": "ResNet50",
    "resnet_v2": "ResNet50V2",
    "vgg16": "VGG16",
    "vgg19": "VGG19",
    "xception": "Xception",
}
FAST = ("efficientnet", "mobilenet", "vgg16")
SIDE = 32


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refused(*_, **__):
        raise AssertionError("something was to be downloaded")

    monkeypatch.setattr(file_utils, "get_file", refused)


def built(name, side=SIDE, top=False, seed=0, **options):
    """A network with weights that are not those which it begins with, statistics among them."""
    keras.utils.set_random_seed(seed)
    options = {"include_top": True, "classes": 10} if top else {"include_top": False, "pooling": "avg"}
    network = getattr(keras.applications, name)(weights=None, input_shape=(side, side, 3), **options)
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:  # as the published EfficientNets have it
            layer.set_weights([np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]), np.array(0)])
            layer.finalize_state()
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, array.shape) for array in layer.get_weights()])
    return network


def old_file(network, path):
    """Weights as Keras 2 wrote them, and as those of ImageNet are."""
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    return str(path)


def images(side=SIDE, channels=3):
    return np.random.default_rng(1).integers(0, 256, (2, side, side, channels)).astype(np.float32)


def seen(model, pixels):
    return np.asarray(model(pixels, training=False))


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def check_family(module, tmp_path, monkeypatch):
    name = FAMILIES[module]
    side = applications.SMALLEST_OF.get(name, SIDE)
    path = old_file(built(name, side), tmp_path / "notop.h5")
    with monkeypatch.context() as patch:  # Keras's own way to ImageNet's weights, which finds them there already
        patch.setattr(file_utils, "get_file", lambda *_, **__: path)
        official = getattr(keras.applications, name)(include_top=False, input_shape=(side, side, 3), pooling="avg")
    preprocess = importlib.import_module(f"keras.applications.{module}").preprocess_input
    color, gray = images(side), images(side, 1)
    encoder = applications.load(f"keras_applications:{name}@{side}", path, 3, "uint8")
    expected = seen(official, preprocess(color.copy()))
    close(seen(encoder.model, color), expected)
    assert encoder.contract.dimension == expected.shape[1] and expected.std() > 0
    of_gray = applications.load(f"keras_applications:{name}@{side}", path, 1, "uint8")
    close(seen(of_gray.model, gray), seen(official, preprocess(np.repeat(gray, 3, -1))))


@pytest.mark.parametrize("module", FAST)
def test_features_are_those_of_the_networks_own_preprocessing(module, tmp_path, monkeypatch):
    check_family(module, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("module", [module for module in FAMILIES if module not in FAST])
def test_features_of_large_networks_are_those_of_their_own_preprocessing(module, tmp_path, monkeypatch):
    check_family(module, tmp_path, monkeypatch)


@pytest.mark.parametrize("name", applications.names())
def test_preprocessing_of_each_network_is_that_of_its_module(name):
    module = importlib.import_module(getattr(keras.applications, name).__module__)
    order, scale, offset = applications.preprocessing(name)
    pixels = images()
    np.testing.assert_allclose(pixels[..., order] * scale + offset, module.preprocess_input(pixels.copy()), atol=1e-4)


@pytest.mark.parametrize("name", [name for name in applications.names() if not name.startswith("MobileNetV3")])
def test_sizes_are_those_of_keras(name, monkeypatch):
    class Seen(Exception):
        pass

    def asked(*_, default_size, min_size, **__):
        raise Seen(default_size, min_size)

    monkeypatch.setattr(imagenet_utils, "obtain_input_shape", asked)
    with pytest.raises(Seen) as found:
        getattr(keras.applications, name)(weights=None)
    sizes = applications.SIZES.get(name, applications.SIZE), applications.SMALLEST_OF.get(name, applications.SMALLEST)
    assert found.value.args == sizes


@pytest.mark.parametrize("dtype, highest", [("uint16", 65535), ("float32", 1)])
def test_pixels_of_each_type_mean_the_same(dtype, highest, tmp_path):
    path = old_file(built("MobileNet"), tmp_path / "a.h5")
    same = images() / 255
    of_bytes = applications.load("keras_applications:MobileNet@32", path, 3, "uint8")
    other = applications.load("keras_applications:MobileNet@32", path, 3, dtype)
    close(seen(other.model, same * highest), seen(of_bytes.model, same * 255))
    close(other(same), of_bytes(same))
    assert other.contract.dtype == dtype and other.contract.size == SIDE and other.contract.channels == 3
    assert other.contract.origin == {"backbone": "keras.applications.MobileNet", "weights": path}


def whole(network, path):
    network.save(path)
    return str(path)


def inside(network, path):
    """A model that holds the network as one of its layers."""
    return whole(keras.Sequential([keras.Input((SIDE, SIDE, 3)), network, keras.layers.Dense(3)]), path)


def new_weights(network, path):
    network.save_weights(path)
    return str(path)


@pytest.mark.parametrize("top", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["without_top", "with_top"])
@pytest.mark.parametrize(
    "write, file",
    [(old_file, "a.h5"), (new_weights, "a.weights.h5"), (whole, "whole.h5"), (whole, "a.keras"), (inside, "in.keras")],
)
def test_files_of_every_kind_are_taken(write, file, top, tmp_path):
    network = built("MobileNet", top=top)
    path = write(network, tmp_path / file)
    if file == "a.weights.h5":  # what is in a file counts, not its name
        path = str(pathlib.Path(path).rename(tmp_path / "renamed.h5"))
    loaded = applications.loaded("keras_applications:MobileNet@32", path)
    for found, expected in zip(loaded.get_weights(), network.get_weights()):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("write, file", [(old_file, "a.h5"), (new_weights, "a.weights.h5")])
@pytest.mark.parametrize("name", ["VGG16", "ConvNeXtTiny", "Xception", "EfficientNetB0"])
def test_a_classifier_on_top_is_passed_over(name, write, file, tmp_path):
    side = applications.SMALLEST_OF.get(name, SIDE)
    network = built(name, side, top=True)
    loaded = applications.loaded(f"keras_applications:{name}@{side}", write(network, tmp_path / file))
    named = {layer.name: layer for layer in network.layers}
    same = [layer for layer in loaded.layers if layer.name in named and layer.weights]
    assert same and all(
        np.array_equal(a, b)
        for layer in same
        if not isinstance(layer, keras.layers.Normalization)
        for a, b in zip(layer.get_weights(), named[layer.name].get_weights())
    )


def test_a_file_that_does_not_fit_is_refused_in_a_sentence(tmp_path):
    how = r"keras.applications.MobileNet\(include_top=False\) on a machine with internet leaves one in ~/.keras/models"
    other = old_file(built("MobileNetV2"), tmp_path / "other.h5")
    with pytest.raises(ValueError, match=rf"does not hold the weights of .*MobileNet: in its layer .* expects .*{how}"):
        applications.loaded("keras_applications:MobileNet@32", other)
    newer = new_weights(built("MobileNetV2"), tmp_path / "other.weights.h5")
    with pytest.raises(ValueError, match=rf"does not hold the weights of .*{how}"):
        applications.loaded("keras_applications:MobileNet@32", newer)
    more = keras.layers.Reshape((1, 1, 1024)), keras.layers.Conv2D(2, 3, padding="same")
    longer = keras.Sequential([built("MobileNet"), *more])
    with pytest.raises(ValueError, match="it goes on with the layer"):
        applications.loaded("keras_applications:MobileNet@32", whole(longer, tmp_path / "longer.keras"))
    text = tmp_path / "a.h5"
    text.write_text("no weights")
    with pytest.raises(ValueError, match=rf"it is neither an .h5 file nor a .keras file; .*{how}"):
        applications.loaded("keras_applications:MobileNet@32", str(text))
    whole_bytes = (tmp_path / "other.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole_bytes[: len(whole_bytes) // 2])
    with pytest.raises(ValueError, match="it is damaged"):
        applications.loaded("keras_applications:MobileNet@32", str(tmp_path / "cut.h5"))


@pytest.mark.parametrize(
    "encoder, given, message",
    [
        ("keras_applications:resnet50", ["a"], "no network 'resnet50': there are ResNet50"),
        ("keras_applications:ResNet50@10", ["a"], "takes images of 32 px at least"),
        ("keras_applications:ResNet50@big", ["a"], "expected keras_applications:NAME"),
        ("keras_applications:ResNet50", [], r"--weights is missing: .*ResNet50\(include_top=False\)"),
        ("keras_applications:ResNet50", ["nowhere.h5"], "there is no file 'nowhere.h5'; give a file"),
        ("keras_applications:ResNet50,random", ["a", "b"], "2 of --weights for 1 encoder"),
        ("random", ["a"], "1 of --weights for 0 encoders"),
    ],
)
def test_what_cannot_be_had_is_refused_before_data_is_read(encoder, given, message):
    with pytest.raises(ValueError, match=message):
        evaluation.evaluate(
            evaluation.request_from({"data": "folder:/nowhere"}, encoder, "knn", None, weights=given)
        )


def test_other_numbers_of_channels_are_refused(tmp_path):
    path = old_file(built("MobileNet"), tmp_path / "a.h5")
    with pytest.raises(ValueError, match="takes images of 1 or 3 channels, and here they have 4"):
        applications.load("keras_applications:MobileNet@32", path, 4, "uint8")


def test_rows_of_the_tool_stand_beside_those_of_others(tmp_path):
    write_images(tmp_path / "data", {"cat": 10, "dog": 10}, SIDE)
    path = old_file(built("MobileNet"), tmp_path / "mobilenet_notop.h5")
    name = "keras_applications:MobileNet@32"
    done = run_tool(
        "evaluate",
        f"--data=folder:{tmp_path}/data",
        f"--encoder=pixels,{name}",
        f"--weights={path}",
        "--eval=knn,linear",
        "--knn_k=5",
        f"--output={tmp_path}/rows.json",
    )
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["encoder"] for row in rows] == ["pixels"] * 2 + [name] * 2
    assert name in done.stdout and [row.get("weights") for row in rows] == [None] * 2 + [path] * 2
    evaluation.write(rows[2:3], str(tmp_path))
    assert os.listdir(tmp_path / "evals") == ["keras_applications-MobileNet@32_knn.json"]


# VGG16 reorders the channels, MobileNet has batch normalization.
@pytest.mark.parametrize("name", ["VGG16", pytest.param("MobileNet", marks=pytest.mark.slow)])
def test_the_whole_network_can_be_trained(name, tmp_path):
    encoder = applications.load(f"keras_applications:{name}@32", old_file(built(name), tmp_path / "a.h5"), 3, "uint8")
    before = encoder.model.get_weights()
    recipe = recipes.settled(fine_tune.Options(epochs=1, batch_size=16))
    trained = whole_network.train(encoder, networks.canvases(0, 16), recipe, 0)
    assert trained.steps == 1 and trained.image_size == SIDE
    assert all(np.array_equal(a, b) for a, b in zip(encoder.model.get_weights(), before))
    assert any(not np.array_equal(a, b) for a, b in zip(trained.backbone.get_weights(), before))
