"""Native decoders run in processes of their own: whatever one does there, the others and this process go on."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ssl_keras import machine
from ssl_keras.data import measured
from ssl_keras.data.apart import pool
from ssl_keras.data.canvases.memory import load_canvases
from ssl_keras.data.canvases.pipeline import CanvasSpec
from ssl_keras.data.readers import REGISTRY
from ssl_keras.data.readers import __path__ as readers_path
from ssl_keras.data.readers.contract import ReadOptions
from ssl_keras.data.sources import open_source
from ssl_keras.data.values import Values
from ssl_keras.errors import UserError
from tests.data.added_readers import crashing
from tests.data.processes import children

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def own_pool():
    """Starts with no process and leaves none."""
    pool._pool.end()
    yield
    pool._pool.end()


def asked(tmp_path, act):
    path = tmp_path / f"{act}.crashing"
    path.write_text(f"crashing {act}")
    return pool.call(crashing.read, str(path), 0, ReadOptions())


def test_arrays_come_back_as_they_are_and_can_be_written_to(tmp_path):
    picture = asked(tmp_path, "good")
    np.testing.assert_array_equal(picture.pixels, crashing.good(str(tmp_path / "good.crashing")))
    assert picture.pixels.dtype == np.float32 and picture.valid is None
    picture.pixels[0] = 1


@pytest.mark.parametrize(
    ("act", "kind", "words"),
    [
        ("segfault", pool.CrashError, r"^the decoder crashed on it \(signal 11, SIGSEGV\): save the file anew"),
        ("null", pool.CrashError, r"^the decoder crashed on it \(signal 11, SIGSEGV\)"),
        ("abort", pool.CrashError, r"^the decoder crashed on it \(signal 6, SIGABRT\)"),
        ("exit", pool.CrashError, r"^the decoder crashed on it \(status 3\)"),
        ("killed", pool.EndedError, "^the process that decodes it was ended by signal 9: the machine may lack memory"),
        ("late", pool.EndedError, "^the process that decodes it took too long by the clock"),
        ("hold", UserError, "^its decoder asked for more than 2,048 MiB of memory$"),
        ("refuse", UserError, "^it is damaged$"),
        ("fail", KeyError, "a fault of the reader's own"),
    ],
)
def test_what_ends_a_process_is_an_error_of_its_file(tmp_path, act, kind, words):
    before = children()
    with pytest.raises(kind, match=words) as error:
        asked(tmp_path, act)
    assert error.type is kind
    assert asked(tmp_path, "good").pixels.shape == crashing.SHAPE
    assert len(children().keys() - before.keys()) == 1 and "Z" not in children().values()


def test_a_hang_costs_its_seconds_of_the_processor(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "SECONDS", 0.3)
    with pytest.raises(pool.CrashError, match=r"^the decoder took longer than 0 seconds on it"):
        asked(tmp_path, "work")


def test_large_pictures_may_take_longer_and_hold_more(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "ROOM", 0)
    with pytest.raises(UserError, match="asked for more than 0 MiB"):
        pool.call(np.ones, 2**26, size=0)
    assert pool.call(np.ones, 2**23, size=2**26).nbytes == 2**26


def test_nothing_that_a_decoder_prints_is_seen(tmp_path, capfd):
    asked(tmp_path, "print")
    assert capfd.readouterr() == ("", "")


def test_threads_use_as_many_processes_as_there_are_cores(tmp_path):
    before = children()
    with ThreadPoolExecutor(3 * machine.cores()) as threads:
        files = [tmp_path / str(n) for n in range(4 * machine.cores())]
        for file in files:
            file.mkdir()
        found = list(threads.map(lambda file: asked(file, "pause"), files))
    assert [int(picture.pixels[0, 0, 0]) for picture in found] == [len(str(f / "pause.crashing")) for f in files]
    assert len(children().keys() - before.keys()) <= machine.cores()


def test_idle_processes_end(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.2)
    before = children()
    asked(tmp_path, "good")
    assert children().keys() - before.keys()
    until = time.monotonic() + 30
    while children().keys() - before.keys() and time.monotonic() < until:
        time.sleep(0.05)
    assert not children().keys() - before.keys()
    assert asked(tmp_path, "good")


def test_a_process_that_was_ended_while_idle_is_not_missed(tmp_path):
    before = children()
    asked(tmp_path, "good")
    (worker,) = children().keys() - before.keys()
    os.kill(worker, signal.SIGKILL)
    while children()[worker] != "Z":
        time.sleep(0.01)
    asked(tmp_path, "good")


ALONE = """
import os, sys, threading, time
from ssl_keras.data.apart import pool
from ssl_keras.data.readers.contract import ReadOptions
from tests.data.added_readers import crashing
from tests.data.processes import children
pool.SECONDS = 1.0
pool.call(crashing.read, sys.argv[1], 0, ReadOptions())
for seconds in (0.0, 30.0):
    threading.Thread(target=pool.call, args=(time.sleep, seconds), daemon=True).start()
