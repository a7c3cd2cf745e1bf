"""Tiles of large images: they cover every pixel, are crops of the decoded image, and have something on them."""

import shutil
import threading
import time

import numpy as np
import pytest
from PIL import Image

from ssl_keras.config import Config
from ssl_keras.data import tiles
from ssl_keras.data.canvases.memory import load_canvases
from ssl_keras.data.canvases.pipeline import CanvasSpec
from ssl_keras.data.labels import from_csv
from ssl_keras.data.sources import folder, open_source
from ssl_keras.data.tiling import Tile, boxes, parse
from tests.runs import TINY, run_tool


@pytest.fixture(autouse=True)
def plain_folders():
    yield
    folder.use(folder.Cut())


def opened(path, tile, spread=0.05, **more):
    folder.use(folder.Cut(tile=tile, tile_spread=spread, **more))
    return open_source(f"folder:{path}")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


# ---- where they lie --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(64, 64), (100, 65), (33, 200), (32, 32)])
@pytest.mark.parametrize("text", ["32", "32:16", "32:20"])
def test_tiles_cover_every_pixel_and_stay_inside(shape, text):
    tile, covered = parse(text), np.zeros(shape, int)
    found = boxes(*shape, tile)
    for y, x, height, width in found:
        assert (height, width) == (32, 32) and y + 32 <= shape[0] and x + 32 <= shape[1]
        covered[y : y + height, x : x + width] += 1
    assert covered.min() == 1 and len(set(found)) == len(found)


def test_the_last_tile_is_moved_to_the_edge_and_a_short_side_is_not_cut():
    corners = [(box.y, box.x) for box in boxes(70, 64, Tile(32, 32))]
    assert corners == [(0, 0), (0, 32), (32, 0), (32, 32), (38, 0), (38, 32)]
    assert boxes(20, 70, Tile(32, 32)) == [(0, 0, 20, 32), (0, 32, 20, 32), (0, 38, 20, 32)]
    assert boxes(20, 30, Tile(32, 32)) == [(0, 0, 20, 30)]


@pytest.mark.parametrize("text", ["0", "4", "-32", "32:0", "32:16:8", "32x32", "a", "32:"])
def test_a_wrong_tile_is_refused_before_the_data_is_looked_at(text):
    with pytest.raises(ValueError, match="expected SIZE, of 8 px or more, or SIZE:STRIDE"):
        Config(data="folder:x", tile=text)


def test_gaps_are_allowed_and_said(tmp_path):
    Image.fromarray(noise(96, 96)).save(tmp_path / "a.png")
    source = opened(tmp_path, "16:40")
    assert [source.describe(i).rpartition("[")[2] for i in range(3)] == ["0,0]", "40,0]", "80,0]"]
    assert any("gaps of 24 px, which are not read" in remark for remark in source.remarks)


# ---- what is read ----------------------------------------------------------------------------------------------------


