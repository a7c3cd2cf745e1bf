"""Files that cannot be read for a moment, and files that cannot be read at all."""

import errno
import io

import numpy as np
import pytest
from absl import logging
from PIL import Image

from ssl_keras.data.canvases.memory import CanvasSpec, load_canvases
from ssl_keras.data.canvases.pipeline import BadFilesError
from ssl_keras.data.canvases.probe import probe
from ssl_keras.data.reading import PatientReader
from ssl_keras.data.source import Source


class Unsteady:
    """Images whose first so many reads fail with an error."""

    def __init__(self, failures, error=None):
        self.left, self.error = dict(failures), error or OSError(errno.EIO, "Input/output error")
        self.reads = []

    def __call__(self, i):
        self.reads.append(i)
        if self.left.get(i, 0):
            self.left[i] -= 1
            raise self.error
        buffer = io.BytesIO()
        Image.new("L", (4, 4), i).save(buffer, "PNG")
        return buffer.getvalue()


def patient(read):
    return PatientReader(read, "image {}".format, waits=(0.0, 0.0, 0.0))


def source_of(read, count):
    source = Source("unsteady", count, read, "image {}".format)
    source.patient_read = patient(read)  # without the waits
    return source


@pytest.mark.parametrize(
    "error", [OSError(errno.ESTALE, "Stale file handle"), TimeoutError("t"), FileNotFoundError("f")]
)
def test_a_read_that_fails_for_a_moment_is_tried_again(error, caplog):
    read = Unsteady({5: 3}, error)
    with caplog.at_level(logging.WARNING, "absl"):
        assert patient(read)(5).startswith(b"\x89PNG")
    assert read.reads == [5] * 4
    assert [record.getMessage() for record in caplog.records] == [f"image 5: {error}; trying again up to 3 times"]


def test_what_was_given_up_is_not_tried_again():
    read = Unsteady({5: 4})
    reader = patient(read)
    for _ in range(2):  # the second time, the file would be there
        with pytest.raises(OSError, match=r"Input/output error \(tried 4 times\)"):
            reader(5)
    assert read.reads == [5] * 4 and reader.given_up == (5,)


@pytest.mark.parametrize("error", [PermissionError("no"), IsADirectoryError("folder"), ValueError("damaged TIFF")])
def test_hopeless_reads_are_not_repeated(error):
    read = Unsteady({5: 9}, error)
    with pytest.raises(type(error) if isinstance(error, ValueError) else OSError, match=f"^{error}$"):
        patient(read)(5)
    assert read.reads == [5]


def test_waits_are_not_spent_on_every_file_of_a_lost_disk():
    read = Unsteady(dict.fromkeys(range(100), 99))
    reader = patient(read)
    for i in range(100):
        with pytest.raises(OSError):
            reader(i)
    assert len(read.reads) == 4 + 99
    reader(100)  # it is back
    read.left[101] = 2
    reader(101)
    assert read.reads[-3:] == [101] * 3


@pytest.mark.parametrize("budget", [None, 0], ids=["memory", "stream"])
def test_loading_waits_and_then_counts_the_file_as_bad(budget):
    source = source_of(Unsteady({3: 2, 7: 99}), 20)
    assert probe(source).channels == 1
    canvases = load_canvases(source, CanvasSpec(4, 1), max_bad_fraction=0.1, budget_bytes=budget)
    assert canvases.bad_indices == [7]
    assert canvases.bad == [("image 7", "[Errno 5] Input/output error (tried 4 times)")]


def test_a_lost_disk_ends_a_stream():
    # More images than are read ahead: the disk is lost in the middle of an epoch.
    from ssl_keras.data.canvases.batches import train_batches

    read = Unsteady({})
    stream = load_canvases(source_of(read, 2000), CanvasSpec(4, 1), budget_bytes=0)
    batches = train_batches(stream, 20, seed=0).as_numpy_iterator()
    next(batches)
    read.left = dict.fromkeys(range(2000), 99)
    before = len(read.reads)
    with pytest.raises(Exception, match=r"BadFilesError.*cannot be read"):
        for _ in batches:
            pass
    assert len(read.reads) - before < 1500  # not all were tried
    with pytest.raises(BadFilesError):
        stream.expect_bad(np.arange(100))
