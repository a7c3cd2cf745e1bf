"""What days bring: signals, kills at any moment, full disks, two runs in one folder. Nothing is lost."""

import json
import pathlib
import random
import resource
import signal
import time

import numpy as np
import pytest

from tests import forks
from tests.runs import TINY, epochs_written, metrics, run_tool, wait_for

LONG = [*TINY, "--epochs=3000"]


def start(workdir, *arguments: str):
    """The tool in the background, with its output in a file beside its folder."""
    return forks.start("pretrain", *arguments, f"--workdir={workdir}", output=f"{workdir}.log")


def saved(workdir) -> list[str]:
    folder = pathlib.Path(workdir) / "checkpoints"
    return sorted(p.name for p in folder.iterdir() if p.name[5:].isdigit()) if folder.is_dir() else []


def state(workdir) -> list[np.ndarray]:
    with np.load(pathlib.Path(workdir) / "checkpoints" / saved(workdir)[-1] / "state.npz") as arrays:
        return [arrays[name] for name in sorted(arrays.files)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_within_a_step_and_the_status_says_again(tmp_path, number):
    workdir = tmp_path / "a"
    process = start(workdir, *LONG, "--checkpoint_every=1000")
    wait_for([process], lambda: epochs_written(workdir) >= 3)
    assert not saved(workdir)
    process.send_signal(number)
    assert process.wait(60) == 75
    said = pathlib.Path(f"{workdir}.log").read_text()
    assert "Traceback" not in said and "the same command goes on" in said and signal.Signals(number).name in said
    (name,) = saved(workdir)
    manifest = json.loads((workdir / "checkpoints" / name / "manifest.json").read_text())
    # Three steps make an epoch: the saved step lies in the epoch after those that are written.
    assert 0 <= manifest["step"] - 3 * len(metrics(workdir)) <= 3


def test_two_runs_in_one_folder_are_refused_and_a_dead_one_holds_nothing(tmp_path):
    workdir = tmp_path / "a"
    process = start(workdir, *LONG)
    wait_for([process], lambda: saved(workdir))
    second = run_tool("pretrain", *LONG, f"--workdir={workdir}", status=1)
    assert f"process {process.pid}" in second.stderr
    assert process.poll() is None
    process.kill()
    process.wait()
    again = start(workdir, *LONG)
    before = saved(workdir)[-1]
    wait_for([again], lambda: saved(workdir)[-1] > before)
    again.kill()
    again.wait()


def test_a_full_disk_is_said_and_earlier_files_stay_whole(tmp_path):
    workdir = tmp_path / "a"
    run_tool("pretrain", *TINY, f"--workdir={workdir}", "--epochs=1")
    before = state(workdir)
    # Files may have 100 kB: the events fit, a checkpoint of this net does not.
    process = start(workdir, *LONG)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
    assert process.wait(300) == 1
    said = pathlib.Path(f"{workdir}.log").read_text()
    assert "Traceback" not in said and "no space is left" in said
    for a, b in zip(before, state(workdir), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(saved(workdir)) == 1 and not list(workdir.rglob("*writing*"))


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    run_tool("pretrain", *TINY, f"--workdir={tmp_path}/file/a", status=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["simclr", "moco", "swav", "inst_disc"])
def test_a_run_killed_at_any_moment_ends_as_if_it_had_not_been(name, tmp_path):
    """One device, one machine, the same number of threads: TensorFlow is deterministic there, so bit for bit."""
    flags = [f"--flagfile=flags/cifar10/{name}.flags", *TINY, "--epochs=40", "--checkpoint_every=0.01min"]
    flags += ["--views=instdisc_cifar"] if name == "inst_disc" else []
    run_tool("pretrain", *flags, f"--workdir={tmp_path}/whole", timeout=900)
    broken, moments = tmp_path / "broken", random.Random(name)
    for _ in range(20):
        before = saved(broken)
        process = start(broken, *flags)
        try:
            wait_for([process], lambda before=before: saved(broken) != before)
        except AssertionError:
            assert process.returncode == 0, pathlib.Path(f"{broken}.log").read_text()[-2000:]
            break
        time.sleep(moments.uniform(0, 0.3))  # in a step, between epochs, in a save
        process.kill()
        process.wait()
    run_tool("pretrain", *flags, f"--workdir={broken}", timeout=900)
    for a, b in zip(state(tmp_path / "whole"), state(broken), strict=True):
        np.testing.assert_array_equal(a, b)
    ignored = ("seconds", "images_per_second")
    for a, b in zip(metrics(tmp_path / "whole"), metrics(broken), strict=True):
        assert {k: v for k, v in a.items() if k not in ignored} == {k: v for k, v in b.items() if k not in ignored}
