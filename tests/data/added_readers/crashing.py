"""A reader for tests, of files that say what becomes of the process that reads them; and what such a process may do."""

import os
import signal
import time

import numpy as np

from ssl_keras.data.readers.contract import Facts, Picture
from ssl_keras.errors import UserError

ENDINGS = (".crashing",)
PACKAGES = ()
NATIVE = ("read",)
SHAPE = (6, 5, 1)


def is_one(head):
    return head.startswith(b"crashing")


def facts(path, options):
    return Facts(1, SHAPE, "float32")


def read(path, number, options):
    with open(path) as file:
        act = file.read().split()[1]
    return Picture(ACTS[act](path), None)


def killed(number):
    def kill(path):
        os.kill(os.getpid(), number)

    return kill


def read_null(path):
    import ctypes

    ctypes.string_at(0)


def work(path):
    while True:
        pass


def hold(path):
    return np.ones(2**36, np.uint8)


def refuse(path):
    raise UserError("it is damaged")


def fail(path):
    raise KeyError("a fault of the reader's own")


def ended(path):
    os._exit(3)


def printing(path):
    os.write(1, b"a library's words\n")
    os.write(2, b"a library's words\n")
    return good(path)


def good(path):
    return np.full(SHAPE, len(path), np.float32)


def pause(path):
    time.sleep(0.2)
    return good(path)


ACTS = {
    "segfault": killed(signal.SIGSEGV),
    "null": read_null,
    "abort": killed(signal.SIGABRT),
    "killed": killed(signal.SIGKILL),
    "late": killed(signal.SIGALRM),
    "work": work,
    "hold": hold,
    "refuse": refuse,
    "fail": fail,
    "exit": ended,
    "print": printing,
    "good": good,
    "pause": pause,
}
