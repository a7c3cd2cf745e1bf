"""Probe sets, label files and groups from the command line."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.runs import run_tool


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of images of several patients, bright on the left or the right; a CSV for it; images of 5 channels."""
    root, rng, rows = tmp_path_factory.mktemp("probes"), np.random.default_rng(0), ["path,label"]
    for number in range(40):
        place = root / "color" / ("left", "right")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 60, (16, 16, 3))
        pixels[:, 8 * (number % 2) :][:, :8] += 190
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"p{number // 4}_{number}.png")
        rows.append(f"{place.name}/p{number // 4}_{number}.png,{'even' if number % 4 < 2 else 'odd'}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    np.save(root / "five.npy", rng.integers(0, 255, (20, 16, 16, 5), dtype=np.uint8))
    np.save(root / "five.labels.npy", np.arange(20) % 2)
    return root


def test_several_probe_sets_are_scored_one_after_another(finished, folders, tmp_path):
    asked = ["--probe_data=builtin:scenes:40", f"--probe_data=folder:{folders}/color", "--eval=knn", "--knn_k=5"]
    output = tmp_path / "rows.json"
    done = run_tool("evaluate", f"--workdir={finished}", *asked, "--encoder=run,pixels", f"--output={output}")
    assert f"\nfolder:{folders}/color\n" in done.stdout and "\nbuiltin:scenes:40\n" in done.stdout
    rows = json.loads(output.read_text())
    assert [(row["encoder"], row["data"].partition(":")[0]) for row in rows] == [
        ("run", "builtin"), ("pixels", "builtin"), ("run", "folder"), ("pixels", "folder"),
    ]  # fmt: skip
    assert rows[3]["top1"] == 1.0
    assert json.loads((finished / "evals" / "scenes-40_knn.json").read_text()) == rows[0]


def test_labels_and_groups_of_a_table(finished, folders):
    asked = [f"--probe_data=folder:{folders}/color", f"--labels={folders}/labels.csv", r"--group_by=(p\d+)_"]
    done = run_tool("evaluate", f"--workdir={finished}", *asked, "--eval=knn", "--knn_k=5")
    assert "even 16 + 4, odd 16 + 4" in done.stdout and "whole groups" in done.stdout


def test_a_probe_set_of_other_channels_is_refused_for_that_encoder(finished, folders):
    asked = [f"--probe_data=npy:{folders}/five.npy", "--eval=knn", "--knn_k=3"]
    done = run_tool("evaluate", f"--workdir={finished}", *asked, status=1)
    assert "channels" in done.stderr


def test_a_table_with_unknown_files_is_refused_before_anything_is_scored(finished, folders, tmp_path):
    (tmp_path / "wrong.csv").write_text("path,label\nnone.png,a\n")
    asked = [f"--probe_data=folder:{folders}/color", f"--labels={tmp_path}/wrong.csv", "--eval=knn"]
    done = run_tool("evaluate", f"--workdir={finished}", *asked, status=1)
    assert "wrong.csv names 1 file that" in done.stderr and "none.png" in done.stderr
