"""Evaluations of small, odd and broken data, in this process and as a user starts them."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from PIL import Image

from ssl_keras.config import Config
from ssl_keras.data.canvases.memory import CanvasSpec, load_canvases
from ssl_keras.data.sources import open_source
from ssl_keras.evals import linear, online
from ssl_keras.evals import run as evaluation
from ssl_keras.evals.data import Data
from tests.runs import run_tool


def write_images(root, counts, side=16):
    """Noisy images of one gray level for each class folder."""
    rng = np.random.default_rng(0)
    for level, (folder, count) in enumerate(counts.items()):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels = rng.normal(20 + 200 * level / len(counts), 3, (side, side, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{i}.png")


def encoder_file(path, weight):
    """An encoder of 16-pixel images whose features are the mean color times a weight."""
    images = keras.Input((16, 16, 3))
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(images))
    scaled = keras.layers.Dense(4, kernel_initializer=keras.initializers.Constant(weight))(mean)
    keras.Model(images, scaled).save(path)
    return str(path)


def asked(data, encoder="pixels", evaluations="knn,linear", **more):
    given, options = {"data": data, **more}, {"knn": {"k": (5,)}}
    return evaluation.evaluate(evaluation.request_from(given, encoder, evaluations, None, options=options))


def test_ten_classes_of_three_images_are_scored(tmp_path):
    write_images(tmp_path, {f"c{i}": 3 for i in range(10)})
    knn, linear = asked(f"folder:{tmp_path}")
    assert "error" not in knn and "error" not in linear and linear["top1"] > 0.5
    assert linear["classes"] == {f"c{i}": [2, 1] for i in range(10)}


def test_one_class_is_refused_in_words(tmp_path):
    write_images(tmp_path, {"train/cat": 5, "train/dog": 5, "test/cat": 2})
    np.save(tmp_path / "a.npy", np.zeros((8, 16, 16, 3), np.uint8))
    np.save(tmp_path / "a.labels.npy", np.zeros(8, int))
    with pytest.raises(ValueError, match="labeled images of one class only"):
        asked(f"npy:{tmp_path}/a.npy")
    np.save(tmp_path / "a.labels.npy", np.arange(8) // 5)
    with pytest.raises(ValueError, match="labeled images of one class only"):
        asked(f"npy:{tmp_path}/a.npy", train_examples=3)
    with pytest.raises(ValueError, match=r"no labels.*no classes: cat is the one folder that holds images"):
        asked(f"folder:{tmp_path}/test")


def test_what_is_known_of_the_data_is_printed_and_stands_in_the_rows(tmp_path, capsys):
    write_images(tmp_path, {"Train/cat": 6, "Train/dog": 4, "Valid/cat": 2, "TEST/cat": 2, "TEST/dog": 1})
    (tmp_path / "Train/cat/x.heic").write_bytes(b"")
    rows = asked(f"folder:{tmp_path}", evaluations="knn")
    said = capsys.readouterr().out
    assert "classes (training + test images): cat 6 + 2, dog 4 + 1" in said
    assert "1 .heic" in said and "not used: Valid (2 images)" in said
    assert rows[0]["classes"] == {"cat": [6, 2], "dog": [4, 1]} and rows[0]["split"] == f"test images: {tmp_path}/TEST"


def test_a_runs_number_of_images_is_a_limit_where_a_part_is_held_out(tmp_path):
    write_images(tmp_path, {"cat": 10, "dog": 10})
    of_a_run = Config(data=f"folder:{tmp_path}", train_examples=20, workdir=str(tmp_path))
    assert len(Data(of_a_run, None).train) == 16
    with pytest.raises(ValueError, match="20 images asked for"):
        Data(dataclasses.replace(of_a_run, workdir=""), None)


def test_sparse_class_numbers_cost_nothing(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(40) % 2, 7, 1_000_000)
    images = (rng.integers(0, 9, (40, 16, 16, 3)) + np.where(labels == 7, 40, 200)[:, None, None, None]).astype(
        np.uint8
    )
    np.save(tmp_path / "a.npy", images)
    np.save(tmp_path / "a.labels.npy", labels)
    knn, linear = asked(f"npy:{tmp_path}/a.npy", image_size=16)
    assert linear["top1"] == 1.0 and knn["classes"] == {"7": [16, 4], "1000000": [16, 4]}


def test_a_class_without_training_images_counts_as_wrong_and_is_said(tmp_path, capsys):
    write_images(
        tmp_path, {"train/ant": 6, "train/bee": 6, "train/cow": 1, "test/ant": 3, "test/bee": 3, "test/cow": 2}
    )
    # Ten of the thirteen, spread over the names, without the last one.
    (row,) = asked(f"folder:{tmp_path}", evaluations="linear", train_examples=12)
    assert row["unseen_test_examples"] == 2 and row["top1"] <= 6 / 8
    assert (
        "2 test images of classes that the training images lack (cow): they count as wrong" in capsys.readouterr().out
    )


def test_an_evaluation_that_fails_takes_no_other_with_it(tmp_path):
    write_images(tmp_path / "data", {"cat": 10, "dog": 10})
    nan = encoder_file(tmp_path / "nan.keras", np.nan)
    good = encoder_file(tmp_path / "good.keras", 1.0)
    four = tmp_path / "four.keras"  # for images of four channels, which folders do not have
    images = keras.Input((16, 16, 4))
    keras.Model(images, keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(images))).save(four)
    output = tmp_path / "new" / "rows.json"
    done = run_tool(
        "evaluate",
        f"--data=folder:{tmp_path}/data",
        f"--encoder={good},{nan},{four},pixels",
        f"--output={output}",
        status=1,
    )
    error = done.stderr[done.stderr.index("error: ") :]
    assert f"knn of {nan}, linear of {nan}: the features of 16 of 16 training images are not finite" in error
    assert f"knn of {four}, linear of {four}: it takes images of 4 channels, and {tmp_path}/data" in error
    rows = json.loads(output.read_text())
    assert (
        [row["top1"] is None for row in rows]
        == ["error" in row for row in rows]
        == [False] * 2 + [True] * 4 + [False] * 2
    )
    lines = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.startswith((nan, "pixels"))}
    assert lines[nan] == ["-", "-"] and lines["pixels"][1] == "100.0"


def test_rows_are_on_disk_as_soon_as_they_are_there(tmp_path, monkeypatch):
    write_images(tmp_path / "data", {"cat": 10, "dog": 10})

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(linear, "evaluate", killed)
    request = evaluation.request_from(
        {"data": f"folder:{tmp_path}/data"},
        "pixels",
        "knn,linear",
        None,
        output=f"{tmp_path}/rows.json",
        options={"knn": {"k": (5,)}},
    )
    with pytest.raises(KeyboardInterrupt):
        evaluation.evaluate(request)
    assert [row["eval"] for row in json.loads((tmp_path / "rows.json").read_text())] == ["knn"]


@pytest.mark.parametrize(
    "encoder, evaluations, temperature, output, message",
    [
        ("", "knn", 0.1, None, "--encoder names nothing"),
        ("pixels", ",", 0.1, None, "--eval names nothing"),
        ("pixels", "knn", float("nan"), None, "greater than 0"),
        ("pixels", "knn", 0.1, "{tmp}", "is a folder, and a file is to be written"),
        ("~/none.keras", "knn", 0.1, None, "no encoder at '{tmp}/none.keras'"),
    ],
)
def test_what_cannot_be_asked_is_refused(tmp_path, monkeypatch, encoder, evaluations, temperature, output, message):
    monkeypatch.setenv("HOME", str(tmp_path))
    output = output and output.format(tmp=tmp_path)
    options = {"knn": {"k": (5,), "temperature": temperature}}
    with pytest.raises(ValueError, match=message.format(tmp=tmp_path)):
        evaluation.check(
            evaluation.request_from(
                {"data": "builtin:scenes:40"}, encoder, evaluations, None, output=output, options=options
            )
        )


def encoded(images, training):
    """An encoder: the mean color."""
    return keras.ops.mean(images, axis=(1, 2))


@pytest.mark.parametrize("labels", [[0, 1, 0, 1], [0, 1, -1, -1], [7, 1_000_000, 7, -1]])
def test_two_labelled_images_are_enough_for_scores_while_training(tmp_path, labels):
    np.save(tmp_path / "a.npy", np.zeros((4, 16, 16, 3), np.uint8))
    np.save(tmp_path / "a.labels.npy", labels)
    canvases = load_canvases(open_source(f"npy:{tmp_path}/a.npy"), CanvasSpec(16, 3, "uint8"))
    assert 0 <= online.online_knn(Config(image_size=16), "knn_top1", encoded, canvases)()["knn_top1"] <= 1


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, -1, -1, -1], [-1, -1, -1, -1]])
def test_scores_while_training_need_two_classes(tmp_path, labels):
    np.save(tmp_path / "a.npy", np.zeros((4, 16, 16, 3), np.uint8))
    np.save(tmp_path / "a.labels.npy", labels)
    canvases = load_canvases(open_source(f"npy:{tmp_path}/a.npy"), CanvasSpec(16, 3, "uint8"))
    with pytest.raises(ValueError, match="--knn_every needs labeled images of two classes"):
        online.online_knn(Config(image_size=16), "knn_top1", encoded, canvases)
