"""`tools.benchmark --suite=time_to_accuracy` and `--suite=lightly`."""

import json
import os
import sys

import numpy as np
import pytest

from ssl_keras.benchmarks import beside_lightly, time_to_accuracy
from ssl_keras.evals.online import bank_and_queries
from tests.runs import TINY, run_tool


@pytest.mark.slow
def test_recipes_are_timed_until_a_threshold_and_scored_once(tmp_path):
    recipe = tmp_path / "tiny.flags"
    recipe.write_text("\n".join(flag for flag in TINY if not flag.startswith("--epochs")))
    asked = ["--suite=time_to_accuracy", f"--recipes={recipe}", "--seeds=0,1", "--test_examples=20", "--epochs=3"]
    schedule = "--resolution_schedule=0.67:0.5,0.33:1"
    places = [f"--workdir={tmp_path}/runs", f"--json={tmp_path}/b.json"]
    said = run_tool("benchmark", *asked, "--threshold=0.01", schedule, *places).stdout
    (row,) = json.loads((tmp_path / "b.json").read_text())
    assert row["recipe"] == str(recipe) and [run["seed"] for run in row["runs"]] == [0, 1]
    for run in row["runs"]:
        assert run["threshold"] == 0.01 and run["images"] == 96
        assert 0 < run["seconds"] <= run["total_seconds"]
        assert len(run["epochs"]) == 3 and run["epochs"][0]["seconds"] == run["seconds"]
        assert 3 < run["total_pflop"] / run["pflop"] <= 1 + 1 + 4  # two of three epochs on a quarter of the pixels
        assert set(run["test"]) == {"knn", "linear"}
    assert "seeds (thresholds) 0 (1.0 %), 1 (1.0 %)" in said and "PFLOP" in said
    again = run_tool("benchmark", *asked, "--threshold=0.01", f"--workdir={tmp_path}/runs", status=1)
    assert "give another --workdir" in again.stderr


def test_a_threshold_that_is_not_reached_is_told():
    run = {"seed": 0, "threshold": 0.9, "total_seconds": 10.0, "total_pflop": 0.1, "test": {"knn": 0.5}}
    missed = {**run, "seconds": None, "images": None, "pflop": None}
    reached = {**run, "seed": 1, "seconds": 4.0, "images": 1000, "pflop": 0.02}
    told = time_to_accuracy.table([{"recipe": "a.flags", "runs": [missed, reached]}])
    assert "reached by 1 of 2 runs" in told and "4 s" in told


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--workdir=a"], "needs --recipes and --workdir"),
        (["--recipes=absent.flags", "--workdir=a"], "no flagfile 'absent.flags'"),
        (["--recipes=flags/simclr.flags", "--workdir=a", "--threshold=45"], "must lie between 0 and 1"),
        (["--recipes=flags/simclr.flags", "--workdir=a", "--seeds=x"], "must be whole numbers"),
        (["--recipes=flags/simclr.flags", "--workdir=a", "--lightly_python=absent"], "give --threshold"),
    ],
)
def test_what_is_missing_is_said_before_anything_runs(flags, said):
    assert said in run_tool("benchmark", "--suite=time_to_accuracy", *flags, status=1).stderr


def test_labels_that_are_held_out_do_not_vote():
    labels = np.array([0, 1, -1, 1, 0] * 20)
    bank, queries = bank_and_queries(labels)
    assert sorted([*bank, *queries]) == np.flatnonzero(labels >= 0).tolist() and len(queries) == 16


def test_runs_are_called_after_their_flagfile():
    assert time_to_accuracy._name("flags/scenes/fast.flags") == "scenes_fast"
    assert time_to_accuracy._name("/tmp/mine/a.flags") == "tmp_mine_a"


def test_without_lightly_its_suite_is_left_out(tmp_path):
    places = [f"--lightly_python={tmp_path}/python", f"--json={tmp_path}/b.json"]
    assert "lightly: left out" in run_tool("benchmark", "--suite=lightly", *places).stdout
    (row,) = json.loads((tmp_path / "b.json").read_text())
    assert "No such file" in row["left_out"]


@pytest.mark.slow
def test_beside_lightly(tmp_path):
    python = os.environ.get("SSL_KERAS_LIGHTLY_PYTHON", sys.executable)
    if reason := beside_lightly.missing(python):
        pytest.skip(f"{python} has no lightly ({reason}): SSL_KERAS_LIGHTLY_PYTHON names a Python that has it")
    flags = [*TINY, f"--lightly_python={python}", f"--json={tmp_path}/b.json"]
    run_tool("benchmark", "--suite=lightly", *flags, "--rounds=1", "--seconds=0.3")
    (row,) = json.loads((tmp_path / "b.json").read_text())
    assert row["ratios"]["float32"]["median"] > 0 and "by default" in row["ratios"]
    recipe = tmp_path / "tiny.flags"
    recipe.write_text("\n".join(TINY))
    more = ["--suite=time_to_accuracy", f"--recipes={recipe}", f"--workdir={tmp_path}/runs", "--test_examples=20"]
    run_tool("benchmark", *flags, *more)
    theirs, ours = json.loads((tmp_path / "b.json").read_text())
    assert ours["runs"][0]["threshold"] == theirs["runs"][0]["knn_top1"]
