"""Small real runs for the tests: tools started as a user starts them."""

import json
import pathlib
import subprocess
import tempfile
import time
from collections.abc import Callable

from tests import forks

TINY = [
    "--data=builtin:scenes:96",
    "--backbone=resnet8",
    "--width=0.25",
    "--image_size=16",
    "--views=supervised*2",  # crop and flip: colors would be most of what there is to trace and compile
    "--batch_size=32",
    "--epochs=2",
    "--learning_rate=0.1",
    "--precision=float32",
]


def run_tool(
    name: str, *arguments: str, status: int = 0, timeout: float = 300, fresh: bool = False, variables=()
) -> subprocess.CompletedProcess:
    """`python -m tools.NAME ARGUMENTS` with its output captured; fails where it ends otherwise than it should.

    Args:
        status: that it should end with, and without a traceback.
        fresh: in a process that imports everything itself, as a user's does; else in a fork.
        variables: of its environment, beside this process's: name -> value.
    """
    __tracebackhide__ = True
    with tempfile.TemporaryDirectory() as folder:
        files = [pathlib.Path(folder, stream) for stream in ("stdout", "stderr")]
        output, errors = map(str, files)
        process = forks.start(name, *arguments, output=output, errors=errors, fresh=fresh, variables=variables)
        try:
            process.wait(timeout)
        finally:
            process.kill()
            process.wait()
        said = [file.read_text(errors="surrogateescape") for file in files]
    done = subprocess.CompletedProcess([f"tools.{name}", *arguments], process.returncode, *said)
    if done.returncode != status or "Traceback" in done.stderr:
        raise AssertionError(
            f"python -m {' '.join(done.args)}\nended with {done.returncode} instead of {status}, or a traceback:\n"
            f"{last_lines(done.stderr, 30)}\nit had printed:\n{last_lines(done.stdout, 10)}"
        )
    return done


def last_lines(text: str, count: int) -> str:
    return "\n".join(text.rstrip().splitlines()[-count:])


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
