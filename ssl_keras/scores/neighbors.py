"""Exact nearest neighbors by cosine: matrix products on the device, the bank a piece at a time."""

import numpy as np
import tensorflow as tf

BANK_ROWS, QUERY_ROWS = 65_536, 512  # compared at a time: 128 MiB of similarities


def unit(x: np.ndarray) -> np.ndarray:
    """Rows [N, D] scaled to length 1, float32; a row of zeros stays one."""
    x = x / np.maximum(np.abs(x).max(axis=1, keepdims=True), np.finfo(x.dtype).tiny)  # so that no square underflows
    return (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def nearest(
    queries: np.ndarray, bank: np.ndarray, k: int, offset: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """The k rows of a bank that are nearest to each query, nearest first; of equals the first row.

    Nothing is approximate. The bank may lie on disk (`numpy.memmap`): it is read once, a piece at a time.

    Args:
        queries: [Q, D] of any lengths.
        bank: [N, D].
        k: of 1 to N.
        offset: what is subtracted from all rows first, such as their mean [D].

    Returns:
        Cosines float32 [Q, k], and rows of the bank int32 [Q, k].
    """
    if not 1 <= k <= len(bank):
        raise ValueError(f"k is {k}, and the bank has {len(bank)} rows")
    blocks = [tf.constant(unit(queries[i : i + QUERY_ROWS] - offset)) for i in range(0, len(queries), QUERY_ROWS)]
    best: list = [None] * len(blocks)
    for start in range(0, len(bank), BANK_ROWS):
        piece = tf.constant(unit(bank[start : start + BANK_ROWS] - offset))
        for number, block in enumerate(blocks):
            found = _nearest_of_piece(block, piece, tf.minimum(k, len(piece)), start)
            best[number] = found if start == 0 else _nearest_of_both(*best[number], *found, k)
    if not blocks:
        return np.zeros((0, k), np.float32), np.zeros((0, k), np.int32)
    return tuple(np.concatenate([part.numpy() for part in parts]) for parts in zip(*best))


def nearest_others(x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """`nearest` among the rows [N, D] themselves, each row itself left out; k is N - 1 at most."""
    cosines, rows = nearest(x, x, k + 1)
    own = rows == np.arange(len(x))[:, np.newaxis]
    own[~own.any(axis=1), k] = True  # of more than k equal rows it is not among the first
    return cosines[~own].reshape(-1, k), rows[~own].reshape(-1, k)


def nearest_of_other_groups(x: np.ndarray, groups: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """`nearest` among the rows [N, D] themselves, all rows of a row's own group left out.

    Args:
        groups: int [N].
        k: N - 1 at most.

    Returns:
        Cosines and rows [N, k]; -inf and -1 at the end where there are fewer.
    """
    largest = int(np.unique(groups, return_counts=True)[1].max())
    cosines, rows = nearest(x, x, min(k + largest, len(x)))
    own = groups[rows] == groups[:, np.newaxis]
    order = np.argsort(own, axis=1, kind="stable")[:, :k]  # the others first, nearest first
    own = np.take_along_axis(own, order, 1)
    cosines, rows = np.take_along_axis(cosines, order, 1), np.take_along_axis(rows, order, 1)
    return np.where(own, -np.inf, cosines), np.where(own, -1, rows)


@tf.function(autograph=False, reduce_retracing=True)
def _nearest_of_piece(block, piece, k, start):
    found = tf.math.top_k(tf.matmul(block, piece, transpose_b=True), k)
    return found.values, found.indices + start


@tf.function(autograph=False, reduce_retracing=True)
def _nearest_of_both(cosines, rows, more_cosines, more_rows, k):
    cosines, rows = tf.concat([cosines, more_cosines], 1), tf.concat([rows, more_rows], 1)
    found = tf.math.top_k(cosines, tf.minimum(k, tf.shape(cosines)[1]))  # of equals the first: the earlier piece
    return found.values, tf.gather(rows, found.indices, batch_dims=1)
