"""Streams that are interrupted, divided among workers, and hindered by unreadable files."""

import functools
import io

import numpy as np
import pytest
from PIL import Image

from ssl_keras.data.canvases.batches import train_batches
from ssl_keras.data.canvases.memory import CanvasSpec, load_canvases
from ssl_keras.data.source import Source

BAD = (3, 10, 11, 30)


class Files:
    """Images in memory, numbered by their pixels; those in `bad` are damaged. Reads are listed."""

    def __init__(self, bad=(), count=48):
        self.bad, self.count, self.reads = set(bad), count, []

    def __call__(self, i):
        self.reads.append(i)
        buffer = io.BytesIO()
        Image.new("L", (4, 4), i % 256).save(buffer, "PNG")
        return buffer.getvalue()[: -20 if i in self.bad else None]

    def stream(self, fraction=0.2):
        source = Source("files", self.count, self, str, label=lambda i: i % 3)
        return load_canvases(source, CanvasSpec(4, 1), fraction, budget_bytes=0)


def taken(canvases, steps, start=0, shard=(0, 1)):
    found = []
    for batch in train_batches(canvases, 10, 1, start_step=start, steps=steps, shard=shard).as_numpy_iterator():
        np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], batch["index"] % 256)
        np.testing.assert_array_equal(batch["label"], batch["index"] % 3)
        found.append(batch["index"])
    return np.array(found)


@functools.cache
def undisturbed(steps, shard=(0, 1)):
    """What a stream that meets the unreadable files of BAD gives when nothing interrupts it."""
    return taken(fresh(Files(BAD)), steps, shard=shard)


def fresh(files, known=()):
    """A stream that knows of no unreadable files but these: as if its first look had not met any."""
    stream = files.stream()
    stream.expect_bad(known)
    return stream


@pytest.mark.parametrize("shard", [(0, 1), (1, 2)])
def test_an_epoch_entered_in_its_middle_goes_on_as_it_would_have(shard):
    whole = undisturbed(8, shard)
    for start in (3, 6):  # in the first epoch of four batches, and in the second
        before = fresh(Files(BAD))
        taken(before, start, shard=shard)
        rest = taken(fresh(Files(BAD), before.bad_indices), 8 - start, start, shard)
        np.testing.assert_array_equal(rest, whole[start:])


def test_a_file_that_comes_back_still_counts_as_unreadable():
    whole = undisturbed(8)
    before = fresh(Files(BAD))
    taken(before, 6)
    np.testing.assert_array_equal(taken(fresh(Files(), before.bad_indices), 2, 6), whole[6:])
    files = Files(BAD)
    stream = fresh(files)
    taken(stream, 4)
    met = stream.bad_indices
    files.bad.clear()
    assert met and not set(met) & set(taken(stream, 4, 4).ravel())


def test_files_that_went_bad_since_do_not_move_the_place():
    before = fresh(Files())
    passed = taken(before, 2)
    whole = taken(fresh(Files()), 4)
    went_bad = passed[0, :2]
    rest = taken(fresh(Files(went_bad), before.bad_indices), 2, 2)
    np.testing.assert_array_equal(rest, whole[2:])


def test_passed_images_are_not_read_nor_those_of_other_workers():
    files = Files(count=800)  # more than is read ahead
    stream = files.stream()
    whole = taken(stream, 43)
    for worker in range(2):
        files.reads.clear()
        rows = taken(stream, 3, 40, (worker, 2))
        np.testing.assert_array_equal(rows, whole[40:, 5 * worker : 5 * worker + 5])
        assert not set(files.reads) & {*whole[:40].ravel(), *whole[40:, 5 - 5 * worker : 10 - 5 * worker].ravel()}


def test_workers_never_share_an_image_within_an_epoch():
    rows = [taken(fresh(Files((3, 11))), 4, shard=(worker, 2)) for worker in range(2)]
    assert not set(rows[0].ravel()) & set(rows[1].ravel())
    assert not {3, 11} & {*rows[0].ravel(), *rows[1].ravel()}


def test_state_of_other_data_is_refused():
    with pytest.raises(ValueError, match="image number 48 could not be read then, and files has 48 images now"):
        Files().stream().expect_bad([2, 48])


def test_reasons_of_what_was_met_earlier_are_kept_where_they_are_known():
    stream = Files(BAD).stream()
    stream.expect_bad([3, 20])
    assert stream.bad == [("3", "truncated PNG"), ("20", "could not be read earlier in this run")]