def test_tiles_of_real_photos_are_crops_of_the_decoded_image(real_data, tmp_path):
    for k in range(2):
        shutil.copy(real_data / "bccd" / "JPEGImages" / f"BloodImage_0000{k}.jpg", tmp_path)
    source = opened(tmp_path, "128")
    whole = [np.asarray(Image.open(path)) for path in sorted(tmp_path.glob("*.jpg"))]
    assert whole[0].shape == (480, 640, 3) and len(source) == 2 * 4 * 5 and source.arrays == (3, "uint8")
    spec = CanvasSpec(128, 3, "uint8")
    canvases, streamed = load_canvases(source, spec), load_canvases(source, spec, budget_bytes=0)
    for i in range(len(source)):
        k, place = divmod(i, 20)
        y, x = (0, 128, 256, 352)[place // 5], 128 * (place % 5)
        assert source.describe(i).endswith(f"BloodImage_0000{k}.jpg[{x},{y}]")
        np.testing.assert_array_equal(canvases.images[i], whole[k][y : y + 128, x : x + 128])
    batch = next(streamed.train_batches(0, 40).as_numpy_iterator())
    np.testing.assert_array_equal(batch["image"], canvases.images[batch["index"]])


def test_small_images_stay_whole_and_classes_and_labels_are_those_of_the_file(tmp_path):
    for name, shape in {"cat/a.png": (40, 40, 3), "dog/b.png": (64, 64, 3), "dog/c.png": (20, 32, 3)}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(noise(*shape)).save(tmp_path / name)
    source = opened(tmp_path, "32")
    assert source.labels.tolist() == [0] * 4 + [1] * 5 and source.class_names == ("cat", "dog")
    assert source.shapes.tolist() == [[32, 32]] * 8 + [[20, 32]] and source.describe(8).endswith("dog/c.png")
    assert "1 image not larger than a tile: read whole" in source.remarks
    (tmp_path / "labels.csv").write_text("path,label\ncat/a.png,x\nc.png,y\n")
    assert from_csv(source, str(tmp_path / "labels.csv")).labels.tolist() == [0] * 4 + [-1] * 4 + [1]
    with pytest.raises(ValueError, match=r"--tile=64: no image .* is larger than a tile; the largest has 64 x 64 px"):
        opened(tmp_path, "64")


def test_measurements_and_channels_as_files_are_cut_too(tmp_path):
    tifffile = pytest.importorskip("tifffile", reason="pip install -r requirements-imaging.txt")
    bands = np.random.default_rng(0).normal(0, 1, (40, 64, 5)).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", bands, photometric="minisblack", planarconfig="contig")
    source = opened(tmp_path, "32")
    assert source.arrays == (5, "float32") and len(source) == 4
    np.testing.assert_array_equal(source.read(3), bands[8:, 32:])
    for k, name in enumerate("rg"):
        Image.fromarray(noise(40, 64, seed=k)).save(tmp_path / f"x_{name}.png")
    source = opened(tmp_path, "32", channels_from="{}_r.png,{}_g.png")
    np.testing.assert_array_equal(source.read(3), np.stack([noise(40, 64, seed=k)[8:, 32:] for k in (0, 1)], -1))
    assert source.describe(3).endswith("x[32,8]")


def test_a_damaged_file_is_one_image_that_cannot_be_read(tmp_path):
    Image.fromarray(noise(64, 64)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:2000])
    source = opened(tmp_path, "32")
    assert len(source) == 5
    canvases = load_canvases(source, CanvasSpec(16, 1, "uint8"), max_bad_fraction=0.5)
    ((name, reason),) = canvases.bad
    assert name.endswith("b.png") and "damaged" in reason and len(canvases) == 4


# ---- which have something on them ------------------------------------------------------------------------------------


