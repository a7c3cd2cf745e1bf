"""A process that calls functions for `pool`, one at a time: python -m ssl_keras.data.apart.worker FILE_DESCRIPTOR

It imports no TensorFlow. It ends when its socket is closed, so it never outlives its parent by more than a call; and
the system ends it, in native code too, where a call takes too long.
"""

import contextlib
import importlib
import importlib.util
import os
import resource
import signal
import socket
import sys
from types import ModuleType

from ssl_keras.data.apart import wire
from ssl_keras.errors import UserError

STATM = "/proc/self/statm"


def main(descriptor: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the parent decides when to end
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGPROF, signal.SIGALRM):  # which the thread that started this process may have held off
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(EOFError, OSError):  # of the socket: the parent has ended, or needs this process no more
        _serve(socket.socket(fileno=descriptor))
    os._exit(0)  # without the time that libraries take to be torn down


def _serve(connection: socket.socket) -> None:
    wire.send(connection, "ready")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (1, 2):  # decoders print what they think of damaged files
        os.dup2(nowhere, standard)
    while True:
        module, path, name, arguments, (seconds, wall, room) = wire.receive(connection)
        _limit(seconds, wall, room)
        try:
            answer = True, getattr(_module(module, path), name)(*arguments)
        except MemoryError:
            answer = False, UserError(f"its decoder asked for more than {room / 2**20:,.0f} MiB of memory")
        except Exception as error:
            answer = False, error
        _limit(0, 0, None)
        wire.send(connection, answer)
        del answer


def _module(name: str, path: str) -> ModuleType:
    """The parent's module of a name, also where the parent has it from a folder that is not on this process's path."""
    if importlib.util.find_spec(name) is not None:
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _limit(seconds: float, wall: float, room: int | None) -> None:
    """Ends this process by SIGPROF after so many seconds of the processor, by SIGALRM after so many of the clock (0:
    never), and refuses it more than so many bytes of memory above what it has (None: any)."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, wall)
    if not os.path.exists(STATM):
        return  # macOS, which keeps no such limit
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    if room is not None:
        with open(STATM) as file:
            room += int(file.read().split()[0]) * resource.getpagesize()
    wanted = most if room is None else room if most == resource.RLIM_INFINITY else min(room, most)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, most))


if __name__ == "__main__":
    main(int(sys.argv[1]))
