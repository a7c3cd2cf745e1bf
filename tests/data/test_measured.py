"""Folders of files whose numbers are measurements: found, read by their readers, and trained on as what they mean."""

import shutil

import numpy as np
import pytest
from PIL import Image

from ssl_keras.build.data import load, open_training_source, resolve
from ssl_keras.config import Config
from ssl_keras.data import measured
from ssl_keras.data.canvases.memory import load_canvases
from ssl_keras.data.canvases.pipeline import BadFilesError, CanvasSpec
from ssl_keras.data.readers.contract import ReadOptions
from ssl_keras.data.sources import open_source
from ssl_keras.data.values import Values
from ssl_keras.methods.simclr import SimCLR
from tests.runs import TINY, run_tool

tifffile = pytest.importorskip("tifffile", reason="pip install -r requirements-imaging.txt")
pydicom = pytest.importorskip("pydicom", reason="pip install -r requirements-imaging.txt")


@pytest.fixture(autouse=True)
def plain_options():
    yield
    measured.use(ReadOptions())


def canvases_of(folder, **settings):
    config = Config(data=f"folder:{folder}", image_size=16, **settings)
    source = open_training_source(config, SimCLR)
    config, spec = resolve(config, source, SimCLR)
    return source, config, load(source, spec, config)


def test_all_bands_of_satellite_chips_are_read_with_a_range_each(real_data, tmp_path):
    shutil.copytree(real_data / "satellite" / "EuroSAT_MS", tmp_path / "chips")
    source, config, canvases = canvases_of(tmp_path / "chips", canvas_size=64)
    assert source.arrays == (13, "float32") and len(source) == 3 and source.shapes.tolist() == [[64, 64]] * 3
    assert config.normalize.count(";") == 12 and config.dtype == "float32"
    for row, path in enumerate(sorted((tmp_path / "chips").rglob("*.tif"))):
        bands = tifffile.imread(path).astype(np.float64)
        assert bands.shape == (64, 64, 13)
        np.testing.assert_array_equal(source.read(row), bands)
        low, high = np.array(canvases.spec.values.ranges).T
        expected = np.clip((bands - low) / (high - low), 0, 1)
        np.testing.assert_allclose((canvases.images[row].astype(np.float64) - 1) / 65534, expected, atol=2e-5)


def test_a_folder_of_dicom_is_read_and_what_is_no_picture_is_said(real_data, tmp_path):
    shutil.copytree(real_data / "dicom", tmp_path / "a")
    with pytest.raises(BadFilesError, match=r"MR_truncated\.dcm: damaged DICOM: cut off"):
        canvases_of(tmp_path / "a")
    source, config, canvases = canvases_of(tmp_path / "a", max_bad_fraction=0.1)
    said = "; ".join(source.remarks)
    assert "dicom 36" in said and "4 files without a picture" in said
    assert len(canvases.bad) == 1 and canvases.images.dtype == np.uint16 and config.dtype == "float32"
    names = [source.describe(i) for i in range(len(source))]
    assert any(name.endswith("/6154") for name in names)  # no ending
    assert any(name.endswith("emri_small.dcm[9]") for name in names)
    row = next(i for i, name in enumerate(names) if name.endswith("CT_small.dcm"))
    dataset = pydicom.dcmread(real_data / "dicom" / "CT_small.dcm")
    units = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    np.testing.assert_allclose(source.read(row)[..., 0], units)


def test_padding_is_no_measurement(real_data, tmp_path):
    (tmp_path / "a").mkdir()
    shutil.copy(real_data / "dicom" / "693_J2KR.dcm", tmp_path / "a")
    source, _, canvases = canvases_of(tmp_path / "a", canvas_size=512)
    missing = np.isnan(source.read(0)[..., 0])
    assert 0.2 < missing.mean() < 0.22
    assert ((canvases.images[0, ..., 0] == 0) == missing).mean() > 0.99
    low, high = canvases.spec.values.ranges[0]
    assert -1100 < low < high < 1300  # with the padding the lowest was -3024


