"""Canvases -> batches: {"image": [B, S, S, C], "size": float32 [B, 2], "index": int64 [B], "label": int32
[B]}.

`index` is an image's row among the canvases, 0 to N - 1, so that it can number the rows of a memory bank; the
canvases' own `index` tells its number in the source.

The order of an epoch is a function of the seed and the epoch's number alone, so an interrupted run that
starts again at an epoch sees the batches that it would have seen.
"""

from functools import lru_cache

import numpy as np
import tensorflow as tf

from ssl_keras.data.canvases import Canvases
from ssl_keras.data.streams import StreamedCanvases


def epoch_order(seed: int, epoch: int, n: int) -> np.ndarray:
    """A permutation of 0..n-1 for one epoch: int64 [n], from the counter-based Philox generator keyed by both."""
    generator = np.random.Generator(np.random.Philox(key=[seed % 2**64, epoch]))
    return generator.permutation(n).astype(np.int64)


def steps_per_epoch(canvases: Canvases | StreamedCanvases, batch_size: int) -> int:
    """Whole batches in an epoch; the images left over take part in another epoch's batches, as the order
    changes.

    Raises:
        ValueError: the data has fewer images than a batch.
    """
    if batch_size < 1:
        raise ValueError(f"batch size {batch_size}: expected 1 or more")
    if batch_size > len(canvases):
        raise ValueError(
            f"batch size {batch_size} is larger than the data, {len(canvases)} images: "
            f"use --batch_size={len(canvases)} or less, or more images"
        )
    return len(canvases) // batch_size


def train_batches(
    canvases: Canvases | StreamedCanvases,
    batch_size: int,
    seed: int,
    start_epoch: int = 0,
    epochs: int | None = None,
) -> tf.data.Dataset:
    """Whole batches of shuffled images, epoch after epoch, each image at most once in an epoch.

    Args:
        batch_size: the global one, over all replicas; replica r of R gets rows r·B/R to (r+1)·B/R.
        seed: of the order.
        start_epoch: number of the first epoch.
        epochs: how many epochs (default: no end).
    """
    steps = steps_per_epoch(canvases, batch_size)
    n = len(canvases)
    order = lru_cache(maxsize=2)(lambda epoch: epoch_order(seed, epoch, n))

    if isinstance(canvases, StreamedCanvases):
        numbers = _numbers(start_epoch, epochs)
        dataset = numbers.flat_map(lambda epoch: canvases.epoch_batches(order, epoch, batch_size))
        if epochs is not None:
            dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps * epochs))
    else:

        def rows(step):
            first = step % steps * batch_size
            return order(int(step // steps))[first : first + batch_size]  # [B]

        numbers = _numbers(start_epoch * steps, None if epochs is None else epochs * steps)
        dataset = _gathered(canvases, numbers, rows, batch_size)
    return dataset.with_options(_options()).prefetch(4)


def eval_batches(canvases: Canvases | StreamedCanvases, batch_size: int) -> tf.data.Dataset:
    """All images once, in their stored order; the last batch may be smaller."""
    if isinstance(canvases, StreamedCanvases):
        dataset = canvases.batches_in_order(batch_size)
    else:

        def rows(step):
            return np.arange(step * batch_size, min((step + 1) * batch_size, len(canvases)))

        dataset = _gathered(canvases, tf.data.Dataset.range(-(-len(canvases) // batch_size)), rows, None)
    return dataset.with_options(_options()).prefetch(4)


def _numbers(start: int, count: int | None) -> tf.data.Dataset:
    return tf.data.Dataset.counter(start) if count is None else tf.data.Dataset.range(start, start + count)


def _gathered(canvases: Canvases, numbers: tf.data.Dataset, rows, batch_size: int | None) -> tf.data.Dataset:
    """Batches of canvases in memory: one NumPy gather per batch, no work per image."""

    def gather(number):
        chosen = rows(number)
        return canvases.images[chosen], canvases.sizes[chosen], chosen, canvases.labels[chosen]

    def batch(number):
        image, size, index, label = tf.numpy_function(
            gather, [number], [canvases.images.dtype, tf.float32, tf.int64, tf.int32], stateful=False
        )
        return {
            "image": tf.ensure_shape(image, [batch_size, *canvases.spec.shape]),
            "size": tf.ensure_shape(size, [batch_size, 2]),
            "index": tf.ensure_shape(index, [batch_size]),
            "label": tf.ensure_shape(label, [batch_size]),
        }

    return numbers.map(batch, num_parallel_calls=2)


def _options() -> tf.data.Options:
    options = tf.data.Options()
    # Batches come from this process's memory: there are no files that replicas could divide among themselves.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
