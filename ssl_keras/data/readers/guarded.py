"""A reader's functions, those that run native code in a process of their own: what is asked of readers from outside."""

import math
from types import ModuleType

import numpy as np

from ssl_keras.data.apart import pool
from ssl_keras.data.readers.contract import Facts, Picture, ReadOptions


def facts(reader: ModuleType, path: str, options: ReadOptions) -> Facts:
    """What a file's header says, see `readers`.

    Raises:
        pool.CrashError: a native library did not survive the file.
    """
    return _called(reader, "facts", path, options)


def read(reader: ModuleType, path: str, number: int, options: ReadOptions, known: Facts | None = None) -> Picture:
    """A picture of a file, see `readers`.

    Args:
        known: of the file, if they are known.

    Raises:
        pool.CrashError: a native decoder did not survive the file.
    """
    size = math.prod(known.shape) * np.dtype(known.dtype).itemsize if known else 0
    return _called(reader, "read", path, number, options, size=size)


def _called(reader: ModuleType, what: str, *arguments, size: int = 0):
    function = getattr(reader, what)
    if what not in reader.NATIVE:
        return function(*arguments)
    return pool.call(function, *arguments, size=size, most=arguments[-1].max_bytes)
