"""Losses that several methods share: pure functions of embeddings, computed in float32.

A loss is the mean over the rows of the replica that calls it. On several replicas the gradient of the global mean is
that of the local mean divided by the number of replicas, because optimizers add up the replicas' gradients.

In shapes, b is this replica's images, B the global batch, d the dimension of an embedding.
"""

import tensorflow as tf

from ssl_keras import chunked_loss, distribute
from ssl_keras.chunked_loss import MASKED


def l2_normalize(x):
    """x / ‖x‖₂ along the last axis, float32; a zero row stays zero and has a finite gradient."""
    return tf.math.l2_normalize(tf.cast(x, tf.float32), axis=-1, epsilon=1e-12)


def negative_cosine(p, z):
    """Mean over the rows of -cos(p, z), in [-1, 1] (SimSiam, eq. 1).

    Args:
        p, z: float [b, d], of any norm. No gradient is stopped here: the method does so where its paper does.
    """
    return -tf.reduce_mean(tf.reduce_sum(l2_normalize(p) * l2_normalize(z), axis=-1))


def nt_xent(z1, z2, temperature):
    """The normalized temperature-scaled cross entropy (SimCLR, arXiv:2002.05709, eq. 1 and Algorithm 1).

    The mean over all 2b anchors of this replica, each told from the 2B - 2 negatives of the *global* batch. The
    gradient flows through every embedding. (SimCLR's released code returns the sum of the two views' means: twice
    this.)

    Args:
        z1, z2: float [b, d], projections of the two views of this replica's images, of any norm.
        temperature: positive float.

    Returns:
        float32 scalar; log(2B - 1) where all similarities are equal.
    """
    z1, z2 = l2_normalize(z1), l2_normalize(z2)  # [b, d]
    anchors = tf.concat([z1, z2], axis=0)  # [2b, d]
    positives = tf.concat([z2, z1], axis=0)  # [2b, d], the other view of each anchor's image
    everything = tf.concat([distribute.gather(z1), distribute.gather(z2)], axis=0)  # [2B, d]
    b = tf.shape(z1)[0]
    mine = distribute.replica_id() * b + tf.range(b)  # [b], rows of the global batch that are this replica's
    image = tf.tile(mine, [2])  # [2b], the image of each anchor
    images = tf.tile(tf.range(distribute.num_replicas() * b), [2])  # [2B], the image of each view
    if not chunked_loss.fits(anchors.shape[0], everything.shape[0]):
        return chunked_loss.info_nce(anchors, positives, everything, temperature, image, images)

    positive = tf.reduce_sum(anchors * positives, axis=1, keepdims=True) / temperature  # [2b, 1]
    similarities = tf.matmul(anchors, everything, transpose_b=True) / temperature  # [2b, 2B]
    negatives = tf.where(image[:, None] == images[None], MASKED, similarities)  # an image's own views are none
    logits = tf.concat([positive, negatives], axis=1)  # [2b, 1 + 2B]
    return tf.reduce_mean(tf.reduce_logsumexp(logits, axis=1) - logits[:, 0])


def info_nce(queries, positives, negatives, temperature, ids=None, negative_ids=None, constant_negatives=False):
    """The mean over the rows of InfoNCE (MoCo, arXiv:1911.05722, eq. 1): each query's own key told from the negatives.

    log(exp(q·p/T) + sum of exp(q·n/T) over the negatives n of other ids than the query's) - q·p/T.

    Args:
        queries, positives: float32 [b, d], of this replica; row i of one belongs to row i of the other.
        negatives: float32 [K, d], for all queries.
        temperature: positive float.
        ids: int [b]; negatives that have the query's id do not count for it. None: all count.
        negative_ids: int [K], where there are `ids`.
        constant_negatives: whether the negatives get no gradient, such as those of a queue: it saves a third.

    Returns:
        float32 scalar; log(1 + K) where all similarities are equal and all negatives count.
    """
    if constant_negatives:
        negatives = tf.stop_gradient(negatives)
    if ids is not None:
        ids, negative_ids = tf.cast(ids, tf.int64), tf.cast(negative_ids, tf.int64)
    if not chunked_loss.fits(queries.shape[0], negatives.shape[0]):
        return chunked_loss.info_nce(queries, positives, negatives, temperature, ids, negative_ids, constant_negatives)

    positive = tf.reduce_sum(queries * positives, axis=1, keepdims=True) / temperature  # [b, 1]
    similarities = tf.matmul(queries, negatives, transpose_b=True) / temperature  # [b, K]
    if ids is not None:
        similarities = tf.where(ids[:, None] == negative_ids[None], MASKED, similarities)
    logits = tf.concat([positive, similarities], axis=1)  # [b, 1 + K]
    return tf.reduce_mean(tf.reduce_logsumexp(logits, axis=1) - logits[:, 0])
