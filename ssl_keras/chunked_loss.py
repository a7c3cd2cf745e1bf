"""InfoNCE over many similarities: made some rows at a time, and never held all at once.

`losses` computes the plain formulas, and hands over to this module where `fits` says that they need too much memory.
The gradient is taken here too: TensorFlow's own would keep every row's similarities until the end.
"""

import tensorflow as tf

CHUNK = 2**22  # similarities that are held at a time, float32
MASKED = -1e9  # stands in for a similarity that does not count


def fits(rows, columns):
    """Whether rows x columns similarities are few enough to be held at once; true where a number is not known."""
    return rows is None or columns is None or rows * columns <= CHUNK


def info_nce(queries, positives, negatives, temperature, ids=None, negative_ids=None, constant_negatives=False):
    """`losses.info_nce`, same arguments and result, with all shapes known statically."""

    @tf.custom_gradient
    def in_chunks(queries, positives, negatives):
        loss, *gradients = _value_and_gradients(
            queries, positives, negatives, temperature, ids, negative_ids, constant_negatives
        )
        return loss, lambda upstream: [None if g is None else upstream * g for g in gradients]

    return in_chunks(*map(tf.convert_to_tensor, (queries, positives, negatives)))


def _value_and_gradients(queries, positives, negatives, temperature, ids, negative_ids, constant_negatives):
    """The loss, and its gradient with respect to queries, positives and negatives (None where those are constant).

    A row's softmax needs that row alone, so the gradient is taken while a chunk's softmax is at hand: nothing is
    computed twice. Rows that only fill up the last chunk have weight 0.
    """
    b = queries.shape[0]
    by_row = [queries, positives, tf.fill([b], 1.0 / b), *([] if ids is None else [ids])]
    queries, positives, weights, *ids = (chunks(x, negatives.shape[0]) for x in by_row)
    number, rows, dim = queries.shape

    def body(i, loss, to_queries, to_positives, to_negatives):
        q, p, w = queries[i], positives[i], weights[i][:, None]  # [r, d], [r, d], [r, 1]; r rows make a chunk
        logits = tf.matmul(q, negatives, transpose_b=True) / temperature  # [r, K]
        if ids:
            logits = tf.where(ids[0][i][:, None] == negative_ids[None], MASKED, logits)
        own = tf.reduce_sum(q * p, axis=1, keepdims=True) / temperature  # [r, 1]
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
    """Cuts rows into equal chunks of at most `CHUNK` similarities to `columns` others; zeros fill up the last chunk.

    Args:
        x: [b, ...], b known statically.
        columns: int, how many others each row is compared with.

    Returns:
        [number, rows, ...]; number · rows is b or a little more.
    """
    b = x.shape[0]
    number = -(-b * columns // CHUNK)
    rows = -(-b // min(number, b))
    number = -(-b // rows)
    padded = tf.pad(x, [[0, number * rows - b], *[[0, 0]] * (len(x.shape) - 1)])
    return tf.reshape(padded, [number, rows, *x.shape[1:]])
