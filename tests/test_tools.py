"""Each tool as a user starts it, on the run that all tests share."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssl_keras import evals
from ssl_keras.encoders import file
from ssl_keras.evals import run as evaluation
from ssl_keras.evals.data import Data
from tests.runs import TINY, run_tool


def test_evaluate_compares_a_run_with_both_yardsticks(finished, tmp_path):
    done = run_tool(
        "evaluate",
        f"--workdir={finished}",
        "--encoder=run,random,pixels",
        f"--output={tmp_path}/rows.json",
        "--test_examples=20",
        fresh=True,
    )
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [(r["encoder"], r["eval"]) for r in rows] == [
        (e, name) for e in ("run", "random", "pixels") for name in ("knn", "linear")
    ]
    assert all(0 <= r["top1"] <= 1 and r["test_examples"] == 20 and r["train_examples"] == 96 for r in rows)
    for name in ("knn", "linear", "random_knn", "pixels_linear"):
        assert (finished / "evals" / f"{name}.json").exists()
    assert json.loads((finished / "evals" / "knn.json").read_text())["centered"] is False
    for word in ("run", "random", "pixels", "knn", "linear"):
        assert word in done.stdout


def test_an_encoder_file_scores_as_its_run(finished):
    def score(encoder, **given):
        request = evaluation.request_from(given, encoder, "knn", 20, options={"knn": {"k": (20,)}})
        return evaluation.evaluate(request)[0]["top1"]

    alone = score(str(finished / "encoder.keras"), data="builtin:scenes:96", image_size=16)
    assert alone == score("run", workdir=str(finished))


def test_a_methods_caveat_stands_beside_the_number_that_it_is_about(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    asked = ["--eval=knn,linear", "--encoder=run,random", "--test_examples=20"]
    assert "go by linear" not in run_tool("evaluate", f"--workdir={run}", *asked).stdout
    flags = run / "flags.txt"
    flags.write_text(flags.read_text().replace("--method=simclr", "--method=mae"))
    done = run_tool("evaluate", f"--workdir={run}", *asked)
    assert done.stdout.count("go by linear") == 1, done.stderr
    caveat = {name: json.loads((run / f"evals/{name}.json").read_text()).get("caveat") for name in ("knn", "linear")}
    assert "distances" in caveat["knn"] and caveat["linear"] is None


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["--eval=knn,svm"], f"known: {', '.join(evals.REGISTRY.names())}"),
        (["--encoder=nowhere.keras"], "no encoder at"),
        (["--knn_k=0"], "at least 1"),
        (["--test_examples=0"], "greater than 0"),
    ],
)
def test_a_request_that_cannot_be_served_is_refused(finished, arguments, expected):
    assert expected in run_tool("evaluate", f"--workdir={finished}", *arguments, status=1).stderr


def test_data_without_labels_cannot_be_scored(finished, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((20, 16, 16, 3), np.uint8))
    done = run_tool("evaluate", f"--workdir={finished}", f"--data=npy:{tmp_path}/x.npy", status=1)
    assert "label" in done.stderr


def test_an_encoder_is_judged_and_shipped_at_each_of_its_stages(finished, tmp_path):
    done = run_tool("evaluate", f"--workdir={finished}", "--eval=knn", "--eval_layer=all", "--knn_k=20")
    for layer in ("stage1", "stage2", "stage3"):
        assert f"run {layer}" in done.stdout
        assert json.loads((finished / "evals" / f"{layer}_knn.json").read_text())["layer"] == layer
    short = f"{tmp_path}/short.keras"
    run_tool("export", f"--workdir={finished}", "--format=keras", "--eval_layer=stage2", f"--output={short}")
    assert file.load_encoder(short).model.output_shape == (None, 16)
    done = run_tool("evaluate", f"--workdir={finished}", "--eval=knn", "--eval_layer=stage7", status=1)
    assert "stage1, stage2, stage3" in done.stderr


def test_export_writes_both_formats(finished, tmp_path):
    for arguments in (
        ["--format=saved_model", f"--output={tmp_path}/sm"],
        ["--format=keras", f"--output={tmp_path}/e.keras"],
    ):
        run_tool("export", f"--workdir={finished}", *arguments, fresh="saved_model" in arguments[0])
    serve = tf.saved_model.load(str(tmp_path / "sm")).signatures["serving_default"]
    png = tf.io.encode_png(np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8))
    assert serve(image_bytes=tf.stack([png, png]))["features"].shape == (2, 32)
    assert (tmp_path / "e.keras").exists()


def test_export_of_no_run_is_refused(tmp_path):
    done = run_tool("export", f"--workdir={tmp_path}", f"--output={tmp_path}/sm", status=1)
    assert "holds no run" in done.stderr


def test_preview_draws_originals_and_views(tmp_path):
    run_tool("preview_views", *TINY, f"--output={tmp_path}/views.png", "--images=4", "--draws=2", fresh=True)
    width, height = Image.open(tmp_path / "views.png").size
    assert width > 4.5 * 96 and height > 4 * 96


def test_benchmark_measures_the_input_alone(tmp_path):
    run_tool("benchmark", *TINY, "--suite=input", "--rounds=1", "--seconds=0.1", f"--json={tmp_path}/b.json")
    (alone,) = json.loads((tmp_path / "b.json").read_text())
    assert set(alone["images_per_second"]) == {"input"}


@pytest.mark.slow
def test_benchmark_measures_every_part_in_turn(tmp_path):
    output = f"--json={tmp_path}/b.json"
    run_tool("benchmark", *TINY, "--suite=train,input", "--rounds=2", "--seconds=0.3", output, fresh=True)
    train, alone = json.loads((tmp_path / "b.json").read_text())
    assert set(train["images_per_second"]) == {
        "step",
        "step_without_views",
        "passes",
        "passes_by_xla",
        "passes_without_onednn",
        "loop",
        "input",
        "plain_keras_step",
    }
    assert set(alone["images_per_second"]) == {"input"}
    assert all(v["min"] <= v["median"] <= v["max"] for v in train["images_per_second"].values())
    assert {"loop / step", "step / plain_keras_step"} <= set(train["ratios"])
    assert train["flop_per_image"] > 0 and train["peak_flops"]["min"] > 0
    assert 0 < train["ratios"]["passes, share of the peak"]["median"] < 1


def test_random_encoder_is_the_runs_architecture_and_depends_on_the_seed_alone(finished):
    def features_of(seed):
        given = {"workdir": str(finished), "seed": seed}
        request = evaluation.request_from(given, "random", "knn", 20, options={"knn": {"k": (20,)}})
        return Data(request.config, 20).images_for("random").subject("representation", 0).features[1].x

    np.testing.assert_array_equal(features_of(0), features_of(0))
    assert np.abs(features_of(0) - features_of(1)).max() > 1e-3
    assert features_of(0).shape == (20, 32)
