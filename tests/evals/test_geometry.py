"""An image keeps its own proportions wherever its features are taken."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageDraw

from ssl_keras.data.canvases.memory import CanvasSpec, load_canvases
from ssl_keras.data.sources import open_source
from ssl_keras.encoders import file
from ssl_keras.encoders.encoder import build_encoder
from ssl_keras.evals import features
from ssl_keras.evals import run as evaluation
from ssl_keras.export import saved_model

SIZE, CANVAS = 28, 32


@pytest.fixture(scope="module")
def circles(tmp_path_factory):
    """A folder of images twice as wide as high, and others twice as high as wide: each a black circle on white."""
    root = tmp_path_factory.mktemp("circles")
    for name, (width, height) in {"wide": (128, 64), "high": (64, 128)}.items():
        (root / name).mkdir()
        for i in range(5):
            image = Image.new("RGB", (width, height), "white")
            x, y, r = width / 2, height / 2, 16 + i
            ImageDraw.Draw(image).ellipse((x - r, y - r, x + r, y + r), fill="black")
            image.save(root / name / f"{i}.png")
    return root


def pixels_encoder():
    """An encoder whose features are its pixels."""
    images = keras.Input((SIZE, SIZE, 3))
    return build_encoder(keras.Model(images, keras.layers.Flatten()(images)), "uint8", canvas_size=CANVAS)


def proportions(x):
    """Width over height of what is dark, from its second moments."""
    dark = 1 - np.asarray(x).reshape(-1, SIZE, SIZE, 3).mean(axis=3)
    place = np.arange(SIZE) - (SIZE - 1) / 2
    across, down = (np.sqrt((dark.sum(axis=axis) * place**2).sum(axis=1)) for axis in (1, 2))
    return across / down


def extracted(circles, encode, crop="center"):
    canvases = load_canvases(open_source(f"folder:{circles}"), CanvasSpec(CANVAS, 3, "uint8"))
    return features.extract(features.embedder(encode, SIZE, crop), canvases).x


def test_a_circle_stays_one(circles):
    for encode in (features.encode_pixels, pixels_encoder()):
        np.testing.assert_allclose(proportions(extracted(circles, encode)), 1, atol=0.05)
    squashed = proportions(extracted(circles, features.encode_pixels, "squash"))
    assert sorted(set(squashed.round())) == [0, 2] or (np.abs(np.log2(squashed)) > 0.8).all()


def test_what_is_cut_off_is_the_margin(circles):
    """Of 64 px of the shorter side the central 56 are seen, as 224 of 256 are: a circle of 16 px becomes one of 8."""
    dark = 1 - extracted(circles, features.encode_pixels).reshape(-1, SIZE, SIZE, 3).mean(axis=(1, 2, 3))
    radius = np.sqrt(dark * SIZE * SIZE / np.pi)
    np.testing.assert_allclose(np.sort(radius)[::2], np.arange(16, 21) * SIZE / 56, rtol=0.03)


def test_the_shipped_forms_agree(circles, tmp_path):
    encoder = pixels_encoder()
    file.save_encoder(encoder, str(tmp_path / "encoder.keras"))
    source = open_source(f"folder:{circles}")
    encoded = tf.constant([source.read(i) for i in range(len(source))])
    for crop in ("center", "squash"):
        saved_model.write(encoder, str(tmp_path / crop), saved_model.Options(crop=crop))
        serve = tf.saved_model.load(str(tmp_path / crop)).signatures["serving_default"]
        expected = extracted(circles, file.load_encoder(str(tmp_path / "encoder.keras")), crop)
        np.testing.assert_allclose(serve(image_bytes=encoded)["features"], expected, atol=1e-4)
    with pytest.raises(ValueError, match="--saved_model_crop=middle: expected one of center, squash"):
        saved_model.Options(crop="middle")


def test_every_evaluation_of_a_command_sees_the_same_geometry(circles):
    given = {"data": f"folder:{circles}", "image_size": SIZE, "canvas_size": CANVAS}
    for crop in ("center", "squash"):
        request = evaluation.request_from(given, "pixels", "knn", None, options={"knn": {"k": (1,)}}, crop=crop)
        (row,) = evaluation.evaluate(request)
        assert row["crop"] == crop
