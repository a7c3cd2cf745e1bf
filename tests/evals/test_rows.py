"""Rows of single numbers become rows of what was measured alike, and files of a run."""

import json

from ssl_keras.evals import run, table
from ssl_keras.evals.subject import Row


def test_numbers_that_were_measured_alike_share_a_row():
    found = [Row("top1", 0.5, {"k": 1}), Row("top5", 0.9, {"k": 1}), Row("top1", 0.6, {"k": 20})]
    assert run.merged(found) == [
        {"metrics": ["top1", "top5"], "top1": 0.5, "top5": 0.9, "k": 1},
        {"metrics": ["top1"], "top1": 0.6, "k": 20},
    ]
    twice = [Row("top1", 0.5, {}), Row("top1", 0.6, {})]  # nothing is lost
    assert [row["top1"] for row in run.merged(twice)] == [0.5, 0.6]


def test_a_file_holds_all_rows_of_an_evaluation(tmp_path):
    row = {"encoder": "run", "layer": "representation", "eval": "knn"}
    run.write([row | {"top1": 0.5}], str(tmp_path))
    assert json.loads((tmp_path / "evals" / "knn.json").read_text()) == row | {"top1": 0.5}
    for _ in range(2):
        run.write([row | {"k": k} for k in (1, 20)], str(tmp_path))
    assert json.loads((tmp_path / "evals" / "knn.json").read_text()) == [row | {"k": k} for k in (1, 20)]


def test_a_table_has_a_column_for_each_metric():
    row = {"layer": "representation"}
    rows = [
        row | {"encoder": "run", "eval": "knn", "metrics": ["top1", "top5"], "top1": 0.5, "top5": 0.75},
        row | {"encoder": "pixels", "eval": "linear", "metrics": ["top1"], "top1": None, "error": "none"},
    ]
    lines = table.table(rows).splitlines()
    assert lines[0].split() == ["knn", "knn", "top5", "linear"]
    assert lines[1].split() == ["run", "50.0", "75.0"] and lines[2].split() == ["pixels", "-"]
    assert len({len(line) for line in lines}) == 1
