"""Run = encoder file in a process without the package = SavedModel fed with the files, on real images."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import config
from ssl_keras.data.canvases.memory import CanvasSpec, load_canvases
from ssl_keras.data.sources import open_source
from ssl_keras.encoders import file
from ssl_keras.encoders.encoder import build_encoder
from ssl_keras.evals import features
from ssl_keras.export import saved_model
from ssl_keras.nn.backbones import build_backbone
from ssl_keras.views.layer import center_view
from tests.runs import TINY, run_tool

SIZE, CANVAS = 24, 32

WITHOUT_PACKAGE = """
import sys, numpy as np, keras
for path in sys.argv[1:]:
    h = keras.saving.load_model(path + ".keras", compile=False)(np.load(path + ".x.npy"), training=False)
    np.save(path + ".h.npy", h)
assert not any(name.startswith("ssl_keras") for name in sys.modules)
"""


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """An encoder with moving statistics that are not the initial ones, as file and as SavedModel."""
    folder = tmp_path_factory.mktemp("shipped")
    backbone = build_backbone("resnet8", SIZE, 3, width=0.25, seed=0, mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.2])
    for _ in range(3):
        backbone(np.random.default_rng(0).uniform(size=(16, SIZE, SIZE, 3)).astype(np.float32), training=True)
    for dtype in ("uint8", "uint16"):
        encoder = build_encoder(backbone, dtype, canvas_size=CANVAS)
        file.save_encoder(encoder, str(folder / f"{dtype}.keras"))
        saved_model.write(encoder, str(folder / dtype), saved_model.Options())
    return folder


def test_run_file_and_saved_model_agree_on_files_of_every_kind(shipped, folder_example, request):
    source = open_source(f"folder:{folder_example}")
    kinds = ("cells/cell_00", "gray16", "cmyk", "one_pixel", "palette_alpha", "exif_rotated", "photo_0000")
    run = {}
    for dtype in ("uint8", "uint16"):
        canvases = load_canvases(source, CanvasSpec(CANVAS, 3, dtype))
        rows = [r for r, i in enumerate(canvases.index) if any(kind in source.describe(int(i)) for kind in kinds)]
        assert len(rows) >= 15
        encoder = file.load_encoder(str(shipped / f"{dtype}.keras"))
        run[dtype] = features.embedder(encoder, SIZE)(canvases.images[rows], canvases.sizes[rows]).numpy()
        raw = center_view(canvases.images[rows], SIZE, canvases.sizes[rows], SIZE / CANVAS).numpy()
        np.save(shipped / f"{dtype}.x.npy", raw * {"uint8": 255, "uint16": 65535}[dtype])
        serve = tf.saved_model.load(str(shipped / dtype)).signatures["serving_default"]
        encoded = tf.constant([source.read(int(canvases.index[r])) for r in rows])
        found = serve(image_bytes=encoded)["features"]
        np.testing.assert_allclose(found, run[dtype], atol=1e-4, err_msg=f"SavedModel, {dtype}")

    if request.node.callspec.params["folder_example"] != "made":
        return  # other pixels through the same files: a process takes seconds to start
    command = [sys.executable, "-c", WITHOUT_PACKAGE, *(str(shipped / dtype) for dtype in run)]
    subprocess.run(command, check=True, cwd=shipped)
    for dtype, expected in run.items():
        np.testing.assert_allclose(np.load(shipped / f"{dtype}.h.npy"), expected, atol=1e-4, err_msg=f"file, {dtype}")


def test_the_signature_for_pixels_agrees_with_that_for_files(shipped, folder_example):
    files = [str(folder_example / f"photos/photo_{i:04d}.jpg") for i in range(5)]
    encoded = [tf.io.read_file(file) for file in files]
    pixels = np.stack([tf.io.decode_jpeg(e, dct_method="INTEGER_ACCURATE") for e in encoded])
    signatures = tf.saved_model.load(str(shipped / "uint8")).signatures
    np.testing.assert_allclose(
        signatures["images"](images=pixels)["features"],
        signatures["serving_default"](image_bytes=tf.stack(encoded))["features"],
        atol=1e-5,
    )


def test_bytes_that_are_no_image_are_an_error(shipped):
    serve = tf.saved_model.load(str(shipped / "uint8")).signatures["serving_default"]
    with pytest.raises(tf.errors.InvalidArgumentError):
        serve(image_bytes=tf.constant([b"no image"]))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_an_empty_batch_has_no_rows(shipped, dtype):
    signatures = tf.saved_model.load(str(shipped / dtype)).signatures
    width = signatures["serving_default"].structured_outputs["features"].shape[1]
    for shape in ((0, 9, 11, 3), (0, 0, 0, 3)):
        assert signatures["images"](images=tf.zeros(shape, dtype))["features"].shape == (0, width)
    assert signatures["serving_default"](image_bytes=tf.zeros([0], tf.string))["features"].shape == (0, width)


def test_pixels_of_sixteen_bits_keep_them(shipped):
    pixels = np.random.default_rng(0).integers(0, 65536, (2, 40, 30, 3), dtype=np.uint16)
    signatures = tf.saved_model.load(str(shipped / "uint16")).signatures
    encoded = tf.stack([tf.io.encode_png(image) for image in pixels])
    np.testing.assert_allclose(
        signatures["images"](images=pixels)["features"],
        signatures["serving_default"](image_bytes=encoded)["features"],
        atol=1e-5,
    )


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_run_of_five_channels_is_served_with_pixels(tmp_path, dtype):
    rng = np.random.default_rng(0)
    pixels = rng.uniform(size=(64, 20, 20, 5)).astype(np.float32)
    if dtype != "float32":
        pixels = (pixels * np.iinfo(dtype).max).astype(dtype)
    np.save(tmp_path / "bands.npy", pixels)
    run = [
        *TINY,
        f"--data=npy:{tmp_path}/bands.npy",
        "--epochs=1",
        f"--workdir={tmp_path}/run",
        "--views_without=color",
    ]
    run_tool("pretrain", *run)
    done = run_tool("export", f"--workdir={tmp_path}/run", f"--output={tmp_path}/served")
    assert done.stdout == f"written: {tmp_path}/served\n"

    signatures = tf.saved_model.load(f"{tmp_path}/served").signatures
    side = config.read_run(f"{tmp_path}/run").canvas_size
    canvases = load_canvases(open_source(f"npy:{tmp_path}/bands.npy"), CanvasSpec(side, 5, dtype))
    encoder = file.load_encoder(f"{tmp_path}/run/encoder.keras")
    expected = features.embedder(encoder, encoder.contract.size)(canvases.images, canvases.sizes)
    for name in ("serving_default", "images"):
        assert signatures[name].structured_input_signature[1]["images"].dtype == dtype
        found = signatures[name](images=tf.constant(pixels))["features"]
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert signatures[name](images=tf.constant(pixels[:0]))["features"].shape == (0, found.shape[1])


def test_input_scaling_tells_the_pixel_type(shipped):
    for dtype in ("uint8", "uint16"):
        assert file.load_encoder(str(shipped / f"{dtype}.keras")).contract.dtype == dtype


def test_only_built_in_layers_leave_the_house(shipped):
    import zipfile

    with zipfile.ZipFile(shipped / "uint8.keras") as archive:
        config = json.loads(archive.read("config.json"))
    assert "ssl_keras" not in json.dumps(config)


@pytest.mark.parametrize("content, expected", [(None, "no encoder at"), (b"text", "no Keras model")])
def test_a_wrong_encoder_file_is_named(tmp_path, content, expected):
    if content:
        (tmp_path / "e.keras").write_bytes(content)
    with pytest.raises(ValueError, match=expected):
        file.load_encoder(str(tmp_path / "e.keras"))
