"""What tests cost is measured, told and limited; a tool that fails says why."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests import costs
from tests.runs import run_tool

CONFTEST = """
from tests import costs
costs.LIMIT, costs.fixed_work = 0.3, lambda: costs.USUAL_WORK
pytest_plugins = ["tests.costs"]
"""
TESTS = """
import subprocess, sys, time
import pytest

BURN = "import time\\nwhile time.process_time() < 0.6: pass"

def burn():
    start = time.process_time()
    while time.process_time() < start + 0.6: pass

def test_of_much_work(): burn()
def test_of_a_process_with_much_work(): subprocess.run([sys.executable, "-c", BURN])
def test_that_waits(): time.sleep(0.6)
@pytest.mark.slow
def test_that_is_marked(): burn()
@pytest.fixture
def much(): burn()
def test_of_a_dear_fixture(much): pass
"""


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_test_of_more_processor_time_than_the_limit_fails_the_run(processes, tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow")
    root = str(pathlib.Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", processes, "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
    )
    errors = [line for line in done.stdout.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and "5 passed" in done.stdout and len(errors) == 3, done.stdout
    for name, phase in (("much_work", "call"), ("a_process_with_much_work", "call"), ("a_dear_fixture", "setup")):
        told = "of processor time in its " + phase
        assert any(f"test_of_{name} takes" in error and told in error for error in errors), errors
    listed = done.stdout.partition("dearest 20")[2]
    assert listed.index("test_that_is_marked") < listed.index("test_that_waits")


def test_a_slow_machine_is_allowed_more_and_a_fast_one_not_less():
    assert costs.allowed([4 * costs.USUAL_WORK, 2 * costs.USUAL_WORK]) == pytest.approx(3 * costs.LIMIT)
    assert costs.allowed([costs.USUAL_WORK / 9]) == costs.LIMIT


def test_a_tool_that_fails_shows_its_last_lines():
    with pytest.raises(AssertionError, match=r"pretrain --epochs=0\nended with 1 instead of 0.*\nerror: .*--epochs"):
        run_tool("pretrain", "--epochs=0", fresh=True)
