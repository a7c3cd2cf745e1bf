"""Canvases of data that does not fit in memory: decoded anew in each epoch, in the same order as if it did."""

import itertools
from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np
import tensorflow as tf

from ssl_keras.data.canvases.order import epoch_order, own_part, rows_per_worker
from ssl_keras.data.canvases.pipeline import BadFilesError, CanvasSpec, as_written, decoded, stop_if_too_many
from ssl_keras.data.reasons import list_bad
from ssl_keras.data.source import Source, subset
from ssl_keras.errors import UserError

SAMPLE = 512
MET_EARLIER = "could not be read earlier in this run"


class StreamedCanvases:
    """N images, decoded when they are needed.

    An unreadable image is passed over and the next readable one of the epoch's order takes its place; an
    epoch that comes out short starts its order over. An image that was met as unreadable once is not looked at
    again in later epochs, even if it comes back: so batches depend on the order, on the files, and on
    `bad_indices`, which is part of a run's state. (One thing it does not tell: that an image was still readable
    earlier in the epoch in which a run is interrupted. Where one went bad just then, the rest of this epoch may shift
    by a row.) The stream ends with a BadFilesError when too many are unreadable.

    Args:
        source: the images.
        spec: size, channels and dtype of the canvases.
        max_bad_fraction: how many of the images may be unreadable, 0 to 1.
    Raises:
        BadFilesError: nothing in an even sample of the images is readable, or too much is not.
    """

    def __init__(self, source: Source, spec: CanvasSpec, max_bad_fraction: float = 0.01):
        self.source, self.spec, self.max_bad_fraction = source, spec, max_bad_fraction
        self.class_names = source.class_names
        self.index = np.arange(len(source), dtype=np.int64)
        self.labels, self.groups = source.labels_if_fine, source.groups
        self._bad: dict[int, tuple[str, str]] = {}
        self._check_sample()

    def __len__(self) -> int:
        return len(self.source)

    def sample(self, n: int) -> np.ndarray:
        """Up to n readable images spread evenly over the data, float32 [n, S, S, C] in [0, 1], NaN in gaps; always the
        same."""
        rows = np.linspace(0, len(self) - 1, min(n, len(self))).astype(np.int64)
        stream = decoded(self.source, self.spec, tf.data.Dataset.range(len(rows)), lambda positions: rows[positions])
        images = np.stack([item["image"] for item in stream.as_numpy_iterator()])
        return self.spec.unit(images)

    def subset(self, rows: np.ndarray) -> "StreamedCanvases":
        """The images at some rows, in their order."""
        part = subset(self.source, rows, f"{self.source.name} ({len(rows)} of {len(self)})")
        return StreamedCanvases(part, self.spec, self.max_bad_fraction)

    @property
    def bad(self) -> list[tuple[str, str]]:
        """(description, reason) of the unreadable images met so far."""
        return [self._bad[i] for i in self.bad_indices]

    @property
    def bad_indices(self) -> list[int]:
        """The numbers of the unreadable images met so far, sorted."""
        return sorted(self._bad)

    def expect_bad(self, indices: Iterable[int]) -> None:
        """Takes over the `bad_indices` of an interrupted run (of several workers: all of theirs): these images and no
        others count as unreadable until the stream meets more.

        Raises:
            UserError: there is no image of that number.
            BadFilesError: they are too many.
        """
        indices = sorted({int(i) for i in indices})
        if indices and not 0 <= indices[0] <= indices[-1] < len(self):
            raise UserError(
                f"the data has changed since the run began: image number {indices[-1]} could not be read then, and "
                f"{self.source.name} has {len(self)} images now; bring the files back, or start a new run"
            )
        self._bad = {i: self._bad.get(i, (self.source.describe(i), MET_EARLIER)) for i in indices}
        self._stop_if_too_many()

    def train_batches(
        self, seed: int, batch_size: int, start_step: int = 0, shard: tuple[int, int] = (0, 1)
    ) -> tf.data.Dataset:
        """A worker's rows of the whole batches of one epoch after the other, without end.

        A worker reads its own part of an epoch alone, and an unreadable image is replaced by the next readable one of
        that part: without unreadable images the rows are exactly those of the batches of a single worker.

        Args:
            seed: of the order.
            batch_size: the global one.
            start_step: batches of the run that are passed; their images are not read. Which ones they were follows
                from the order and `bad_indices`, as all unreadable images before them have been met.
            shard: (index, count) of the worker.
        """
        n, rows = len(self), rows_per_worker(batch_size, shard)
        steps = n // batch_size
        first_epoch, first_batch = divmod(start_step, steps)
        begun: dict[int, tuple[int, list[int]]] = {}  # pass -> epoch, and what was unreadable at its beginning
        numbers = itertools.count()

        @lru_cache(maxsize=2)
        def part(number):
            epoch, bad = begun[number]
            own = own_part(epoch_order(seed, epoch, n), batch_size, shard)
            return own[~np.isin(own, bad)]

        def begin(epoch):
            number = next(numbers)
            begun[number] = int(epoch), self.bad_indices
            begun.pop(number - 16, None)  # more iterators than that are not at work at once
            if not len(part(number)):
                raise BadFilesError(self.bad, n, self.max_bad_fraction)
            return np.int64(number)

        def indices(positions):
            number = int(positions[0]) // (2 * n)
            own = part(number)
            return own[(positions - number * 2 * n) % len(own)]

        @as_written
        def epoch_batches(epoch):
            # Positions tell the pass through the data. Each has twice N, in case unreadable images leave it short.
            first = tf.ensure_shape(tf.numpy_function(begin, [epoch], tf.int64), []) * (2 * n)
            passed = tf.where(epoch == first_epoch, np.int64(first_batch), np.int64(0))
            positions = tf.data.Dataset.range(first + passed * rows, first + 2 * n)
            stream = decoded(self.source, self.spec, positions, indices, self._is_lost)
            stream = stream.take((steps - passed) * rows).batch(rows, drop_remainder=True)
            return self._accounted(stream, indices, first + passed * rows, first + 2 * n, (steps - passed) * rows)

        return tf.data.Dataset.counter(first_epoch).flat_map(epoch_batches)

    def batches_in_order(self, batch_size: int) -> tf.data.Dataset:
        """All images once, as stored; the last batch may be smaller."""
        n = tf.constant(len(self), tf.int64)
        stream = decoded(self.source, self.spec, tf.data.Dataset.range(n), lambda positions: positions, self._is_lost)
        return self._accounted(stream.batch(batch_size), lambda positions: positions, tf.zeros([], tf.int64), n, n)

    def _accounted(self, batches: tf.data.Dataset, indices: Callable, start, stop, wanted) -> tf.data.Dataset:
        """Batches with index and label; the positions that are missing between them are recorded as unreadable.

        Args:
            indices: positions int64 [K] -> numbers in the source [K].
            start, stop: int64 scalars, the positions that the batches were made from.
            wanted: int64 scalar, how many images they should hold. Where they hold fewer, all missing positions up to
                the last are unreadable: an end that is not told would let a run go on without images.
        """
        reached: dict[int, tuple[int, int]] = {}  # start -> next position, images so far

        def account(start, expected, positions):
            missing = np.setdiff1d(np.arange(expected, positions[-1] + 1), positions)
            self._record(indices(missing) if missing.size else [])
            images = 0 if expected == start else reached[int(start)][1]
            reached[int(start)] = int(positions[-1]) + 1, images + len(positions)
            chosen = indices(positions)
            return chosen, self.labels[chosen]

        def finish(start, stop, wanted):
            at, images = reached.pop(int(start), (int(start), 0))
            if images < wanted:
                missing = [] if self._is_lost() or at == stop else indices(np.arange(at, stop))
                self._record([*missing, *self.source.patient_read.given_up])
            return False

        @as_written
        def step(expected, batch):
            at = batch["position"]
            index, label = tf.numpy_function(account, [start, expected, at], [tf.int64, tf.int32])
            index, label = (tf.ensure_shape(value, at.shape) for value in (index, label))
            return at[-1] + 1, {"image": batch["image"], "size": batch["size"], "index": index, "label": label}

        @as_written
        def nothing(_):
            spec = accounted.element_spec
            return {key: tf.zeros([size or 0 for size in spec[key].shape], spec[key].dtype) for key in spec}

        accounted = batches.scan(start, step)
        @as_written
        def at_end(_):
            return tf.ensure_shape(tf.numpy_function(finish, [start, stop, wanted], tf.bool), [])

        end = tf.data.Dataset.range(1).filter(at_end)
        return accounted.concatenate(end.map(nothing))

    def _record(self, indices: Iterable[int]) -> None:
        new = [int(i) for i in indices if int(i) not in self._bad]
        if new:
            self._bad.update(zip(new, self._described(new)))
            self._stop_if_too_many()

    def _described(self, indices: Iterable[int]) -> list[tuple[str, str]]:
        return list_bad(self.source, indices)

    def _stop_if_too_many(self) -> None:
        stop_if_too_many(self.bad, len(self), self.max_bad_fraction)

    def _is_lost(self) -> bool:
        """Whether more files than may be were refused by the file system: trying the others would help nobody."""
        return len(self.source.patient_read.given_up) > self.max_bad_fraction * len(self)

    def _check_sample(self) -> None:
        """Without a first look, data with nothing readable in it would be searched for ever."""
        sample = np.unique(np.linspace(0, len(self) - 1, min(SAMPLE, len(self))).astype(np.int64))
        readable = self._readable(sample)
        self._record(np.delete(sample, readable))
        if not readable:
            raise BadFilesError(self.bad, len(sample), self.max_bad_fraction)

    def _readable(self, indices: np.ndarray) -> list[int]:
        """Which of the images can be read, as rows of `indices`."""
        stream = decoded(self.source, self.spec, tf.data.Dataset.range(len(indices)), lambda rows: indices[rows])
        return [int(row) for row in stream.map(as_written(lambda item: item["position"])).as_numpy_iterator()]
