"""Whole runs: from data to an encoder, killed and resumed, refused and finished."""

import dataclasses
import json
import os
import pathlib
import signal

import numpy as np
import pytest
from PIL import Image

from ssl_keras import experiment
from ssl_keras.build import data as build_data
from ssl_keras.config import Config, read_run
from ssl_keras.data import sources
from tests import forks
from tests.data import odd_folder
from tests.runs import TINY, epochs_written, losses, metrics, run_tool, wait_for


def test_a_run_leaves_all_its_files(finished):
    for name in ("flags.txt", "metrics.jsonl", "summary.json", "encoder.keras", "tensorboard", "checkpoints"):
        assert (finished / name).exists(), name
    assert not (finished / "bad_files.txt").exists()
    lines = metrics(finished)
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5]
    assert [line["step"] for line in lines] == [3, 6, 9, 12, 15]
    for key in ("loss", "learning_rate", "images_per_second", "z_std", "effective_rank"):
        assert all(np.isfinite(line[key]) for line in lines), key
    assert [("knn_top1" in line) for line in lines] == [False, True, False, True, True]
    summary = json.loads((finished / "summary.json").read_text())
    assert {"method", "data", "epochs", "steps", "seconds", "images_per_second", "peak_memory_bytes", "final"} <= set(
        summary
    )


def test_a_process_of_its_own_says_nothing_that_a_user_would_not_want(tmp_path):
    done = run_tool("pretrain", *TINY, f"--workdir={tmp_path}/a", "--epochs=1", fresh=True)
    assert not done.stderr and (tmp_path / "a" / "encoder.keras").exists()


def test_tensorboard_holds_scalars_images_and_histograms(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    tags = events.Tags()["tensors"]
    assert {"loss/epoch", "representation/effective_rank", "views"} <= set(tags)
    assert any("kernel" in tag for tag in tags)


def test_the_same_command_on_a_finished_run_changes_nothing(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    again = run_tool("pretrain", *TINY, f"--workdir={finished}", "--epochs=5", "--knn_every=2")
    assert "finished" in again.stdout
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}


def test_other_settings_are_refused_and_listed(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    refused = run_tool("pretrain", *TINY, f"--workdir={finished}", "--epochs=5", "--seed=7", status=1)
    assert "--seed: 0 there, 7 here" in refused.stderr
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}


def test_flags_txt_reruns_the_run_with_the_same_losses(finished, tmp_path):
    run_tool("pretrain", f"--flagfile={finished}/flags.txt", f"--workdir={tmp_path}/b")
    np.testing.assert_allclose(losses(tmp_path / "b"), losses(finished), rtol=1e-6)


def test_two_devices_train_as_one(finished, tmp_path):
    run_tool(
        "pretrain",
        f"--flagfile={finished}/flags.txt",
        f"--workdir={tmp_path}/b",
        "--epochs=5",
        "--strategy=mirrored",
        "--num_devices=2",
    )
    # Three large steps blow rounding up; that single steps agree is tested with each method.
    np.testing.assert_allclose(losses(tmp_path / "b")[0], losses(finished)[0], rtol=1e-2)


def test_a_killed_run_goes_on_as_if_it_had_not_been(finished, tmp_path):
    command = ["pretrain", f"--flagfile={finished}/flags.txt", f"--workdir={tmp_path}/b"]
    process = forks.start(*command, output=os.devnull)
    wait_for([process], lambda: epochs_written(tmp_path / "b") >= 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if (tmp_path / "b" / "summary.json").exists():
        pytest.skip("the run was over before it was killed")
    assert "resuming" in run_tool(*command).stdout
    np.testing.assert_allclose(losses(tmp_path / "b"), losses(finished), rtol=1e-5)


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"data": "folder:nowhere"}, "nowhere"),
        ({"data": "nothing:x"}, "tfds"),
        ({"data": "tfds:no_such_set", "data_dir": "."}, "no_such_set"),
        ({"batch_size": 512}, "larger than the data"),
        ({"train_examples": 100_000}, "96"),
        ({"method_arg": ("temprature=0.5",)}, "known, with defaults: temperature"),
        ({"method_arg": ("temperature=warm",)}, "expected float"),
        ({"method_arg": ("temperature=-1",)}, "greater than 0"),
        ({"backbone": "resnet9"}, "resnet18"),
        ({"views": "sinclr"}, "simsiam"),
        ({"views": "instdisc"}, "makes 1 view.* needs 2"),
        ({"method": "inst_disc"}, "makes 2 view.* needs 1: such as --views=instdisc"),
        ({"views_without": "colour"}, "grayscale"),
        ({"view_arg": ("crop=1",)}, "crop_area"),
        ({"optimizer": "sgdd"}, "adamw"),
        ({"workdir": ""}, "--workdir"),
    ],
)
def test_a_users_mistake_is_named_before_anything_is_written(tmp_path, changes, expected):
    tiny = Config.from_flag_lines("\n".join(TINY))
    config = dataclasses.replace(tiny, **{"workdir": str(tmp_path / "x"), **changes})
    with pytest.raises(ValueError, match=expected):
        experiment.pretrain(config)
    assert not (tmp_path / "x" / "flags.txt").exists()


def test_a_users_mistake_reaches_the_terminal_as_one_sentence(tmp_path):
    done = run_tool("pretrain", *TINY, f"--workdir={tmp_path}/x", "--data=folder:nowhere", status=1)
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ") and "nowhere" in line]


def test_an_empty_folder_is_refused(tmp_path):
    os.makedirs(tmp_path / "empty")
    done = run_tool("pretrain", *TINY, f"--data=folder:{tmp_path}/empty", f"--workdir={tmp_path}/x", status=1)
    assert "empty" in done.stderr


