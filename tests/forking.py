"""The process that forks tools: python -m tests.forking FILE_DESCRIPTOR, started by tests.forks.

It imports what tools import, and computes nothing: threads that it had would be missing in what it forks.
"""

import gc
import importlib
import os
import runpy
import signal
import sys
from multiprocessing.connection import Connection, wait

from absl import logging

IMPORTED = ("ssl_keras.experiment", "ssl_keras.evals.run", "ssl_keras.export", "sklearn.linear_model", "tensorboard")


def serve(connection: Connection) -> tuple | None:
    """Forks a process for each request; returns the request in that process, and None where no more come."""
    children: dict[int, int] = {}  # file descriptor of a process -> its number
    while True:
        for ready in wait([connection, *children]):
            if ready is not connection:
                number = children.pop(ready)
                os.close(ready)
                _, status, used = os.wait4(number, 0)
                connection.send((number, os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime))
                continue
            try:
                request = connection.recv()
            except EOFError:
                for number in children.values():
                    os.kill(number, signal.SIGKILL)
                return None
            number = os.fork()
            if not number:
                connection.close()
                for child in children:
                    os.close(child)
                return request
            children[os.pidfd_open(number)] = number
            connection.send(number)


def become(module: str, arguments: list[str], folder: str, environment: dict, stdout: str, stderr: str) -> None:
    """Runs a module as `python -m MODULE ARGUMENTS` does, in a folder, with files for its output."""
    for path, descriptor in ((stdout, 1), (stderr, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    logging.use_absl_handler()  # as a tool does before it imports TensorFlow, which looks for it
    for name in IMPORTED:
        importlib.import_module(name)
    # TensorFlow takes longer to optimize a graph than the few steps of a test would gain by it.
    tf = sys.modules["tensorflow"]
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    gc.collect()
    gc.freeze()  # else a fork's exit takes longer than its imports would
    asked = serve(Connection(int(sys.argv[1])))
    if asked is not None:
        become(*asked)
