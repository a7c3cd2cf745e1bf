"""The train suite as a user starts it: every part of a step is measured, beside plain Keras."""

import json

from tests.runs import TINY, run_tool


def test_every_part_of_a_step_is_measured(tmp_path):
    done = run_tool(
        "benchmark", "--suite=train", *TINY, "--rounds=1", "--seconds=0.1", f"--json={tmp_path}/rows.json", timeout=600
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    parts = ("step", "step_without_views", "passes", "loop", "input", "plain_keras_step")
    assert all(row["images_per_second"][part]["median"] > 0 for part in parts)
    assert "passes / step_without_views" in row["ratios"] and "loop / step" in done.stdout