def test_divergence_stops_with_the_step_and_keeps_checkpoints(tmp_path):
    done = run_tool("pretrain", *TINY, f"--workdir={tmp_path}/x", "--learning_rate=1e30", "--epochs=9", status=1)
    assert "at step" in done.stderr and "diverged" in done.stderr
    assert not (tmp_path / "x" / "summary.json").exists()


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> pathlib.Path:
    """A folder with broken files among its photos: the real one, or one that is made here."""
    real = os.environ.get("SSL_KERAS_TEST_DATA")
    return pathlib.Path(real, "folder_example") if real else odd_folder.write(tmp_path_factory.mktemp("odd") / "photos")


def test_a_folder_with_bad_files_trains_without_them(tmp_path, photos):
    done = run_tool("pretrain", *TINY, f"--data=folder:{photos}", f"--workdir={tmp_path}/x", "--epochs=1")
    lines = (tmp_path / "x" / "bad_files.txt").read_text().splitlines()
    named = {pathlib.Path(line.split("\t")[0]).name: line.split("\t")[1] for line in lines}
    assert set(named) == set(odd_folder.BROKEN) and all(named.values())
    assert "passed over 1 file without an image's ending: 1 .md; first: README.md" in done.stdout
    counts = {name: len(list((photos / name).iterdir())) for name in ("bad", "cells", "photos")}
    assert f"3 classes: {', '.join(f'{name} {count}' for name, count in counts.items())}" in done.stdout
    assert json.loads((tmp_path / "x" / "summary.json").read_text())["examples"] == sum(counts.values()) - 3


def test_a_folder_of_mostly_bad_files_stops_at_once(tmp_path, photos):
    data = f"--data=folder:{photos}/bad"
    done = run_tool("pretrain", *TINY, data, f"--workdir={tmp_path}/x", "--batch_size=4", status=1)
    assert f"3 of {len(list((photos / 'bad').iterdir()))}" in done.stderr


def test_names_that_are_no_utf8_or_hold_tabs_are_written_readably(tmp_path):
    folder = os.fsencode(tmp_path) + b"/im\xe9"
    os.makedirs(folder)
    for i in range(20):
        Image.new("RGB", (32, 32), (i, 0, 0)).save(os.fsdecode(folder + b"/good\xe9%d.png" % i))
    with open(folder + b"/caf\xe9\t\n.jpg", "wb") as file:
        file.write(b"<html>")
    settings = [*TINY, f"--data=folder:{os.fsdecode(folder)}", f"--workdir={tmp_path}/x", "--batch_size=8"]
    done = run_tool("pretrain", *settings, "--epochs=1", status=1)
    name = f"{tmp_path}/im\\xe9/caf\\xe9\\t\\n.jpg"
    reason = "a web page (HTML), not an image: download the image itself"
    assert f"such as {name}: {reason}" in done.stderr
    run_tool("pretrain", *settings, "--epochs=1", "--max_bad_fraction=0.1")
    assert (tmp_path / "x" / "bad_files.txt").read_text() == f"{name}\t{reason}\n"
    assert read_run(str(tmp_path / "x")).data == f"folder:{os.fsdecode(folder)}"


def test_labels_without_names_are_counted(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 255, (30, 16, 16, 3)).astype(np.uint8))
    np.save(tmp_path / "x.labels.npy", np.arange(30) % 3)
    source = sources.open_source(f"npy:{tmp_path}/x.npy")
    assert source.class_names is None and build_data.class_count(source) == 3


def test_probe_sets_apart_from_the_data_are_scored_every_so_often(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    images = rng.integers(0, 50, (40, 16, 16, 3)) + 150 * labels[:, None, None, None]
    np.save(tmp_path / "easy.npy", images.astype(np.uint8))
    np.save(tmp_path / "easy.labels.npy", labels)
    probes = [f"--probe_data=npy:{tmp_path}/easy.npy", "--probe_data=builtin:scenes:60", "--probe_every=2"]
    run_tool("pretrain", *TINY, f"--workdir={tmp_path}/a", *probes)
    first, last = metrics(tmp_path / "a")
    names = [f"{kind}/{name}" for kind in ("knn_top1", "ridge_top1") for name in ("easy.npy", "scenes-60")]
    assert not set(names) & set(first) and set(names) <= set(last)
    assert last["knn_top1/easy.npy"] == last["ridge_top1/easy.npy"] == 1.0 > last["knn_top1/scenes-60"]


@pytest.mark.parametrize("channels, classes, what", [(2, 2, "images of 2"), (3, 1, "one class only")])
def test_a_probe_set_that_does_not_fit_is_refused_before_training(channels, classes, what, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((20, 16, 16, channels), np.uint8))
    np.save(tmp_path / "a.labels.npy", np.arange(20) % classes)
    probe = f"--probe_data=npy:{tmp_path}/a.npy"
    refused = run_tool("pretrain", *TINY, f"--workdir={tmp_path}/a", probe, status=1)
    assert what in refused.stderr and not (tmp_path / "a" / "metrics.jsonl").exists()


@pytest.mark.slow
def test_parts_that_are_held_at_first_are_trained_by_plain_sgd(tmp_path):
    """As a user's process does it: TensorFlow's memory optimizer rewrites sums of large tensors in branches."""
    settings = ["--method=dino", "--optimizer=sgd", "--data=builtin:scenes:96", "--backbone=resnet8"]
    run_tool("pretrain", *settings, "--batch_size=32", "--epochs=1", f"--workdir={tmp_path}/a", fresh=True)
