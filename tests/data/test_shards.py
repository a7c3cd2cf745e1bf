"""Shards give the canvases of the data that were packed, whatever happens to them on the way."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from ssl_keras.build.data import load, open_training_source, resolve
from ssl_keras.config import Config, read_run
from ssl_keras.data import shards
from ssl_keras.data.canvases.batches import train_batches
from ssl_keras.data.canvases.memory import load_canvases
from ssl_keras.data.canvases.pipeline import BadFilesError
from ssl_keras.data.groups.found import grouped
from ssl_keras.data.splits import train_and_test
from ssl_keras.evals.data import Data
from ssl_keras.methods.simclr import SimCLR
from ssl_keras.packing import plan
from ssl_keras.packing.pack import pack
from tests import forks
from tests.runs import TINY, losses, run_tool, wait_for

FEW = 5  # images in a shard


def picture(rng, side, channels=3):
    return rng.integers(0, 255, (side, side + 3, channels)).astype(np.uint8).squeeze()


def photos(root, rng, count=24):
    """Color photos of two classes in training and test folders, one of them unreadable."""
    for part, number in (("train", count), ("test", 8)):
        for i in range(number):
            path = root / part / ("cat", "dog")[i % 2] / f"{i:03d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(rng, 20 + i % 5)).save(path)
    (root / "train" / "cat" / "004.jpg").write_bytes(b"no image")
    return Config(data=f"folder:{root}", max_bad_fraction=0.1, image_size=16)


def depth(root, rng, normalize="range:300,1500"):
    root.mkdir()
    for i in range(9):
        surface = rng.normal(900, 200, (30, 24)).clip(1).astype(np.uint16)
        surface[:6, :9] = 0
        Image.fromarray(surface).save(root / f"{i}.png")
    return Config(data=f"folder:{root}", image_size=16, normalize=normalize, invalid="0")


def array(root, rng, dtype, channels, **settings):
    root.mkdir()
    images = rng.random((11, 18, 18, channels)) * (1 if dtype == "float32" else 4000)
    np.save(root / "x.npy", images.astype(dtype))
    np.save(root / "x.labels.npy", np.arange(11) % 3 - 1)
    return Config(data=f"npy:{root}/x.npy", **settings)


KINDS = {
    "photos": photos,
    "depth with holes": depth,
    "depth, each image by itself": lambda root, rng: depth(root, rng, "image:5,95"),
    "two channels of 16 bits": lambda root, rng: array(root, rng, "uint16", 2, normalize="none"),
    "five channels of floats": lambda root, rng: array(root, rng, "float32", 5, normalize="none", image_size=10),
    "five channels of measurements": lambda root, rng: array(root, rng, "int16", 5, invalid="7", fill="mean"),
}


def canvases_of(config):
    source = open_training_source(config, SimCLR)
    config, spec = resolve(config, source, SimCLR)
    return source, config, load(source, spec, config)


def of_shards(config, output):
    return Config(data=f"shards:{output}", max_bad_fraction=config.max_bad_fraction, fill=config.fill)


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


@pytest.fixture
def packed(tmp_path):
    """Settings of photos, and the folder of their shards."""
    config = photos(tmp_path / "data", np.random.default_rng(0))
    pack(config, str(tmp_path / "shards"), FEW)
    return config, tmp_path / "shards"


@pytest.mark.parametrize("kind", KINDS)
def test_canvases_are_those_of_the_data(tmp_path, kind):
    config = KINDS[kind](tmp_path / "data", np.random.default_rng(0))
    pack(config, str(tmp_path / "shards"), FEW)
    source, settings, expected = canvases_of(config)
    again, same, found = canvases_of(of_shards(config, tmp_path / "shards"))
    assert found.spec == expected.spec and len(again) == len(source)
    for name in ("images", "sizes", "labels", "index", "bad_indices"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)
    assert found.images.dtype == expected.images.dtype and len(np.unique(found.images)) > 50
    assert [reason for _, reason in found.bad] == [reason for _, reason in expected.bad]
    assert same == dataclasses.replace(settings, data=same.data)  # so that flags.txt says the same
    assert all(source.describe(i).endswith(again.describe(i)) for i in range(len(source)))
    assert (again.class_names, again.sorted_by_name) == (source.class_names, source.sorted_by_name)
    streams = [
        load_canvases(each, expected.spec, config.max_bad_fraction, budget_bytes=0) for each in (source, again)
    ]
    for a, b in zip(*(train_batches(stream, 4, seed=1, steps=4).as_numpy_iterator() for stream in streams)):
        assert all(np.array_equal(a[key], b[key]) for key in a)
    if source.root is not None:
        rule = "folder:1" if kind == "photos" else r"(\d)\.png"
        np.testing.assert_array_equal(*(grouped([each], rule)[0].groups for each in (source, again)))
    if source.has_test_split:
        tests = [train_and_test(data)[1] for data in (config.data, f"shards:{tmp_path}/shards")]
        first, second = (load_canvases(test, expected.spec) for test in tests)
        np.testing.assert_array_equal(first.images, second.images)
        np.testing.assert_array_equal(first.labels, second.labels)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_a_canvas_is_stored_without_loss(dtype, channels):
    canvas = (np.random.default_rng(0).random((6, 6, channels)) * (1 if dtype == "float32" else 250)).astype(dtype)
    canvas[0, 0] = 1 if dtype == "float32" else np.iinfo(dtype).max
    found = shards.decoded(*shards.encoded(canvas), canvas.shape, dtype)
    assert found.dtype == canvas.dtype
    np.testing.assert_array_equal(found, canvas)


def test_another_size_is_resampled_as_the_images_would_be(tmp_path):
    """An encoder of another size is evaluated on shards whose canvases have the images' own size."""
    config = depth(tmp_path / "data", np.random.default_rng(0))
    pack(dataclasses.replace(config, canvas_size=24), str(tmp_path / "shards"), None)
    source, _, canvases = canvases_of(of_shards(config, tmp_path / "shards"))
    smaller = load_canvases(source, dataclasses.replace(canvases.spec, size=12))
    assert smaller.images.shape[1:] == (12, 12, 1)
    full = canvases.images.astype(float).reshape(-1, 12, 2, 12, 2).mean((2, 4))
    inner = np.s_[:, 8:, 8:]  # far from the holes
    assert np.abs(smaller.images[..., 0][inner] - full[inner]).mean() < 0.1 * full[inner].mean()
    other = dataclasses.replace(canvases.spec, values=None, raw=None)
    with pytest.raises(ValueError, match=r"holds canvases of 1 channels, --normalize=range:.*: use the data"):
        load_canvases(source, other)


