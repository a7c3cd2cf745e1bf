"""Losses that several methods share: pure functions of embeddings, computed in float32.

They average over the rows of the replica that calls them; on several replicas the gradient of the global
mean is that of the local mean divided by the number of replicas, because optimizers add up the replicas'
gradients.
"""

import tensorflow as tf

from ssl_keras import distribute


def l2_normalize(x):
    """x / ‖x‖₂ along the last axis, float32; a zero row stays zero and has a finite gradient."""
    return tf.math.l2_normalize(tf.cast(x, tf.float32), axis=-1, epsilon=1e-12)


def negative_cosine(p, z):
    """Mean over the rows of -cos(p, z), in [-1, 1] (SimSiam, eq. 1).

    Args:
        p, z: float [b, d], of any norm. No gradient is stopped here: the method does so where its paper does.
    """
    return -tf.reduce_mean(tf.reduce_sum(l2_normalize(p) * l2_normalize(z), axis=-1))


def info_nce(positive, negatives, temperature):
    """The mean over the rows of InfoNCE (MoCo, arXiv:1911.05722, eq. 1): one positive told from K negatives.

    Args:
        positive: float32 [b, 1], each query's similarity to its own key.
        negatives: float32 [b, K], to the others.
        temperature: positive float.
    """
    logits = tf.concat([positive, negatives], axis=1) / temperature
    return tf.reduce_mean(tf.reduce_logsumexp(logits, axis=1) - logits[:, 0])


def nt_xent(z1, z2, temperature):
    """The normalized temperature-scaled cross entropy (SimCLR, arXiv:2002.05709, eq. 1 and Algorithm 1).

    The mean over all 2b anchors of this replica, each told from the 2B - 2 negatives of the *global* batch;
    the gradient flows through every embedding. (SimCLR's released code returns the sum of the two views'
    means: twice this.)

    Args:
        z1, z2: float [b, d], projections of the two views of this replica's images, of any norm.
        temperature: positive float.

    Returns:
        float32 scalar; log(2B - 1) where all similarities are equal.
    """
    logits, labels = nt_xent_logits(z1, z2, temperature)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def nt_xent_logits(z1, z2, temperature):
    """Similarities of this replica's 2b anchors to the global batch's embeddings, and the positives' places.

    Args:
        z1, z2, temperature: as for `nt_xent`.

    Returns:
        logits: float32 [2b, 2B], cosine / temperature; an anchor's similarity to itself is masked out.
        labels: int32 [2b], the column of each anchor's other view.
    """
    z1, z2 = l2_normalize(z1), l2_normalize(z2)
    global_z1, global_z2 = distribute.gather(z1), distribute.gather(z2)
    b, global_b = tf.shape(z1)[0], tf.shape(global_z1)[0]

    anchors = tf.concat([z1, z2], 0)
    logits = tf.matmul(anchors, tf.concat([global_z1, global_z2], 0), transpose_b=True) / temperature
    column = tf.range(b) + distribute.replica_id() * b  # of this replica's rows within the global batch
    self_column = tf.concat([column, column + global_b], 0)
    labels = tf.concat([column + global_b, column], 0)
    is_self = tf.one_hot(self_column, 2 * global_b, on_value=True, off_value=False, dtype=tf.bool)
    return tf.where(is_self, -1e9, logits), labels
