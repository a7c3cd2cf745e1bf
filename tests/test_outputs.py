"""Nothing of a user's is replaced: every writer knows its own files again, and refuses all others by name."""

import json
import os
import pathlib
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from ssl_keras import experiment, files, preview, run_folder
from ssl_keras.config import Config
from ssl_keras.encoders import file
from ssl_keras.export import saved_model
from ssl_keras.views.pretext import permutations
from tests.runs import TINY, run_tool


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def encoder(finished):
    return file.load_encoder(str(finished / "encoder.keras"))


@pytest.fixture
def filled(tmp_path) -> pathlib.Path:
    """A folder with a user's things in it."""
    (tmp_path / "m" / "deep").mkdir(parents=True)
    (tmp_path / "m" / "thesis.txt").write_text("years")
    (tmp_path / "m" / "deep" / "photo.jpg").write_bytes(b"light")
    return tmp_path / "m"


def test_export_leaves_a_folder_with_other_things_alone(finished, filled):
    before = contents(filled)
    done = run_tool("export", f"--workdir={finished}", f"--output={filled}", status=1)
    assert str(filled) in done.stderr and "deep, thesis.txt" in done.stderr
    assert contents(filled) == before


@pytest.mark.parametrize("what", ["folder", "file", "foreign model", "link to a folder", "own and more", "here"])
def test_a_saved_model_takes_no_path_that_is_not_its_own(what, encoder, filled, tmp_path, monkeypatch):
    output = str(filled)
    if what == "file":
        output = str(filled / "thesis.txt")
    elif what == "foreign model":
        output = str(tmp_path / "theirs")
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.export(output, verbose=False)
    elif what == "link to a folder":
        os.symlink(filled, tmp_path / "link")
        output = str(tmp_path / "link")
    elif what == "own and more":
        output = str(tmp_path / "own")
        saved_model.write(encoder, output, saved_model.Options())
        (tmp_path / "own" / "variables" / "notes.txt").write_text("mine")
    elif what == "here":
        monkeypatch.chdir(filled)
        output = "."
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=r"(not|none of which is) replaced"):
        saved_model.write(encoder, output, saved_model.Options())
    assert contents(tmp_path) == before


def test_a_saved_model_replaces_an_earlier_export_and_fills_an_empty_folder(encoder, tmp_path):
    os.makedirs(tmp_path / "sm")
    for model in (encoder, encoder.cut("stage1")):
        saved_model.write(model, f"{tmp_path}/sm/", saved_model.Options())
    assert os.listdir(tmp_path) == ["sm"]
    loaded = keras.layers.TFSMLayer(str(tmp_path / "sm"), call_endpoint="images")
    assert loaded(np.zeros((2, 20, 20, 3), np.uint8))["features"].shape == (2, model.contract.dimension)


