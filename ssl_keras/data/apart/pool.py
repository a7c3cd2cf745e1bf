"""Functions called in other processes: as many at once as the machine has cores, each process used again and again.

A native decoder that crashes, hangs, or asks for all memory takes its process with it; here that is an error of the
one file. Processes are started when they are needed, without a copy of this one, and end when they have been idle for
a while, and with this one.
"""

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from ssl_keras import machine
from ssl_keras.data.apart import wire
from ssl_keras.errors import UserError

SECONDS = 10.0  # of the processor's time
BYTES_PER_SECOND = 10_000_000  # that the slowest decoder gives at least: JPEG 2000 gives 40 million
WALL = 12  # times as many seconds of the clock, on a machine that has other work or a slow network
ROOM = 2**31  # bytes of memory above what the process has
COPIES = 6  # of the pixels that are made on the way: as stored, as float64, turned, cast, sent
IDLE_SECONDS = 60.0
OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGALRM, signal.SIGHUP, signal.SIGINT)  # nothing that a file does


class CrashError(UserError):
    """The decoder did not survive the file."""


class EndedError(OSError):
    """The process was ended from outside, or has waited for too long: worth another try."""


def call(function: Callable, *arguments: Any, size: int = 0, most: int = 0) -> Any:
    """What a function gives, called in another process.

    Args:
        function: of a module; what it takes, gives and raises can be pickled.
        size: bytes of the pixels that it gives, as far as they are known before: large ones may take longer and need
            more memory.
        most: bytes of what it may hold besides, such as `--max_image_bytes`.

    Raises:
        CrashError: it crashed, or took too long.
        EndedError: the process was ended from outside, or has waited for too long.
        Exception: whatever the function raises.
    """
    seconds = SECONDS + size / BYTES_PER_SECOND
    limits = seconds, WALL * seconds, max(ROOM, 2 * most) + COPIES * size
    path = getattr(sys.modules[function.__module__], "__file__", None)
    with _pool.worker() as worker:
        is_good, answer = worker.ask((function.__module__, path, function.__name__, arguments, limits))
    if not is_good:
        raise answer
    return answer


class _Worker:
    """A process, and the socket to it."""

    def __init__(self):
        self.connection, theirs = socket.socketpair()
        self.since = 0.0  # idle
        # No threads for linear algebra, which no reader does; and the modules that this process would import.
        paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)
        environment = {**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ssl_keras.data.apart.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=environment,
            )
        try:
            wire.receive(self.connection)  # it is ready
        except (EOFError, OSError):
            self.end()
            raise RuntimeError(f"a process for decoders did not start: status {self.process.returncode}") from None

    def ask(self, request: tuple) -> tuple[bool, Any]:
        try:
            wire.send(self.connection, request)
            return wire.receive(self.connection)
        except (EOFError, OSError):
            seconds = request[-1][0]
            raise self._why(self.process.wait(), seconds) from None

    def _why(self, status: int, seconds: float) -> Exception:
        if -status in OUTSIDE:
            told = "took too long by the clock" if -status == signal.SIGALRM else f"was ended by signal {-status}"
            return EndedError(f"the process that decodes it {told}: the machine may lack memory, or be too busy")
        if -status == signal.SIGPROF:
            return CrashError(f"the decoder took longer than {seconds:.0f} seconds on it: save the file anew")
        how = f"signal {-status}, {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        return CrashError(f"the decoder crashed on it ({how}): save the file anew, or in another format")

    def end(self) -> None:
        self.connection.close()
        self.process.kill()  # what it does is of no use to anyone
        self.process.wait()


class _Pool:
    def __init__(self):
        self._free = threading.BoundedSemaphore(machine.cores())
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []  # used last: last
        self._timer: threading.Timer | None = None

    @contextlib.contextmanager
    def worker(self):
        """A process that no other thread uses meanwhile."""
        with self._free:
            worker = self._taken() or _Worker()
            try:
                yield worker
            except BaseException:  # an interrupt too leaves half an answer in the socket
                worker.end()
                raise
            worker.since = time.monotonic()
            with self._lock:
                self._idle.append(worker)
                self._watch()

    def _taken(self) -> _Worker | None:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.process.poll() is None:
                    return worker
                worker.end()
        return None

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(IDLE_SECONDS, self._end_idle)
            self._timer.daemon = True
            self._timer.start()

    def _end_idle(self) -> None:
        with self._lock:
            self._timer = None
            until = time.monotonic() - IDLE_SECONDS
            old = [worker for worker in self._idle if worker.since <= until]
            self._idle = [worker for worker in self._idle if worker.since > until]
            if self._idle:
                self._watch()
        for worker in old:
            worker.end()

    def end(self) -> None:
        """Ends all processes that are idle; the others end with this one."""
        with self._lock:
            if self._timer:
                self._timer.cancel()
            self._timer = None
            old, self._idle = self._idle, []
        for worker in old:
            worker.end()

    def forget(self) -> None:
        """In a fork of this process: leaves the processes to the one that has them."""
        for worker in self._idle:
            worker.connection.close()
            worker.process.returncode = 0  # it is no child of this one


_pool = _Pool()


def _renew() -> None:
    global _pool
    _pool.forget()
    _pool = _Pool()


atexit.register(lambda: _pool.end())
os.register_at_fork(after_in_child=_renew)