time.sleep(0.5)
print(*children(), flush=True)
if sys.argv[2] == "killed":
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("how", ["ends", "killed"])
def test_processes_end_with_the_one_that_started_them(tmp_path, how):
    (tmp_path / "a.crashing").write_text("crashing good")
    command = [sys.executable, "-c", ALONE, tmp_path / "a.crashing", how]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == (-9 if how == "killed" else 0) and not done.stderr
    workers = [Path(f"/proc/{number}/cmdline") for number in done.stdout.split()]
    assert workers
    until = time.monotonic() + 20  # the one that sleeps has WALL seconds
    while any(b"apart.worker" in _text(worker) for worker in workers):
        assert time.monotonic() < until
        time.sleep(0.05)


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.fixture
def reader():
    """The reader of tests among those of the product, as a file more in their folder would be."""
    folder = str(Path(__file__).parent / "added_readers")
    readers_path.append(folder)
    measured._readers.cache_clear()
    yield REGISTRY.load("crashing")
    readers_path.remove(folder)
    measured._readers.cache_clear()
    sys.modules.pop("ssl_keras.data.readers.crashing")


def test_a_file_that_crashes_its_decoder_is_one_bad_file_of_a_folder(tmp_path, reader):
    acts = ["good", "good", "segfault", "good", "good", "good", "exit"]
    for number, act in enumerate(acts):
        (tmp_path / f"{number}.crashing").write_text(f"crashing {act}")
    source = open_source(f"folder:{tmp_path}")
    canvases = load_canvases(source, CanvasSpec.of(8, 1, "float32", Values(((0.0, 200.0),))), max_bad_fraction=0.5)
    assert canvases.index.tolist() == [0, 1, 3, 4, 5]
    (first, second), (_, other) = canvases.bad
    assert first.endswith("2.crashing") and second.startswith("the decoder crashed on it (signal 11, SIGSEGV)")
    assert other.startswith("the decoder crashed on it (status 3)")
    before = children()
    with pytest.raises(UserError, match="signal 11"):  # remembered: not once more in each epoch
        source.read(2)
    assert children() == before


def test_real_files_are_read_without_tensorflow_and_the_same(real_data):
    for name in ("dicom/JPGExtended.dcm", "satellite/EuroSAT_MS/AnnualCrop/AnnualCrop_1.tif"):
        reader = REGISTRY.load(measured.reader_of(name))
        here = reader.read(str(real_data / name), 0, ReadOptions())
        found = pool.call(reader.read, str(real_data / name), 0, ReadOptions())
        np.testing.assert_array_equal(found.pixels, here.pixels)
        assert found.pixels.dtype == here.pixels.dtype
    loaded = Path(f"/proc/{pool._pool._idle[0].process.pid}/maps").read_text()
    assert "imagecodecs" in loaded and "tensorflow" not in loaded
