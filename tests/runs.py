"""Small real runs for the tests: tools started as a user starts them."""

import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable

TINY = [
    "--data=builtin:scenes:96",
    "--backbone=resnet8",
    "--width=0.25",
    "--image_size=16",
    "--views=simclr_cifar",
    "--batch_size=32",
    "--epochs=2",
    "--learning_rate=0.1",
]


def run_tool(name: str, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess:
    """`python -m tools.NAME ARGUMENTS` with its output captured."""
    return subprocess.run(
        [sys.executable, "-m", f"tools.{name}", *arguments], capture_output=True, text=True, timeout=timeout
    )


def wait_for(processes: list[subprocess.Popen], arrived: Callable[[], bool], seconds: float = 120) -> None:
    """Waits until something has arrived; fails where a process has ended before, or it takes too long."""
    until = time.monotonic() + seconds
    while not arrived():
        ended = [process.returncode for process in processes if process.poll() is not None]
        assert not ended, f"ended early with {ended}"
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def epochs_written(workdir) -> int:
    """How many epochs a run's metrics.jsonl holds, 0 where there is none yet."""
    path = pathlib.Path(workdir) / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def losses(workdir) -> list[float]:
    """The loss of each epoch of a run."""
    return [line["loss"] for line in metrics(workdir)]


def metrics(workdir) -> list[dict]:
    """The lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in (pathlib.Path(workdir) / "metrics.jsonl").read_text().splitlines()]