def test_pages_are_what_they_are_said_to_be(tmp_path):
    stack = np.random.default_rng(0).integers(0, 4000, (3, 20, 24)).astype(np.uint16)
    for name in "ab":
        with tifffile.TiffWriter(tmp_path / f"{name}.tif") as file:
            for page in stack:
                file.write(page, contiguous=False, metadata=None)
    with pytest.raises(ValueError, match="3 pages: set --pages=channels, images or first"):
        canvases_of(tmp_path)
    for pages, shape in {"channels": (2, 3), "images": (6, 1), "first": (2, 1)}.items():
        source, _, canvases = canvases_of(tmp_path, pages=pages)
        assert (len(source), source.arrays[0]) == shape and len(canvases) == shape[0]
    np.testing.assert_array_equal(source.read(0)[..., 0], stack[0])


def test_ordinary_images_stay_what_they_are_beside_a_stray_archive(tmp_path):
    for name in "ab":
        Image.fromarray(np.full((20, 20, 3), 7, np.uint8)).save(tmp_path / f"{name}.png")
    np.savez(tmp_path / "features.npz", x=np.zeros((4, 4)))
    source = open_source(f"folder:{tmp_path}")
    assert source.arrays is None and len(source) == 2
    assert any("of another kind than most; first: features.npz" in remark for remark in source.remarks)


def test_images_of_any_size_become_canvases_and_odd_channels_are_named(tmp_path):
    rng = np.random.default_rng(0)
    for number, shape in enumerate([(20, 30), (50, 10), (8, 8), (16, 16, 5)]):
        image, kind = rng.normal(0, 9, shape).astype(np.float32), {"photometric": "minisblack", "planarconfig": None}
        if len(shape) == 3:
            kind["planarconfig"] = "contig"
        tifffile.imwrite(tmp_path / f"{number}.tif", image, **kind)
    source = open_source(f"folder:{tmp_path}")
    spec = CanvasSpec.of(16, 1, "float32", Values(((-9.0, 9.0),)))
    canvases = load_canvases(source, spec, max_bad_fraction=0.5)
    assert canvases.sizes.tolist() == [[20, 30], [50, 10], [8, 8]] and canvases.index.tolist() == [0, 1, 2]
    ((name, reason),) = canvases.bad
    assert name.endswith("3.tif") and "5 channels, and most images here have 1" in reason
    streamed = load_canvases(source, spec, max_bad_fraction=0.5, budget_bytes=0)
    batch = next(streamed.train_batches(0, 3).as_numpy_iterator())
    for image, index in zip(batch["image"], batch["index"]):
        np.testing.assert_array_equal(image, canvases.images[index])


def test_a_run_on_raw_numbers_resumes_its_range_and_ships_it(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
    for number in range(12):
        surface = rng.normal(2000 if number % 2 else 900, 200, (24, 24)).clip(1).astype(np.uint16)
        surface[:6, :6] = 0
        Image.fromarray(surface).save(tmp_path / "data" / "ab"[number % 2] / f"{number}.png")
    flags = [flag for flag in TINY if not flag.startswith(("--data", "--batch_size"))]
    flags += [f"--data=folder:{tmp_path}/data", "--batch_size=4", "--fill=channel", f"--workdir={tmp_path}/run"]
    first = run_tool("pretrain", *flags)
    assert "not measured: pixels of the value 0, 6.2% of all" in first.stdout
    settings = (tmp_path / "run" / "flags.txt").read_text()
    assert "--normalize=range:" in settings and "--invalid=0" in settings
    run_tool("pretrain", *flags, "--epochs=3")
    assert settings.replace("--epochs=2", "--epochs=3") == (tmp_path / "run" / "flags.txt").read_text()
    scored = run_tool("evaluate", f"--workdir={tmp_path}/run", "--encoder=run,random,pixels", "--eval=knn")
    assert scored.stdout.count("100.0") >= 2  # two distances are told apart
