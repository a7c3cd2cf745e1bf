"""Losses that several methods share: pure functions of embeddings, computed in float32.

They average over the rows of the replica that calls them; on several replicas the gradient of the global
mean is that of the local mean divided by the number of replicas, because optimizers add up the replicas'
gradients.

Similarities of a large batch to a long queue are made some rows at a time, and never held all at once.
"""

import tensorflow as tf

from ssl_keras import distribute

CHUNK = 2**22  # similarities that are held at a time, float32
MASKED = -1e9  # instead of a similarity that does not count


def l2_normalize(x):
    """x / ‖x‖₂ along the last axis, float32; a zero row stays zero and has a finite gradient."""
    return tf.math.l2_normalize(tf.cast(x, tf.float32), axis=-1, epsilon=1e-12)


def negative_cosine(p, z):
    """Mean over the rows of -cos(p, z), in [-1, 1] (SimSiam, eq. 1).

    Args:
        p, z: float [b, d], of any norm. No gradient is stopped here: the method does so where its paper does.
    """
    return -tf.reduce_mean(tf.reduce_sum(l2_normalize(p) * l2_normalize(z), axis=-1))


def info_nce(queries, positives, negatives, temperature, ids=None, negative_ids=None, constant_negatives=False):
    """The mean over the rows of InfoNCE (MoCo, arXiv:1911.05722, eq. 1): each query's own key told from the negatives.

    log(exp(q·p/T) + sum of exp(q·n/T) over the negatives n of other ids than the query's) - q·p/T. Where there are more
    than `CHUNK` similarities, they are made some rows at a time, and so is their gradient.

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
    b, count = queries.shape[0], negatives.shape[0]
    if b is None or count is None or b * count <= CHUNK:
        return _info_nce_at_once(queries, positives, negatives, temperature, ids, negative_ids)

    @tf.custom_gradient
    def in_chunks(queries, positives, negatives):
        loss, *gradients = _info_nce_in_chunks(
            queries, positives, negatives, temperature, ids, negative_ids, constant_negatives
        )
        return loss, lambda upstream: [None if g is None else upstream * g for g in gradients]

    return in_chunks(*map(tf.convert_to_tensor, (queries, positives, negatives)))


def _info_nce_at_once(queries, positives, negatives, temperature, ids, negative_ids):
    positive = tf.reduce_sum(queries * positives, axis=1, keepdims=True) / temperature
    logits = tf.concat([positive, _similarities(queries, negatives, temperature, ids, negative_ids)], axis=1)
    return tf.reduce_mean(tf.reduce_logsumexp(logits, axis=1) - logits[:, 0])


def _similarities(queries, negatives, temperature, ids, negative_ids):
    logits = tf.matmul(queries, negatives, transpose_b=True) / temperature
    return logits if ids is None else tf.where(ids[:, None] == negative_ids[None], MASKED, logits)


def _info_nce_in_chunks(queries, positives, negatives, temperature, ids, negative_ids, constant_negatives):
    """The loss, and its gradient with respect to queries, positives and negatives (None where those are constant).

    A row's softmax needs that row alone, so the gradient is taken while a chunk's softmax is at hand: nothing is made
    twice. Padding rows have weight 0.
    """
    b = queries.shape[0]
    by_row = [queries, positives, tf.fill([b], 1.0 / b), *([] if ids is None else [ids])]
    queries, positives, weights, *ids = (chunks(x, negatives.shape[0]) for x in by_row)
    number, rows, dim = queries.shape

    def body(i, loss, to_queries, to_positives, to_negatives):
        q, p, w = queries[i], positives[i], weights[i][:, None]
        logits = _similarities(q, negatives, temperature, ids[0][i] if ids else None, negative_ids)
        own = tf.reduce_sum(q * p, axis=1, keepdims=True) / temperature
        top = tf.maximum(tf.reduce_max(logits, axis=1, keepdims=True), own)
        exp, own_exp = tf.exp(logits - top), tf.exp(own - top)
        total = tf.reduce_sum(exp, axis=1, keepdims=True) + own_exp
        loss += tf.reduce_sum(w * (tf.math.log(total) + top - own))
        exp *= w / (total * temperature)  # dL/d(q·n)
        to_own = (own_exp / total - 1.0) * w / temperature  # dL/d(q·p)
        to_queries = to_queries.write(i, tf.matmul(exp, negatives) + to_own * p)
        to_positives = to_positives.write(i, to_own * q)
        if not constant_negatives:
            to_negatives += tf.matmul(exp, q, transpose_a=True)
        return i + 1, loss, to_queries, to_positives, to_negatives

    def rows_of_all():
        return tf.TensorArray(tf.float32, number, element_shape=[rows, dim])

    to_negatives = tf.zeros([]) if constant_negatives else tf.zeros(negatives.shape)
    _, loss, to_queries, to_positives, to_negatives = tf.while_loop(
        lambda i, *_: i < number,
        body,
        (tf.constant(0), tf.constant(0.0), rows_of_all(), rows_of_all(), to_negatives),
        parallel_iterations=1,
        maximum_iterations=number,
    )
    by_row = (tf.reshape(array.stack(), [-1, dim])[:b] for array in (to_queries, to_positives))
    return loss, *by_row, None if constant_negatives else to_negatives


def chunks(x, columns):
    """Rows cut into equal chunks, of at most `CHUNK` similarities to `columns` others each; zeros fill the last one up.

    Args:
        x: [b, ...], b known statically.
        columns: int.

    Returns:
        [number, rows, ...]; number · rows is b or a little more.
    """
    b = x.shape[0]
    number = -(-b * columns // CHUNK)
    rows = -(-b // min(number, b))
    number = -(-b // rows)
    padded = tf.pad(x, [[0, number * rows - b], *[[0, 0]] * (len(x.shape) - 1)])
    return tf.reshape(padded, [number, rows, *x.shape[1:]])


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
    z1, z2 = l2_normalize(z1), l2_normalize(z2)
    everything = tf.concat([distribute.gather(z1), distribute.gather(z2)], axis=0)
    b = tf.shape(z1)[0]
    mine = distribute.replica_id() * b + tf.range(b)  # places of this replica's images in the global batch
    all_places = tf.range(distribute.num_replicas() * b)
    return info_nce(
        tf.concat([z1, z2], axis=0),
        tf.concat([z2, z1], axis=0),
        everything,
        temperature,
        ids=tf.tile(mine, [2]),  # an image's own two views are no negatives
        negative_ids=tf.tile(all_places, [2]),
    )
