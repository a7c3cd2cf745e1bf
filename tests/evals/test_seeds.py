"""Runs that differ in their seed alone become one row."""

import json
import shutil

import pytest

from ssl_keras.evals import seeds
from tests.runs import run_tool


@pytest.fixture
def runs(finished, tmp_path):
    """Three folders of one run, of which the third has another temperature; the first two have other seeds."""
    found = []
    for name, change in (("a", ""), ("b", "--seed=7"), ("c", "--method_arg=temperature=0.3")):
        folder = shutil.copytree(finished, tmp_path / name)
        with open(folder / "flags.txt", "a") as flags:
            flags.write(f"{change}\n")
        found.append(str(folder))
    return found


def test_runs_of_other_seeds_are_a_group(runs):
    assert [list(group) for group in seeds.groups((*runs, "random", "pixels"), None)] == [runs[:2]]
    assert seeds.groups((runs[0], runs[0], runs[2]), None) == []
    assert [list(group) for group in seeds.groups(("run", runs[1]), runs[0])] == [["run", runs[1]]]


def test_the_mean_and_the_range_are_a_row(runs):
    row = {"layer": "representation", "eval": "knn", "metrics": ["top1"], "k": 20}
    rows = [row | {"encoder": name, "top1": top1} for name, top1 in zip(runs, (0.5, 0.75, 0.1))]
    (mean,) = seeds.pooled(rows, tuple(runs), None)
    assert (mean["top1"], mean["range"], mean["k"]) == (0.625, {"top1": [0.5, 0.75]}, 20)
    assert mean["encoder"] == f"{runs[0]} and other seeds, mean of 2"
    assert mean["runs"] == runs[:2] and 7 in mean["seeds"]
    failed = row | {"encoder": runs[1], "top1": None, "error": "none"}
    assert seeds.pooled([rows[0], failed], tuple(runs), None) == []


def test_the_tool_takes_folders_of_runs(runs, tmp_path):
    output = tmp_path / "rows.json"
    asked = [f"--encoder=run,{runs[1]}", "--eval=knn", "--knn_k=5", "--test_examples=20", f"--output={output}"]
    done = run_tool("evaluate", f"--workdir={runs[0]}", *asked)
    assert "run and other seeds, mean of 2" in done.stdout
    first, second, mean = json.loads(output.read_text())
    assert first["top1"] == second["top1"] == mean["top1"] and mean["range"]["top1"] == [first["top1"]] * 2