def test_a_run_on_shards_is_the_run_on_the_folder_and_is_scored_on_the_same_images(tmp_path, packed):
    config, output = packed
    flags = [flag for flag in TINY if not flag.startswith(("--data", "--batch_size"))]
    flags += ["--batch_size=8", "--max_bad_fraction=0.1", "--epochs=1"]
    scored = []
    for name, data in (("a", config.data), ("b", f"shards:{output}")):
        run_tool("pretrain", *flags, f"--data={data}", f"--workdir={tmp_path}/{name}")
        scored.append(Data(read_run(tmp_path / name), None).images_for("pixels").canvases)
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    assert (tmp_path / "b" / "bad_files.txt").read_text() == "train/cat/004.jpg\ta text file, not an image\n"
    for folder, shard in zip(*scored):
        np.testing.assert_array_equal(folder.images, shard.images)
        np.testing.assert_array_equal(folder.labels, shard.labels)


def test_packing_goes_on_where_it_was_stopped(packed):
    config, output = packed
    whole = files_of(output)
    manifest = json.loads(whole["manifest.json"])
    (output / "manifest.json").write_text(json.dumps({"complete": False} | plan.of(manifest)))
    for name in ("train-00001.tfrecord", "train-00004.tfrecord", "test-00000.tfrecord", "train.npz", "test.npz"):
        (output / name).unlink()
    kept = {path: path.stat().st_mtime_ns for path in output.glob("*.tfrecord")}
    with pytest.raises(ValueError, match=r"not all shards .* are made: run the tools.make_shards command again"):
        canvases_of(of_shards(config, output))
    pack(config, str(output), FEW)
    assert files_of(output) == whole and len(kept) == 4
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


