"""Canvases -> batches: {"image": [B, S, S, C], "size": float32 [B, 2], "index": int64 [B], "label": int32 [B]}, and
with partners "partner" and "partner_size", another image for each and its size.

`index` is an image's row among the canvases, 0 to N - 1, so that it can number the rows of a memory bank; the
canvases' own `index` tells its number in the source.

The order of an epoch is a function of the seed and the epoch's number alone, so an interrupted run that
starts again at a step sees the batches that it would have seen.
"""

from functools import lru_cache

import numpy as np
import tensorflow as tf

from ssl_keras.data.canvases.memory import Canvases
from ssl_keras.data.canvases.order import epoch_order, rows_per_worker
from ssl_keras.data.canvases.partners import Partners
from ssl_keras.data.canvases.pipeline import as_written
from ssl_keras.data.canvases.streams import StreamedCanvases
from ssl_keras.errors import UserError


def steps_per_epoch(canvases: Canvases | StreamedCanvases, batch_size: int) -> int:
    """Whole batches in an epoch; the images left over take part in another epoch's batches, as the order
    changes.

    Raises:
        UserError: the data has fewer images than a batch.
    """
    if batch_size < 1:
        raise UserError(f"batch size {batch_size}: expected 1 or more")
    if batch_size > len(canvases):
        raise UserError(
            f"batch size {batch_size} is larger than the data, {len(canvases)} images: "
            f"use --batch_size={len(canvases)} or less, or more images"
        )
    return len(canvases) // batch_size


def train_batches(
    canvases: Canvases | StreamedCanvases,
    batch_size: int,
    seed: int | None,
    start_step: int = 0,
    steps: int | None = None,
    shard: tuple[int, int] = (0, 1),
    partners: Partners | None = None,
) -> tf.data.Dataset:
    """Whole batches of shuffled images, epoch after epoch, each image at most once in an epoch.

    With several workers, worker `index` of `count` gets rows index·B/count to (index+1)·B/count of every batch, with
    the values that they have in the undivided one, and reads no others. Over all workers each image still comes at
    most once in an epoch. Where streamed images are unreadable, a worker replaces its own by others of its own, so
    that its rows and the undivided batch's then hold different images.

    Args:
        batch_size: the global one, over all workers and replicas; replica r of R gets rows r·B/R to (r+1)·B/R.
        seed: of the order; None, for canvases in memory: the order in which they are stored.
        start_step: batches of the run that are passed, since its beginning; epoch start_step // steps_per_epoch is
            entered in its middle, and the images passed are not decoded. For streamed images `expect_bad` comes first.
        steps: how many batches (default: no end).
        shard: (index, count) of the worker.
        partners: of canvases in memory; None: none.
    Raises:
        UserError: a batch is larger than the data, or not a multiple of the number of workers.
    """
    whole = steps_per_epoch(canvases, batch_size)
    rows = rows_per_worker(batch_size, shard)
    if isinstance(canvases, StreamedCanvases):
        dataset = canvases.train_batches(seed, batch_size, start_step, shard)
        if steps is not None:
            dataset = dataset.take(steps).apply(tf.data.experimental.assert_cardinality(steps))
    else:
        stored = np.arange(len(canvases))
        partner = lru_cache(maxsize=2)(lambda epoch: partners.of_epoch(epoch))
        order = lru_cache(maxsize=2)(lambda epoch: stored if seed is None else epoch_order(seed, epoch, len(canvases)))

        def chosen(step):
            epoch, batch = divmod(int(step), whole)
            first = batch * batch_size + shard[0] * rows
            mine = order(epoch)[first : first + rows]  # [B / count]
            return (mine,) if partners is None else (mine, partner(epoch)[mine])

        numbers = tf.data.Dataset.counter(start_step)
        numbers = numbers if steps is None else numbers.take(steps)
        dataset = _gathered(canvases, numbers, chosen, rows, partners is not None)
    return dataset.with_options(_options()).prefetch(4)


def eval_batches(canvases: Canvases | StreamedCanvases, batch_size: int) -> tf.data.Dataset:
    """All images once, in their stored order; the last batch may be smaller."""
    if isinstance(canvases, StreamedCanvases):
        dataset = canvases.batches_in_order(batch_size)
    else:

        def rows(step):
            return (np.arange(step * batch_size, min((step + 1) * batch_size, len(canvases))),)

        dataset = _gathered(canvases, tf.data.Dataset.range(-(-len(canvases) // batch_size)), rows, None)
    return dataset.with_options(_options()).prefetch(4)


def sample(canvases: Canvases | StreamedCanvases, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Up to n readable images spread evenly over the data, as stored [n, S, S, C], and their true sizes [n, 2]; the
    same ones each time."""
    rows = np.unique(np.linspace(0, len(canvases) - 1, min(n, len(canvases))).astype(np.int64))
    found = list(eval_batches(canvases.subset(rows), 256).as_numpy_iterator())
    return np.concatenate([batch["image"] for batch in found]), np.concatenate([batch["size"] for batch in found])


def _gathered(
    canvases: Canvases, numbers: tf.data.Dataset, rows, batch_size: int | None, paired: bool = False
) -> tf.data.Dataset:
    """Batches of canvases in memory: one NumPy gather per batch, or two, and no work per image.

    Args:
        rows: number of a batch -> (rows of its images,), or these and the rows of their partners where `paired`.
    """
    kinds = {"image": canvases.images.dtype, "size": tf.float32, "index": tf.int64, "label": tf.int32}
    shapes = {"image": canvases.spec.shape, "size": (2,), "index": (), "label": ()}
    if paired:
        kinds |= {"partner": kinds["image"], "partner_size": kinds["size"]}
        shapes |= {"partner": shapes["image"], "partner_size": shapes["size"]}

    def gather(number):
        chosen, *others = rows(number)
        found = [canvases.images[chosen], canvases.sizes[chosen], chosen, canvases.labels[chosen]]
        return found + [array[other] for other in others for array in (canvases.images, canvases.sizes)]

    @as_written
    def batch(number):
        found = tf.numpy_function(gather, [number], list(kinds.values()), stateful=False)
        named = zip(kinds, found, strict=True)
        return {name: tf.ensure_shape(value, [batch_size, *shapes[name]]) for name, value in named}

    return numbers.map(batch, num_parallel_calls=2)


def _options() -> tf.data.Options:
    options = tf.data.Options()
    # Batches come from this process's memory: there are no files that replicas could divide among themselves.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
