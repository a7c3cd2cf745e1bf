"""Damaged files by the hundred: each must be read or be refused in a sentence, fast and without much memory."""

import time
import tracemalloc

import numpy as np

from ssl_keras.data.readers.contract import ReadOptions
from ssl_keras.errors import UserError
from tests.data.mutations import damaged

SMALL = ReadOptions(max_bytes=2**24)
SLOW = 5.0  # seconds of the processor


def hundreds(reader, seeds: list[bytes], path, number: int, options=SMALL) -> dict[str, int]:
    """Counts of what became of so many mutations of files: "read" or "refused".

    Every one is checked for its time, for its words, and that what was read is what `facts` told.
    """
    counts = {"read": 0, "refused": 0}
    for k in range(number):
        rng = np.random.default_rng([k, len(seeds)])
        data = seeds[k % len(seeds)]
        for _ in range(rng.integers(1, 4)):
            data = damaged(data, seeds[rng.integers(len(seeds))], rng)
        path.write_bytes(data)
        counts[outcome(reader, str(path), options, f"mutation {k}")] += 1
    return counts


def outcome(reader, path: str, options=SMALL, what="") -> str:
    began = time.process_time()
    try:
        found = reader.facts(path, options)
        picture = reader.read(path, found.count - 1, options)
    except UserError as error:
        said = str(error)
        assert said and "\n" not in said and "Traceback" not in said, what
        return "refused"
    finally:
        assert time.process_time() - began < SLOW, what
    assert picture.pixels.shape == found.shape and picture.pixels.dtype == found.dtype, what
    assert picture.valid is None or (picture.valid.shape == found.shape[:2] and picture.valid.dtype == bool), what
    assert picture.pixels.nbytes <= options.max_bytes, what
    return "read"


def refused_at_once(reader, path, options=None) -> str:
    """The sentence by which a forged file is refused: in a tenth of a second, and with next to no memory."""
    options = options or ReadOptions()
    acts = (reader.facts, lambda path, options: reader.read(path, 0, options))
    said = [_said(act, str(path), options) for act in acts]  # what is imported at first is no part of the time
    began = time.process_time()
    assert [_said(act, str(path), options) for act in acts] == said
    assert time.process_time() - began < 0.1 * len(acts)
    tracemalloc.start()
    try:
        assert [_said(act, str(path), options) for act in acts] == said
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    return said[0]


def _said(act, path: str, options) -> str:
    try:
        act(path, options)
    except UserError as error:
        return str(error)
    raise AssertionError("it was read")