def test_tiles_with_nothing_on_them_are_left_out_and_counted(tmp_path):
    slide = np.full((128, 128), 240, np.uint8)
    slide += (noise(128, 128) // 128)  # noise of a scanner
    slide[:32, 32:96] = noise(32, 64, seed=1) // 2
    Image.fromarray(slide).save(tmp_path / "a.png")
    source = opened(tmp_path, "32")
    assert [source.describe(i)[-6:] for i in range(len(source))] == ["[32,0]", "[64,0]"]
    assert any(remark.startswith("14 tiles left out with nothing on them") for remark in source.remarks)
    assert len(opened(tmp_path, "32", spread=0)) == 16


def test_tiles_that_are_all_alike_are_kept(tmp_path):
    Image.fromarray(np.full((64, 64), 7, np.uint8)).save(tmp_path / "a.png")
    assert len(opened(tmp_path, "32")) == 4
    Image.fromarray(100 + noise(64, 64) // 64).save(tmp_path / "a.png")  # a plain surface is what these images show
    assert len(opened(tmp_path, "32")) == 4


def test_something_in_one_channel_is_enough(tmp_path):
    channels = [noise(64, 64, seed=k).astype(np.float32) * (1000, 1)[k] for k in range(2)]
    channels[0][:32], channels[1][:, :32] = 5.0, 5.0
    for k, name in enumerate("ab"):
        Image.fromarray(channels[k].astype(np.uint16) if k == 0 else channels[k].astype(np.uint8)).save(
            tmp_path / f"x_{name}.png"
        )
    source = opened(tmp_path, "32", channels_from="{}_a.png,{}_b.png")
    assert [source.describe(i)[-7:].lstrip("x") for i in range(len(source))] == ["[32,0]", "[0,32]", "[32,32]"]


@pytest.mark.parametrize("invalid", [None, 0])
def test_the_spread_is_the_standard_deviation_of_what_was_measured(invalid):
    pixels = np.random.default_rng(0).normal(30_000, 20, (50, 70, 2)).astype(np.float32)
    pixels[:20, :30] = np.nan
    pixels[30:, :5, 0] = 0
    for (y, x, height, width), spread, share in zip(*tiles.content_of(pixels, Tile(32, 19), invalid)):
        part = pixels[y : y + height, x : x + width].astype(np.float64)
        part[~np.isfinite(part) | (part == invalid)] = np.nan
        np.testing.assert_allclose(spread, np.nanstd(part, axis=(0, 1)), rtol=1e-3)
        np.testing.assert_allclose(share, np.isnan(part).mean(), atol=1e-12)


def test_tiles_of_which_most_was_not_measured_are_left_out(tmp_path):
    depth = noise(64, 64).astype(np.uint16) + 1000
    depth[:40, :40] = 0
    Image.fromarray(depth).save(tmp_path / "a.png")
    source = opened(tmp_path, "32", invalid="0", spread=0)
    assert [source.describe(i)[-7:].lstrip("g") for i in range(3)] == ["[32,0]", "[0,32]", "[32,32]"]
    assert "1 tile left out of which more than half was not measured" in source.remarks


# ---- decoding --------------------------------------------------------------------------------------------------------


def test_an_image_is_decoded_once_for_tiles_that_are_read_in_order_by_several_threads():
    read = []

    def slow(i):
        read.append(i)
        time.sleep(0.01)
        return np.full((4, 4), i)

    latest = tiles.Latest(slow, most_bytes=300)
    for i in range(4):
        threads = [threading.Thread(target=lambda i=i: latest(i)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert read == [0, 1, 2, 3]
    assert latest(2)[0, 0] == 2 and read == [0, 1, 2, 3]  # two fit
    assert latest(0)[0, 0] == 0 and read == [0, 1, 2, 3, 0]


def test_an_image_that_cannot_be_read_is_tried_again():
    failures = [OSError("away"), None]

    def read(i):
        failure = failures.pop(0)
        if failure:
            raise failure
        return np.zeros(3)

    latest = tiles.Latest(read, 100)
    with pytest.raises(OSError, match="away"):
        latest(0)
    assert latest(0).shape == (3,)


# ---- from the command line -------------------------------------------------------------------------------------------


def test_a_run_on_tiles_of_channel_files_is_trained_kept_and_scored(tmp_path):
    rng = np.random.default_rng(0)
    for k in range(4):
        (tmp_path / "data" / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        for channel in range(2):
            pixels = rng.integers(0, 1000 if k % 2 else 4000, (36 // (channel + 1), 36 // (channel + 1)))
            Image.fromarray(pixels.astype(np.uint16)).save(tmp_path / "data" / "ab"[k % 2] / f"{k}_c{channel}.png")
    data = [f"--data=folder:{tmp_path}/data", "--channels_from={}_c0.png,{}_c1.png", "--tile=18"]
    tiny = [flag for flag in TINY if not flag.startswith(("--data", "--batch_size", "--epochs"))]
    workdir = f"--workdir={tmp_path}/run"
    done = run_tool("pretrain", *tiny, *data, "--batch_size=16", "--epochs=1", workdir)
    assert "16 images, canvases 18x18x2 uint16" in done.stdout and "tiles of 18 px: 16 of 4 images" in done.stdout
    kept = (tmp_path / "run" / "flags.txt").read_text().splitlines()
    assert {*data[1:], "--channels=2", "--dtype=uint16"} <= set(kept)
    scored = run_tool("evaluate", workdir, "--eval=knn", "--encoder=pixels")
    assert "tiles of 18 px: 16 of 4 images" in scored.stdout
