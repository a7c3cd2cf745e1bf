"""What docs/extending.md adds works from the command line: an evaluation, a format and a kind of data, a file each."""

import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

DOCS = pathlib.Path(__file__).parent.parent / "docs" / "extending.md"
# A process in which the packages also hold the files of one folder each.
START = """
import sys, runpy, ssl_keras.evals, ssl_keras.export, ssl_keras.data.sources
for package in (ssl_keras.evals, ssl_keras.export, ssl_keras.data.sources):
    package.__path__.append(f"{sys.argv[1]}/{package.__name__}")
tool = sys.argv[2]
sys.argv[:3] = [tool]
runpy.run_module(f"tools.{tool}", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def added(tmp_path_factory):
    folder = tmp_path_factory.mktemp("added")
    found = re.findall(r"`(ssl_keras/[\w/]+)/(\w+)\.py`.*?```python\n(.*?)```", DOCS.read_text(), re.S)
    assert [name for _, name, _ in found] == ["norm", "weights", "noise"]
    for room, name, code in found:
        path = folder / room.replace("/", ".") / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
    return folder


def run(added, tool, *arguments):
    return subprocess.run(
        [sys.executable, "-c", START, added, tool, *arguments], capture_output=True, text=True, timeout=300
    )


def test_an_evaluation_and_a_kind_of_data_are_a_file_each(added, tmp_path):
    rows = tmp_path / "rows.json"
    done = run(
        added,
        "evaluate",
        "--data=noise:40",
        "--image_size=16",
        "--encoder=pixels",
        "--eval=norm,linear",
        "--norm_order=1",
        f"--output={rows}",
    )
    assert done.returncode == 0, done.stderr
    norm, linear = json.loads(rows.read_text())
    assert (norm["metrics"], norm["order"], linear["top1"]) == (["mean"], 1, 1.0)
    assert norm["mean"] == pytest.approx(16 * 16 * 3 / 2, rel=0.02)  # as many dark images as bright ones
    assert "norm mean" in done.stdout


def test_a_format_is_a_file(added, finished, tmp_path):
    path = tmp_path / "encoder.npz"
    for _ in range(2):  # an earlier export is replaced
        done = run(added, "export", f"--workdir={finished}", "--format=weights", f"--output={path}")
        assert done.returncode == 0, done.stderr
    with np.load(path) as archive:
        contract = json.loads(str(archive["ssl_keras_contract"]))
        assert contract["size"] == 16 and contract["origin"]["method"] == "simclr" and len(archive.files) > 10


def test_help_and_errors_know_what_was_added(added):
    helped = run(added, "evaluate", "--help").stdout
    assert re.search(r"--norm_order=2 +order of the norm", helped) and "noise:N" in helped
    wrong = run(added, "evaluate", "--data=noise:40", "--eval=norm", "--norm_order=0")
    assert wrong.returncode == 1 and wrong.stderr == "error: --norm_order must be at least 1, got 0\n"
    wrong = run(added, "export", "--format=weight", "--output=x")
    assert "weights" in wrong.stderr and wrong.returncode == 2
