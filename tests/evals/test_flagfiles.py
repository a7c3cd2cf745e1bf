"""The flagfiles of published evaluations are ones that `tools.evaluate` takes."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
FLAGFILES = sorted((ROOT / "flags" / "evals").glob("*.flags"))
READ = """
import sys
paths, sys.argv = sys.argv[1:], ["evaluate"]
from absl import flags
from absl.testing import flagsaver
from ssl_keras import cli, evals
from ssl_keras.evals import run
from tools import evaluate
for path in paths:
    with flagsaver.flagsaver():
        flags.FLAGS(["evaluate", f"--flagfile={path}"])
        options = cli.options_from_flags(evals.REGISTRY)
        request = run.request_from({"data": "builtin:scenes"}, "random", flags.FLAGS.eval, None, options=options)
        set_flags = [flag for flag in flags.FLAGS if flags.FLAGS[flag].present]
    names = list(request.evaluations)
    strange = [flag for flag in set_flags if flag not in ("eval", "flagfile")]
    strange = [flag for flag in strange if not any(flag.startswith(f"{name}_") for name in names)]
    print(path, len(names), *strange)
"""


def test_the_tool_takes_each_and_each_sets_its_own_evaluation_alone():
    command = [sys.executable, "-c", READ, *map(str, FLAGFILES)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{path} 1" for path in FLAGFILES] and len(FLAGFILES) > 10


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: path.stem)
def test_a_header_says_where_it_comes_from_and_how_to_run_it(path):
    header = "".join(line[1:] for line in path.read_text().splitlines() if line.startswith("#"))
    assert re.search(r"arXiv:\d{4}\.\d{5}|\w+\.py", header)
    assert f"python -m tools.evaluate --flagfile=flags/evals/{path.name} --workdir=RUN" in header
