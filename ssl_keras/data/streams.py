"""Canvases of data that does not fit in memory: decoded anew in each epoch, in the same order as if it did."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ssl_keras.data.decode import MAXIMUM
from ssl_keras.data.pipeline import BadFilesError, CanvasSpec, decoded, list_bad
from ssl_keras.data.source import Source, subset

SAMPLE = 512


class StreamedCanvases:
    """N images, decoded when they are needed.

    An unreadable image is passed over and the next readable one of the epoch's order takes its place; an
    epoch that comes out short starts its order over. So batches depend on the order and the files alone.
    `bad` grows as unreadable images are met, and the stream ends with a BadFilesError when they are too many.

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
        self.labels = np.full(len(source), -1, np.int32) if source.labels is None else source.labels
        self._bad: dict[int, tuple[str, str]] = {}
        self._check_sample()

    def __len__(self) -> int:
        return len(self.source)

    def sample(self, n: int) -> np.ndarray:
        """Up to n readable images spread evenly over the data, float32 [n, S, S, C] in [0, 1]; always the same."""
        rows = np.linspace(0, len(self) - 1, min(n, len(self))).astype(np.int64)
        stream = decoded(self.source, self.spec, tf.data.Dataset.range(len(rows)), lambda positions: rows[positions])
        images = np.stack([item["image"] for item in stream.as_numpy_iterator()])
        return images.astype(np.float32) / MAXIMUM[self.spec.dtype]

    def subset(self, rows: np.ndarray) -> "StreamedCanvases":
        """The images at some rows, in their order."""
        return StreamedCanvases(subset(self.source, rows), self.spec, self.max_bad_fraction)

    @property
    def bad(self) -> list[tuple[str, str]]:
        """(description, reason) of the unreadable images met so far."""
        return [self._bad[i] for i in sorted(self._bad)]

    def epoch_batches(self, order: Callable[[int], np.ndarray], epoch, batch_size: int) -> tf.data.Dataset:
        """All whole batches of one epoch.

        Args:
            order: epoch -> indices int64 [N].
            epoch: int64 scalar.
        """
        n = len(self)
        # Positions tell the epoch. Each has twice its order, in case unreadable images leave it short.
        start = 2 * n * epoch
        positions = tf.data.Dataset.range(start, start + 2 * n)

        def indices(positions):
            return order(int(positions[0]) // (2 * n))[positions % n]

        stream = decoded(self.source, self.spec, positions, indices)
        stream = stream.take(n // batch_size * batch_size).batch(batch_size, drop_remainder=True)
        return self._with_labels(stream, start, indices)

    def batches_in_order(self, batch_size: int) -> tf.data.Dataset:
        """All images once, as stored; the last batch may be smaller."""
        stream = decoded(self.source, self.spec, tf.data.Dataset.range(len(self)), lambda positions: positions)
        return self._with_labels(stream.batch(batch_size), 0, lambda positions: positions)

    def _with_labels(self, batches: tf.data.Dataset, start, indices: Callable) -> tf.data.Dataset:
        """Batches with index and label; the positions that are missing between them are recorded as unreadable."""

        def account(expected, positions):
            missing = np.setdiff1d(np.arange(expected, positions[-1] + 1), positions)
            if missing.size:
                self._record(indices(missing))
            chosen = indices(positions)
            return chosen, self.labels[chosen]

        def step(expected, batch):
            at = batch["position"]
            index, label = tf.numpy_function(account, [expected, at], [tf.int64, tf.int32])
            index, label = (tf.ensure_shape(value, at.shape) for value in (index, label))
            return at[-1] + 1, {"image": batch["image"], "size": batch["size"], "index": index, "label": label}

        return batches.scan(tf.cast(start, tf.int64), step)

    def _record(self, indices: np.ndarray) -> None:
        new = [int(i) for i in indices if int(i) not in self._bad]
        self._bad.update(zip(new, list_bad(self.source, new)))
        if len(self._bad) > self.max_bad_fraction * len(self):
            raise BadFilesError(self.bad, len(self), self.max_bad_fraction)

    def _check_sample(self) -> None:
        """Without a first look, data with nothing readable in it would be searched for ever."""
        sample = np.unique(np.linspace(0, len(self) - 1, min(SAMPLE, len(self))).astype(np.int64))
        stream = decoded(
            self.source, self.spec, tf.data.Dataset.range(len(sample)), lambda positions: sample[positions]
        )
        readable = [int(at) for at in stream.map(lambda item: item["position"]).as_numpy_iterator()]
        self._record(np.delete(sample, readable))
        if not readable:
            raise BadFilesError(self.bad, len(sample), self.max_bad_fraction)
