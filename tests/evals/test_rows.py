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


def test_a_table_shows_ranges_plain_numbers_and_what_rows_differ_in():
    row = {"encoder": "run", "layer": "representation", "eval": "knn", "metrics": ["top1"]}
    rows = [
        row | {"k": 1, "top1": 0.5, "range": {"top1": [0.45, 0.55]}},
        row | {"k": 20, "top1": 0.625, "range": {"top1": [0.6, 0.65]}},
        row | {"eval": "spectrum", "metrics": ["rankme"], "rankme": 12.345, "plain": ["rankme"]},
    ]
    head, line = table.table(rows).splitlines()
    assert head.split() == ["knn", "k=1", "knn", "k=20", "spectrum", "rankme"] and len(head) == len(line)
    assert line.split() == ["run", "50.0", "(45.0-55.0)", "62.5", "(60.0-65.0)", "12.3"]


def test_the_range_of_draws_stands_in_the_row():
    found = [Row("top1", 0.5, {}, 0.4, 0.6), Row("rank", 3.0, {}, share=False)]
    assert run.merged(found) == [
        {"metrics": ["top1", "rank"], "top1": 0.5, "rank": 3.0, "range": {"top1": [0.4, 0.6]}, "plain": ["rank"]}
    ]


def test_labels_saved_are_told_of_the_first_encoder():
    row = {"layer": "representation", "eval": "label_efficiency", "metrics": ["top1"]}
    points = [("run", 10, 0.2), ("run", 1000, 0.6), ("pixels", 10, 0.1), ("pixels", 1000, 0.4)]
    rows = [row | {"encoder": name, "labels": labels, "top1": top1} for name, labels, top1 in points]
    assert table.remarks(rows) == ["run needs 100 labels for the 40.0 % that pixels reaches with 1000"]
    assert table.remarks([]) == []


def test_a_wide_table_goes_on_below():
    metrics = {f"metric_{i}": i / 10 for i in range(9)}
    row = {"encoder": "run", "layer": "representation", "eval": "norm", "metrics": list(metrics)} | metrics
    lines = table.table([row]).splitlines()
    assert len(lines) == 4 and all(len(line) <= table.WIDEST for line in lines)
    assert [line.split()[0] for line in lines[1::2]] == ["run", "run"]
    assert " ".join(lines[0::2]).split()[1::2] == list(metrics)
