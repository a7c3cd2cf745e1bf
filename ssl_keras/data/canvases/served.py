"""Canvases that other processes decode: a tf.data service reads and decodes the files, this process collects them."""

import os
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from ssl_keras.data.canvases.order import rows_per_worker
from ssl_keras.data.canvases.pipeline import CanvasSpec, as_written, canvas, decode
from ssl_keras.data.canvases.servers import check_answer, distributed
from ssl_keras.data.canvases.streams import StreamedCanvases
from ssl_keras.data.formats.transcode import needs_python
from ssl_keras.data.reasons import list_bad
from ssl_keras.data.source import Places, Source
from ssl_keras.errors import UserError

CHUNK = 256  # images whose decoding is set up together, which takes tenths of a second
AT_ONCE = 4  # chunks that a worker decodes at the same time
TIFF_SUFFIXES = (".tif", ".tiff")
NEEDS_PYTHON = (
    "a TIFF, animated WebP or BMP with a palette, masks or compression, which a data service cannot decode: "
    "save it as PNG, or leave --data_service out"
)
NOT_THERE = "readable here, but not by the data service: its workers must see the same paths"


class ServedCanvases(StreamedCanvases):
    """N images, whose training batches a tf.data service decodes; other looks at them decode here.

    Workers read the files themselves, under the same paths as this process, in TensorFlow operations alone: no
    retries, and no TIFF, odd BMP or animated WebP. What is exact with a service and what is not:

    * Values: as without it. Unreadable files: passed over, named, counted and limited as in any stream; but each epoch
      tries them again.
    * An epoch's order is a function of the seed and the epoch's number (another one than without a service). With one
      worker, batches come in it; several workers race, so that what a batch holds changes from run to run, and
      batches about the end of an epoch hold images of the next.
    * Each image is handed out once an epoch, but for the remainder of the last batch. A worker process that dies loses
      the images that it had; the others go on.
    * A resumed run goes on at its step of this order. With one worker and no unreadable files these are the batches
      that would have come; otherwise some images of this epoch may come twice, or not at all.

    Args:
        source: images in files (`places`).
        address: grpc://host:port of the service's dispatcher.
    Raises:
        UserError: the source has no files to read, or the service does not answer.
        BadFilesError: too many are unreadable, or can be decoded only in Python.
    """

    def __init__(self, source: Source, spec: CanvasSpec, max_bad_fraction: float, address: str):
        if source.places is None:
            raise UserError(
                f"{source.name}: a data service reads folder:, tfrecord: and tfds: data; leave it out here"
            )
        # Names tell most of the files that need Python, before hours of training come upon them.
        paths = source.places.paths
        tiff = [i for i, file in enumerate(source.places.file) if paths[file].lower().endswith(TIFF_SUFFIXES)]
        if len(tiff) > max_bad_fraction * len(source):
            raise UserError(
                f"{len(tiff)} of {len(source)} images are TIFF files, which a data service cannot decode: "
                "save them as PNG, or leave --data_service out"
            )
        check_answer(address)
        self.address = address
        self._read = reader(source.places)
        super().__init__(source, spec, max_bad_fraction)
        self._record([i for i in tiff if self._described_one(i)[1] == NEEDS_PYTHON])

    def train_batches(
        self, seed: int, batch_size: int, start_step: int = 0, shard: tuple[int, int] = (0, 1)
    ) -> tf.data.Dataset:
        """As without a service, but for what the class says of order and position."""
        n, rows = len(self), rows_per_worker(batch_size, shard)
        steps = n // batch_size
        size = max(k for k in range(1, CHUNK + 1) if rows % k == 0)
        chunks = rows // size  # per batch

        @tf.function(input_signature=[tf.TensorSpec([], tf.int64)], autograph=False)
        def indices(number):
            step = number // chunks
            key = tf.stack([tf.constant(seed % 2**63, tf.int64), step // steps])
            first = step % steps * batch_size + shard[0] * rows + number % chunks * size
            return tf.random.experimental.index_shuffle(first + tf.range(size, dtype=tf.int64), key, np.int64(n - 1))

        @as_written
        def square(index):
            return {"index": index, **self._canvas(index)}

        @as_written
        def chunk(number):
            images = tf.data.Dataset.from_tensor_slices(indices(number))
            images = images.map(square, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors(log_warning=False)
            # A row that names the chunk, so that one of which nothing could be read arrives as well.
            name = {"index": -1 - number, "image": tf.zeros(self.spec.shape, self.spec.dtype), "size": tf.zeros([2])}
            return tf.data.Dataset.from_tensors(name).concatenate(images).batch(size + 1)

        def account(index):
            expected = indices(tf.constant(-1 - index[0], tf.int64)).numpy()
            self._record(np.setdiff1d(expected, index[1:]))
            return self.labels[index[1:]]

        @as_written
        def collected(rows):
            label = tf.ensure_shape(tf.numpy_function(account, [rows["index"]], tf.int32), [None])
            # Copied: TensorFlow writes a line to the log for each batch that it makes of slices.
            images = tf.range(1, tf.size(rows["index"]))
            return {key: tf.gather(value, images) for key, value in rows.items()} | {"label": label}

        first = start_step * chunks
        numbers = tf.data.Dataset.range(first, first + 2**48)
        decoded = numbers.interleave(chunk, cycle_length=AT_ONCE, num_parallel_calls=AT_ONCE, deterministic=True)
        batches = distributed(decoded, self.address).map(collected)
        batches = batches.filter(as_written(lambda rows: tf.size(rows["label"]) > 0))
        return batches.rebatch(rows, drop_remainder=True)

    def _readable(self, indices: np.ndarray) -> list[int]:
        dataset = tf.data.Dataset.range(len(indices)).map(
            as_written(lambda at: (at, self._canvas(tf.gather(indices, at)))), num_parallel_calls=tf.data.AUTOTUNE
        )
        found = dataset.ignore_errors(log_warning=False).map(as_written(lambda at, canvas: at))
        return [int(at) for at in found.as_numpy_iterator()]

    def _canvas(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        image = decode(self._read(index), self.spec)
        return {"image": canvas(image, self.spec), "size": tf.cast(tf.shape(image)[:2], tf.float32)}

    def _described(self, indices: Iterable[int]) -> list[tuple[str, str]]:
        return [self._described_one(i) for i in indices]

    def _described_one(self, i: int) -> tuple[str, str]:
        try:
            encoded = self._read(tf.constant(i, tf.int64))
            if needs_python(encoded.numpy()):
                return self.source.describe(i), NEEDS_PYTHON
            decode(encoded, self.spec)
        except tf.errors.OpError:
            return list_bad(self.source, [i])[0]
        return self.source.describe(i), NOT_THERE


def reader(places: Places) -> Callable[[tf.Tensor], tf.Tensor]:
    """number of an image, int64 scalar -> its encoded bytes, string scalar, in graph operations."""
    used, file = np.unique(places.file, return_inverse=True)
    names = [places.paths[i] for i in used]
    with tf.device("CPU"):
        path, holder = tf.constant(names), tf.constant(file, tf.int64)
    if places.spans is None:
        return lambda i: tf.io.read_file(tf.gather(path, tf.gather(holder, i)))
    sizes = np.array([os.path.getsize(name) for name in names], np.int64)
    at, length = places.spans.T
    with tf.device("CPU"):
        spans = tf.constant(np.stack([length, at, sizes[file] - at - length], 1))  # record, bytes before and after it

    def record(i):
        # A file of one record, between a head and a tail that are skipped: a read at an offset.
        found = tf.data.FixedLengthRecordDataset(
            tf.gather(path, tf.gather(holder, i)), *tf.unstack(tf.gather(spans, i), num=3)
        )
        features = {places.feature: tf.io.FixedLenFeature([], tf.string)}
        return tf.io.parse_single_example(found.get_single_element(), features)[places.feature]

    return record
