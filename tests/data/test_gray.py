"""Gray images that are stored in color have one channel."""

import numpy as np
import pytest
from PIL import Image

from ssl_keras.data.canvases.memory import load_canvases
from ssl_keras.data.canvases.pipeline import CanvasSpec
from ssl_keras.data.canvases.probe import probe
from ssl_keras.data.sources import open_source
from ssl_keras.data.splits import take


def saved(folder, ending):
    rng = np.random.default_rng(0)
    for k in range(3):
        gray = rng.integers(0, 256, (16, 20), np.uint8)
        options = {"lossless": True} if ending == "webp" else {}
        Image.fromarray(gray).convert("RGB").save(folder / f"{k}.{ending}", **options)


def test_real_nuclei_saved_as_rgba_have_one_channel(real_data):
    source = take(open_source(f"folder:{real_data / 'dsb2018_nuclei'}"), 20)
    found = probe(source)
    assert found.channels == 1 and found.dtype == "uint8"
    assert found.note == "gray images saved as RGBA: 1 channel (--channels=3 keeps three)"
    assert probe(source, channels=3).channels == 3
    canvases = load_canvases(source, CanvasSpec(256, 1, "uint8"))
    for row in (0, 15):
        stored = np.asarray(Image.open(source.describe(row)))
        np.testing.assert_array_equal(canvases.images[row, ..., 0], stored[..., 0])


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "webp"])
def test_every_format_is_looked_into(tmp_path, ending):
    saved(tmp_path, ending)
    assert probe(open_source(f"folder:{tmp_path}")).channels == 1


def test_what_is_behind_transparent_pixels_does_not_count(tmp_path):
    hidden = np.full((16, 16, 4), (255, 0, 0, 0), np.uint8)
    hidden[4:, :, :3], hidden[4:, :, 3] = 77, 255
    Image.fromarray(hidden).save(tmp_path / "a.png")
    assert probe(open_source(f"folder:{tmp_path}")).channels == 1


def test_one_image_in_color_keeps_three_channels(tmp_path):
    saved(tmp_path, "png")
    colored = np.full((16, 16, 3), 90, np.uint8)
    colored[3, 5, 2] = 91
    Image.fromarray(colored).save(tmp_path / "z.png")
    assert probe(open_source(f"folder:{tmp_path}")).channels == 3


def test_gray_and_gray_stored_in_color_together_have_one_channel(tmp_path):
    saved(tmp_path, "png")
    Image.fromarray(np.full((16, 16), 5, np.uint8)).save(tmp_path / "z.png")
    found = probe(open_source(f"folder:{tmp_path}"))
    assert found.channels == 1 and found.note.startswith("gray images saved as RGB: 1 channel")


def test_measurements_in_three_equal_channels_have_one(tmp_path):
    tifffile = pytest.importorskip("tifffile", reason="pip install -r requirements-imaging.txt")
    gray = np.random.default_rng(0).integers(0, 9000, (16, 20)).astype(np.int16)
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", np.repeat(gray[..., None], 3, 2), photometric="rgb")
    source = open_source(f"folder:{tmp_path}")
    assert source.arrays == (1, "float32") and probe(source, channels=3).channels == 3
    assert "gray images saved in color: 1 channel (--channels=3 keeps three)" in source.remarks
    np.testing.assert_array_equal(source.read(0)[..., 0], gray)
