"""Tools in processes that have TensorFlow imported already, forked from one that does nothing else.

A forked tool is the tool that `python -m` runs, with arguments, environment, folder, streams and an exit of its own: it
skips the seconds of its imports alone. Each tool is started afresh in some test as well, as a user does.
"""

import functools
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time

from tests import costs

ROOT = pathlib.Path(__file__).parent.parent
LATE = ("PYTEST_CURRENT_TEST", "HOME", "PYTHONPATH", "TF_CONFIG")  # variables that no import of the tools reads


class Forked:
    """A forked process, with that part of the interface of `subprocess.Popen` which tests need."""

    def __init__(self, server: "Server", pid: int):
        self.server, self.pid = server, pid

    @property
    def returncode(self) -> int | None:
        return self.server.ended.get(self.pid)

    def poll(self) -> int | None:
        while self.server.hears(0):
            pass
        return self.returncode

    def wait(self, timeout: float = float("inf")) -> int:
        until = time.monotonic() + timeout
        while self.returncode is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            self.server.hears(0.1)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Server:
    """The process that forks, as the tests' process sees it."""

    def __init__(self):
        self.environment, self.ended, self.started = lasting(os.environ), {}, []
        self.connection, theirs = multiprocessing.Pipe()
        command = [sys.executable, "-m", "tests.forking", str(theirs.fileno())]
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd=ROOT)
        theirs.close()

    def start(self, *request) -> Forked:
        self.connection.send(request)
        while not self.started:
            self.hears(60.0)
        return Forked(self, self.started.pop())

    def hears(self, seconds: float) -> bool:
        """Takes in a message, if one comes within so many seconds."""
        if not self.connection.poll(seconds):
            return False
        message = self.connection.recv()
        if isinstance(message, int):
            self.started.append(message)
        else:
            number, self.ended[number], spent = message
            costs.add(spent)
        return True


@functools.cache
def server() -> Server:
    return Server()


def lasting(environment) -> dict[str, str]:
    """The variables that must be the same in a fork as they were when its modules were imported."""
    return {name: value for name, value in environment.items() if name not in LATE}


def start(name: str, *arguments: str, output: str, errors: str = "", variables=(), fresh: bool = False):
    """`python -m tools.NAME ARGUMENTS` in the background: a process as of `subprocess.Popen`, or a `Forked`.

    Args:
        output: file to which it prints.
        errors: file for its errors; "": the same.
        variables: of its environment, beside this process's: name -> value.
        fresh: in a new process of Python, as also where the environment differs from that of the process that forks.
    """
    environment, files = {**os.environ, **dict(variables)}, (output, errors or output)
    if not fresh and sys.platform == "linux" and lasting(environment) == server().environment:
        return server().start(f"tools.{name}", list(arguments), os.getcwd(), environment, *files)
    with open(files[0], "ab") as out, open(files[1], "ab") as error:
        command = [sys.executable, "-m", f"tools.{name}", *arguments]
        return subprocess.Popen(command, env=environment, stdout=out, stderr=error)