def test_an_encoder_file_replaces_encoders_alone(encoder, tmp_path):
    path = tmp_path / "e.keras"
    for model in (encoder, encoder.cut("stage2")):
        file.save_encoder(model, str(path))
    assert file.load_encoder(str(path)).model.output_shape == (None, 16) and os.listdir(tmp_path) == ["e.keras"]
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"e\.keras .*not replaced"):
        file.save_encoder(encoder, str(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize("own", ["", "encoder.keras", "checkpoints", "checkpoints/step_00000015", "summary.json"])
def test_a_run_is_no_place_for_its_export(own, finished, tmp_path):
    with pytest.raises(ValueError, match="belongs to the run"):
        run_folder.refuse_own(str(finished), str(finished / own))
    os.symlink(finished, tmp_path / "link")
    with pytest.raises(ValueError, match="belongs to the run"):
        run_folder.refuse_own(str(tmp_path / "link"), str(finished / own))
    run_folder.refuse_own(str(finished), str(finished / "shipped"))


def test_rows_replace_rows_alone(tmp_path):
    path = str(tmp_path / "rows.json")
    for top1 in (0.5, 0.6):
        files.write_json(path, [{"eval": "knn", "top1": top1}], files.holds_rows)
    assert files.read_json(path)[0]["top1"] == 0.6
    for other in ("{}", "[1]", '[{"name": 1}]', "not json", "\x00"):
        pathlib.Path(path).write_text(other)
        with pytest.raises(ValueError, match="not replaced"):
            files.write_json(path, [{"eval": "knn"}], files.holds_rows)
        assert pathlib.Path(path).read_text() == other


def test_a_folder_is_no_place_for_a_file(tmp_path):
    with pytest.raises(ValueError, match="is a folder, and a file is to be written"):
        files.refuse_foreign(str(tmp_path), files.holds_rows)


def test_evaluate_refuses_a_users_file_before_it_starts(finished, tmp_path):
    (tmp_path / "rows.json").write_text('{"mine": 1}')
    before = {path: path.stat().st_mtime_ns for path in (finished / "evals").rglob("*")}
    done = run_tool("evaluate", f"--workdir={finished}", f"--output={tmp_path}/rows.json", status=1)
    assert "rows.json" in done.stderr
    assert (tmp_path / "rows.json").read_text() == '{"mine": 1}'
    assert before == {path: path.stat().st_mtime_ns for path in (finished / "evals").rglob("*")}


def test_a_preview_replaces_previews_alone(tmp_path):
    tiny = Config.from_flag_lines("\n".join(TINY))
    path = tmp_path / "views.png"
    for _ in range(2):
        preview.preview_views(tiny, str(path), images=2, draws=1)
    Image.new("RGB", (4, 4)).save(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"views\.png .*not replaced"):
        preview.check_output(str(path))
    with pytest.raises(ValueError, match=r"views\.png .*not replaced"):
        preview.preview_views(tiny, str(path), images=2, draws=1)
    assert path.read_bytes() == before


def test_permutations_replace_permutations_alone(tmp_path):
    path = tmp_path / "p.txt"
    chosen = permutations.greedy(5, tiles=4)
    for _ in range(2):
        files.write_text(str(path), permutations.text(chosen), permutations.is_list)
    np.testing.assert_array_equal(permutations.read(str(path)), chosen)
    path.write_text("1 0\n0 1\n")
    with pytest.raises(ValueError, match="not replaced"):
        files.write_text(str(path), permutations.text(chosen), permutations.is_list)


@pytest.mark.parametrize("name", ["metrics.jsonl", "summary.json", "encoder.keras", "bad_files.txt", "checkpoints/a"])
def test_a_run_starts_in_no_folder_that_holds_a_users_file_of_its_names(name, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    config = Config.from_flag_lines("\n".join([*TINY, f"--workdir={tmp_path}"]))
    with pytest.raises(ValueError, match=f"holds no run, but {name.split('/')[0]}"):
        experiment.pretrain(config)
    assert contents(tmp_path) == {name: b"mine"}


def test_other_names_in_a_runs_folder_are_no_hindrance(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "bad_files.txt").write_text("a.jpg\tempty file\n")  # what a refused start leaves
    run_folder.check_free(str(tmp_path))


def test_a_failed_replacement_leaves_an_earlier_folder(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "a").write_text("before")
    with pytest.raises(RuntimeError), files.replacing(str(tmp_path / "m")) as beside:
        os.makedirs(beside)
        raise RuntimeError
    assert contents(tmp_path) == {"m/a": b"before"}


def test_what_a_killed_run_was_writing_is_cleaned_away_and_nothing_else(tmp_path):
    kept = [".writing-mine", ".writing-0123abcd-notes.txt", "notes.txt"]
    for name in (*kept, ".writing-0123abcd-metrics.jsonl"):
        (tmp_path / name).write_text("half")
    files.remove_unfinished(str(tmp_path), run_folder.NAMES)
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def test_what_lies_beside_an_output_is_not_touched(encoder, tmp_path):
    for name in ("sm.writing", ".writing-sm"):
        (tmp_path / name).write_text("mine")
    saved_model.write(encoder, str(tmp_path / "sm"), saved_model.Options())
    assert (tmp_path / "sm.writing").read_text() == (tmp_path / ".writing-sm").read_text() == "mine"


def test_a_link_to_an_export_stays_a_link(encoder, tmp_path):
    saved_model.write(encoder, str(tmp_path / "v1"), saved_model.Options())
    os.symlink(tmp_path / "v1", tmp_path / "newest")
    shutil.rmtree(tmp_path / "v1" / "assets", ignore_errors=True)
    saved_model.write(encoder, str(tmp_path / "newest"), saved_model.Options())
    assert os.path.islink(tmp_path / "newest")
    assert json.loads((tmp_path / "v1" / saved_model.CONTENTS).read_text())["files"]


def test_scores_of_two_encoders_of_one_name_stand_beside_each_other(tmp_path):
    from ssl_keras.evals import run as evaluation

    def row(encoder, top1):
        return {"encoder": encoder, "layer": "representation", "eval": "knn", "top1": top1}

    for encoder in ("/a/x/encoder.keras", "/b/x/encoder.keras", "/b/y/encoder.keras", "random", "run"):
        for top1 in (0.1, 0.2):  # an evaluation made again replaces its own
            evaluation.write([row(encoder, top1)], str(tmp_path))
    names = {path.name: json.loads(path.read_text())["encoder"] for path in (tmp_path / "evals").iterdir()}
    assert names == {
        "x-encoder_knn.json": "/a/x/encoder.keras",
        "x-encoder_2_knn.json": "/b/x/encoder.keras",
        "y-encoder_knn.json": "/b/y/encoder.keras",
        "random_knn.json": "random",
        "knn.json": "run",
    }
