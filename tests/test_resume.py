"""What a resumed run finds: other data, more epochs asked for, steps that float16 skipped, paths spelled otherwise."""

import dataclasses
import os
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from ssl_keras import experiment
from ssl_keras.config import Config
from ssl_keras.data.sources import absolute
from tests.runs import TINY, metrics, run_tool


def picture(path: pathlib.Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (16, 16, 3)).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> tuple[pathlib.Path, Config]:
    """A folder of 40 images in two classes, and the settings of a run on it that has made one epoch."""
    root = tmp_path_factory.mktemp("begun")
    for i in range(40):
        picture(root / "images" / "ab"[i % 2] / f"{i:02d}.png", i)
    tiny = Config.from_flag_lines("\n".join(TINY))
    config = dataclasses.replace(
        tiny, data=f"folder:{root}/images", batch_size=16, epochs=1, workdir=str(root / "run")
    )
    experiment.pretrain(config)
    return root, config


@pytest.fixture
def other(begun, tmp_path):
    """A copy of that folder and its run, with a second epoch asked for."""
    root, config = begun
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    flags = tmp_path / "run" / "flags.txt"
    flags.write_text(flags.read_text().replace(str(root), str(tmp_path)))
    return tmp_path, dataclasses.replace(
        config, data=f"folder:{tmp_path}/images", workdir=str(tmp_path / "run"), epochs=2
    )


def test_data_that_changed_is_refused_in_words_and_goes_on_once_it_is_back(other, capsys):
    root, config = other
    images = root / "images"
    added = ("a/40.png", "b/41.png")
    changes = {
        r"42 images instead of 40; new: a/40\.png, b/41\.png": lambda: [picture(images / name, 9) for name in added],
        r"39 images instead of 40; gone: a/00\.png\)": lambda: (images / "a" / "00.png").unlink(),
        r"new: a/new\.png; gone: a/00\.png": lambda: (images / "a" / "00.png").rename(images / "a" / "new.png"),
        r"other contents: b/01\.png": lambda: picture(images / "b" / "01.png", 99),
    }
    shutil.copytree(images, root / "kept")
    before = (root / "run" / "metrics.jsonl").read_text()
    for expected, change in changes.items():
        change()
        with pytest.raises(ValueError, match=rf"has changed since the run began \({expected}"):
            experiment.pretrain(config)
        assert (root / "run" / "metrics.jsonl").read_text() == before
        shutil.rmtree(images)
        shutil.copytree(root / "kept", images)
    experiment.pretrain(config)
    assert [line["epoch"] for line in metrics(root / "run")] == [1, 2]
    assert "from 1 to 2 epochs. The cosine schedule is now that of 2 epochs" in capsys.readouterr().out


def test_other_labels_are_other_data(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.integers(0, 255, (32, 16, 16, 3)).astype(np.uint8))
    np.save(tmp_path / "x.labels.npy", np.arange(32) % 2)
    tiny = Config.from_flag_lines("\n".join(TINY))
    config = dataclasses.replace(
        tiny, data=f"npy:{tmp_path}/x.npy", batch_size=16, epochs=1, workdir=str(tmp_path / "run")
    )
    experiment.pretrain(config)
    np.save(tmp_path / "x.labels.npy", np.arange(32) // 16)
    with pytest.raises(ValueError, match=r"other labels: x\.npy\[1\]"):
        experiment.pretrain(dataclasses.replace(config, epochs=2))


def test_a_finished_run_is_extended_and_says_what_the_schedule_does(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    command = [*TINY, f"--workdir={run}", "--knn_every=2"]
    done = run_tool("pretrain", *command, "--epochs=7")
    assert "from 5 to 7 epochs" in done.stdout and "learning rate" in done.stdout
    lines = metrics(run)
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert lines[:5] == metrics(finished)
    assert lines[5]["learning_rate"] > 0 and lines[6]["learning_rate"] == pytest.approx(0, abs=1e-6)
    assert "--epochs=7" in (run / "flags.txt").read_text().splitlines()
    assert "--epochs: 7 there, 5 here" in run_tool("pretrain", *command, "--epochs=5", status=1).stderr
    assert "finished (7 epochs)" in run_tool("pretrain", *command, "--epochs=7").stdout


def test_steps_that_float16_skips_count_as_steps(tmp_path):
    command = [*TINY, f"--workdir={tmp_path}/run", "--precision=mixed_float16"]
    for epochs in (2, 3):
        run_tool("pretrain", *command, f"--epochs={epochs}")
    lines = metrics(tmp_path / "run")
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert [line["step"] for line in lines] == [3, 6, 9]
    assert lines[-1]["learning_rate"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("spelled", ["{root}/images/", "{root}/./images", "{root}/link", "images", "~/images"])
def test_a_path_may_be_spelled_in_any_way(begun, spelled, monkeypatch):
    root, config = begun
    monkeypatch.chdir(root)
    monkeypatch.setenv("HOME", str(root))
    if not (root / "link").exists():
        os.symlink(root / "images", root / "link")
    data = absolute("folder:" + spelled.format(root=root))
    assert os.path.isabs(data.partition(":")[2]) and not data.endswith("/")
    assert dataclasses.replace(config, data=data).differences(config) == []
    # A folder of an earlier version, which kept what was typed.
    assert config.differences(dataclasses.replace(config, data="folder:" + spelled.format(root=root))) == []


def test_paths_of_another_kind_are_left_alone():
    for spec in ("tfds:cifar10", "builtin:scenes:96", "folder:", "nonsense"):
        assert absolute(spec) == spec
    assert absolute("tfrecord:x/*.tfrecord") == f"tfrecord:{os.getcwd()}/x/*.tfrecord"


def test_a_run_resumes_however_its_paths_are_spelled(begun, monkeypatch):
    root, _ = begun
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    monkeypatch.setenv("HOME", str(root))
    monkeypatch.chdir(root)
    done = run_tool("pretrain", *TINY, "--data=folder:~/images/", "--batch_size=16", "--epochs=1", "--workdir=~/run/")
    assert "is finished" in done.stdout
