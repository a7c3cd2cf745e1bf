"""An encoder's contract: kept in its file, read from there, and honest where a file has none."""

import json
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.data.canvases.pipeline import CanvasSpec, canvas
from ssl_keras.data.values import Values
from ssl_keras.encoders import file
from ssl_keras.encoders.contract import Contract
from ssl_keras.encoders.encoder import build_encoder
from ssl_keras.export import saved_model
from ssl_keras.nn.backbones import build_backbone
from ssl_keras.nn.images import Gaps


@pytest.mark.parametrize("dtype, channels, highest", [("uint8", 3, 255.0), ("uint16", 1, 65535.0), ("float32", 5, 1.0)])
def test_what_is_saved_is_read(tmp_path, dtype, channels, highest):
    mean, std = [0.1 * (c + 1) for c in range(channels)], [0.2 + 0.1 * c for c in range(channels)]
    backbone = build_backbone("resnet8", 16, channels, width=0.125, seed=0, mean=mean, std=std)
    encoder = build_encoder(backbone, dtype, canvas_size=20, origin={"method": "simclr"})
    file.save_encoder(encoder, str(tmp_path / "e.keras"))
    loaded = file.load_encoder(str(tmp_path / "e.keras"))
    contract = loaded.contract
    assert contract == encoder.contract and contract.origin == {"method": "simclr"}
    assert (contract.size, contract.canvas_size, contract.dtype) == (16, 20, dtype)
    assert contract.ranges == ((0.0, highest),) * channels and contract.stages == ("stage1", "stage2", "stage3")
    np.testing.assert_allclose(contract.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(contract.std, std, rtol=1e-5)
    images = np.random.default_rng(0).random((2, 16, 16, channels), np.float32)
    plain = keras.saving.load_model(tmp_path / "e.keras")  # Keras does not mind what lies beside its own
    np.testing.assert_allclose(loaded(images), plain(images * np.float32(highest)), rtol=1e-5, atol=1e-6)
    assert loaded.contract.dimension == plain.output_shape[-1]


def test_a_cut_encoder_keeps_its_contract(tmp_path):
    encoder = build_encoder(build_backbone("resnet8", 16, 3, width=0.25, seed=0, mean=0.4, std=0.3), "uint16")
    short = encoder.cut("stage2")
    assert short.contract.stages == ("stage1", "stage2") and short.contract.dimension == 16
    assert (short.contract.dtype, short.contract.mean) == ("uint16", encoder.contract.mean)
    file.save_encoder(short, str(tmp_path / "short.keras"))
    assert file.load_encoder(str(tmp_path / "short.keras")).contract == short.contract


def other_program(path, *layers):
    images = keras.Input((16, 16, 3))
    x = images
    for layer in layers:
        x = layer(x)
    keras.Model(images, keras.layers.GlobalAveragePooling2D()(x)).save(path)
    return str(path)


def test_a_file_of_another_program_is_read_by_its_own_scaling(tmp_path):
    path = other_program(tmp_path / "e.keras", keras.layers.Rescaling(1 / 65535))
    assert file.load_encoder(path).contract.dtype == file.load_encoder(path, "uint8").contract.dtype == "uint16"


@pytest.mark.parametrize("layers", [[], [keras.layers.Rescaling(2 / 255, offset=-1)]])
def test_pixel_values_that_nothing_tells_are_not_guessed(tmp_path, layers):
    path = other_program(tmp_path / "e.keras", *layers)
    with pytest.raises(ValueError, match=r"does not say which pixel values it expects: set --dtype=uint8"):
        file.load_encoder(path)
    assert file.load_encoder(path, "float32").contract.ranges == ((0.0, 1.0),) * 3


def test_fields_of_a_later_version_are_left_out(tmp_path):
    encoder = build_encoder(build_backbone("resnet8", 16, 3, width=0.125, seed=0), "uint8")
    values = json.loads(json.dumps(encoder.contract.to_json())) | {"orientation": "upright"}
    assert Contract.from_json(values) == encoder.contract


def test_channels_may_have_ranges_and_invalid_values_of_their_own(tmp_path):
    encoder = build_encoder(
        build_backbone("resnet8", 16, 2, width=0.125, seed=0), "uint16", invalid=(0.0, None)
    )
    file.save_encoder(encoder, str(tmp_path / "e.keras"))
    with zipfile.ZipFile(tmp_path / "e.keras") as archive:
        known = json.loads(archive.read("ssl_keras.json"))
    assert known["invalid"] == [0.0, None] and known["ranges"] == [[0.0, 65535.0]] * 2
    assert file.load_encoder(str(tmp_path / "e.keras")).contract.invalid == (0.0, None)


def with_holes(rng, images, hole):
    return np.where(rng.random(images.shape) < 0.2, hole, images)


GRAY, BANDS = (5, 16, 16, 1), (5, 16, 16, 13)
RAW = {  # pixel type: what the numbers mean, how the network sees what was not measured, images
    "uint16": (
        Values(((690.0, 3277.0),), (0.0,)),
        Gaps((0.0,), as_channel=True),
        lambda rng: with_holes(rng, rng.integers(1, 6000, GRAY), 0),
    ),
    "int16": (
        Values(((-1024.0, 1500.0),), (-2000.0,)),
        Gaps((0.6,)),
        lambda rng: with_holes(rng, rng.integers(-2000, 3000, GRAY), -2000),
    ),
    "float32": (
        Values(tuple((7.0 * c, 9.0 + 40 * c) for c in range(13))),
        Gaps(tuple(c / 13 for c in range(13))),
        lambda rng: with_holes(rng, rng.normal(100, 200, BANDS), np.nan),
    ),
    "int32": (Values(((100.0, 900.0),)), None, lambda rng: 50 * rng.integers(0, 25, GRAY)),
}


@pytest.mark.parametrize("dtype", RAW)
def test_the_encoder_of_raw_numbers_is_the_one_that_was_trained_on_canvases(dtype, tmp_path):
    meaning, gaps, make = RAW[dtype]
    raw = make(np.random.default_rng(0)).astype(dtype)
    channels = raw.shape[-1]
    backbone = build_backbone("resnet8", 16, channels, width=0.125, seed=0, mean=0.4, std=0.3, gaps=gaps)
    encoder = build_encoder(backbone, dtype, values=meaning, canvas_size=16)
    spec = CanvasSpec.of(16, channels, dtype, meaning)
    canvases = spec.unit(np.stack([canvas(tf.constant(image), spec).numpy() for image in raw]))
    assert np.isnan(canvases).any() == (gaps is not None)
    trained = backbone(canvases, training=False).numpy()
    assert np.abs(trained).max() > 0.1
    file.save_encoder(encoder, str(tmp_path / "e.keras"))
    plain = keras.saving.load_model(str(tmp_path / "e.keras"))
    np.testing.assert_allclose(plain(raw.astype(np.float32)), trained, atol=1e-4)
    loaded = file.load_encoder(str(tmp_path / "e.keras"))
    assert loaded.contract.values == meaning and loaded.contract.dtype == dtype
    np.testing.assert_allclose([loaded.contract.mean, loaded.contract.std], [[0.4] * channels, [0.3] * channels])
    np.testing.assert_allclose(loaded(tf.constant(canvases)), trained, atol=1e-4)
    saved_model.write(loaded, str(tmp_path / "m"), saved_model.Options())
    served = tf.saved_model.load(str(tmp_path / "m")).signatures["images"]
    np.testing.assert_allclose(served(images=tf.constant(raw))["features"], trained, atol=1e-4)
