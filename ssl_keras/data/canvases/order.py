"""Which images an epoch takes in which order, and which of them are a worker's own."""

import numpy as np

from ssl_keras.errors import UserError


def epoch_order(seed: int, epoch: int, n: int) -> np.ndarray:
    """A permutation of 0..n-1 for one epoch: int64 [n], from the counter-based Philox generator keyed by both."""
    generator = np.random.Generator(np.random.Philox(key=[seed % 2**64, epoch]))
    return generator.permutation(n).astype(np.int64)


def own_part(order: np.ndarray, batch_size: int, shard: tuple[int, int]) -> np.ndarray:
    """A worker's images in the order of an epoch, int64 [M]; each image is one worker's.

    First its rows of each whole batch, then its share of the images that are left over: every count-th.

    Args:
        order: int64 [N].
        batch_size: the global one, a multiple of the number of workers.
        shard: (index, count) of the worker.
    """
    index, count = shard
    whole = len(order) // batch_size * batch_size
    rows = order[:whole].reshape(-1, count, batch_size // count)[:, index].ravel()
    return np.concatenate([rows, order[whole:][index::count]])


def rows_per_worker(batch_size: int, shard: tuple[int, int]) -> int:
    """Rows of each global batch that a worker gets.

    Raises:
        UserError: `shard` names no worker, or the batch cannot be divided equally.
    """
    index, count = shard
    if count < 1 or not 0 <= index < count:
        raise UserError(f"shard {shard}: expected (index, count) with an index from 0 to count - 1")
    if batch_size % count:
        raise UserError(
            f"batch size {batch_size} cannot be divided among {count} workers: "
            f"use a multiple of {count}, such as --batch_size={-(-batch_size // count) * count}"
        )
    return batch_size // count