@pytest.mark.slow
def test_packing_goes_on_after_a_kill_and_ends_with_the_same_bytes(tmp_path):
    config = photos(tmp_path / "data", np.random.default_rng(0), count=150)
    flags = [f"--data={config.data}", "--max_bad_fraction=0.1", "--image_size=16", f"--images_per_shard={FEW}"]
    pack(config, str(tmp_path / "whole"), FEW)
    output, said = tmp_path / "killed", str(tmp_path / "said")
    process = forks.start("make_shards", *flags, f"--output={output}", output=said, errors=said)
    wait_for([process], lambda: len(list(output.glob("train-*.tfrecord"))) > 3)
    process.kill()
    process.wait()
    made = {path: path.stat().st_mtime_ns for path in output.glob("*.tfrecord")}
    assert 3 < len(made) < 30 and not json.loads((output / "manifest.json").read_text())["complete"]
    done = run_tool("make_shards", *flags, f"--output={output}", fresh=True)
    assert f"{len(made)} of 30 shards are there and whole" in done.stdout
    assert all(path.stat().st_mtime_ns == time for path, time in made.items())
    assert files_of(output) == files_of(tmp_path / "whole")


def test_a_damaged_shard_is_named_and_made_anew(packed):
    config, output = packed
    whole = files_of(output)
    path = output / "train-00002.tfrecord"
    damaged = bytearray(whole[path.name])
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    source, _, canvases = canvases_of(dataclasses.replace(of_shards(config, output), max_bad_fraction=0.2))
    (reason,) = {reason for name, reason in canvases.bad if name != "train/cat/004.jpg"}
    assert reason.startswith("the shard train-00002.tfrecord is damaged at byte")
    assert len(source) - len(canvases) == 2
    for damage, said in ((whole[path.name][:-9], "has .* bytes, .* were written"), (None, "is missing")):
        path.unlink()
        if damage:
            path.write_bytes(damage)
        with pytest.raises(ValueError, match=f"train-00002.tfrecord {said}: run the tools.make_shards command again"):
            canvases_of(of_shards(config, output))
    shutil.copy(output / "train-00001.tfrecord", path)  # a whole one, but another
    (output / "train.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"train-00002.tfrecord has|train.npz is missing or was changed"):
        canvases_of(of_shards(config, output))
    pack(config, str(output), FEW)
    assert files_of(output) == whole


def test_settings_that_shards_cannot_follow_are_refused(packed, tmp_path, capsys):
    config, output = packed
    asked = of_shards(config, output)
    for change in ({"canvas_size": 17}, {"channels": 1}, {"normalize": "range:0,9"}, {"slices": "coronal"}):
        with pytest.raises(ValueError, match=f"--{next(iter(change))}=.*made with .*Leave it out, or make shards"):
            canvases_of(dataclasses.replace(asked, **change))
    _, settings, _ = canvases_of(dataclasses.replace(asked, canvas_size=18, normalize="none", image_size=12))
    said = capsys.readouterr().out
    assert settings.image_size == 12 and "canvases of 18 px, as the shards have them: the images" in said
    with pytest.raises(ValueError, match="holds shards already"):
        pack(asked, str(tmp_path / "more"), None)


def test_other_things_in_the_folder_are_left_alone(packed, tmp_path):
    config, output = packed
    for change in ({"canvas_size": 16}, {"data": f"folder:{tmp_path}/data/test"}):
        with pytest.raises(ValueError, match="holds shards of other images, or made with other settings"):
            pack(dataclasses.replace(config, **change), str(output), FEW)
    (tmp_path / "data" / "train" / "dog" / "new.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="of other images"):
        pack(config, str(output), FEW)
    with pytest.raises(ValueError, match="is a folder with other things"):
        pack(config, str(tmp_path / "data"), FEW)
    with pytest.raises(ValueError, match="holds no shards: make some"):
        canvases_of(Config(data=f"shards:{tmp_path}/data"))


def test_too_many_unreadable_images_end_it_and_are_listed(tmp_path):
    config = dataclasses.replace(photos(tmp_path / "data", np.random.default_rng(0)), max_bad_fraction=0.01)
    with pytest.raises(BadFilesError, match=r"1 of 24 images .* cannot be read"):
        pack(config, str(tmp_path / "shards"), FEW)
    assert "004.jpg\ta text file" in (tmp_path / "shards" / "bad_files.txt").read_text()
