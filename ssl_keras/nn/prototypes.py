"""Prototypes: unit directions that embeddings are compared with, and their balanced assignment."""

import math

import keras
import tensorflow as tf

from ssl_keras import losses
from ssl_keras.nn import initializers


class Prototypes(keras.layers.Layer):
    """Cosine similarities of embeddings to learned directions: float [B, dim] -> float32 [B, count] in [-1, 1].

    It computes in float32 under mixed precision too.

    Args:
        count: number of prototypes (SwAV: 3000, DINO: 65,536).
        dim: dimension of the embeddings, which need not have unit length.
        weight_norm: True: every call divides the directions by their length, and the gradient goes through the division
            (DINO's weight-normed last layer with g = 1). False: they are used as they are, and `normalize` gives them
            unit length (SwAV).
        learn_length: whether each direction then gets a learned length, which starts at 1 (DINO's g). The similarities
            are then no longer cosines.
    """

    def __init__(self, count, dim, weight_norm=False, learn_length=False, name="prototypes", **kwargs):
        super().__init__(name=name, **{**kwargs, "dtype": "float32"})
        self.count, self.dim, self.weight_norm, self.learn_length = count, dim, weight_norm, learn_length
        self.directions = self.add_weight(
            shape=(count, dim), initializer=initializers.uniform_fan_in(dim, None, name), name="directions"
        )
        self.lengths = self.add_weight(shape=(count, 1), initializer="ones", name="lengths") if learn_length else None
        self.built = True

    def call(self, z):
        directions = tf.convert_to_tensor(self.directions)
        if self.weight_norm:
            directions = losses.l2_normalize(directions)
        if self.learn_length:
            directions *= tf.convert_to_tensor(self.lengths)
        return tf.matmul(losses.l2_normalize(z), directions, transpose_b=True)

    def normalize(self):
        """Gives every prototype unit length, in place."""
        self.directions.assign(losses.l2_normalize(self.directions))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.count)

    def get_config(self):
        own = {name: getattr(self, name) for name in ("count", "dim", "weight_norm", "learn_length")}
        return {**super().get_config(), **own}


def sinkhorn(scores, epsilon=0.05, iterations=3, used=None):
    """Soft assignments of samples to prototypes that use all prototypes alike (SwAV, arXiv:2006.09882, section 3.1).

    It starts from exp(scores / epsilon) and scales, in turn, each prototype's column and each sample's row to its
    share, `iterations` times (Sinkhorn and Knopp, 1967). It works on logarithms, so that no epsilon overflows.

    Args:
        scores: float32 [B, K]; no gradient flows back to them.
        epsilon: positive float: the smaller, the harder are the assignments.
        iterations: int.
        used: float32 [B], 1 for samples that count, 0 for those that leave the others' assignments as they are; None:
            all count.

    Returns:
        float32 [B, K]; rows sum to 1, columns, among the samples that count, to about their number over K.
    """
    log_q = tf.stop_gradient(scores) / epsilon
    absent = 0.0 if used is None else tf.math.log(used)[:, None]  # 0 or -inf
    for _ in range(iterations):
        log_q -= tf.reduce_logsumexp(log_q + absent, axis=0, keepdims=True)
        log_q -= tf.reduce_logsumexp(log_q, axis=1, keepdims=True)
    return tf.exp(log_q)


def code_signs(codes: tf.Tensor, predictions: tf.Tensor) -> dict[str, float]:
    """Numbers by which a collapse of codes is seen.

    Args:
        codes: of one view of some images, float [N, K]; rows sum to 1.
        predictions: of another view of the same images, float [N, K].

    Returns:
        `code_entropy`, the mean entropy of a code, of at most 1; `mean_code_entropy`, the entropy of the mean code, of
        about 1 at most (N images cannot fill more than N prototypes); `code_divergence`, KL(codes | predictions);
        `prototypes_used`, the share of prototypes that are some image's first, of those that N images could use.
    """
    codes, predictions = tf.cast(codes, tf.float32), tf.cast(predictions, tf.float32)
    count, number = codes.shape
    mean = tf.reduce_mean(codes, axis=0)
    used = len(set(tf.argmax(codes, axis=1).numpy().tolist()))
    most = math.log(min(count, number))
    divergence = tf.reduce_sum(codes * (_log(codes) - _log(predictions)), axis=1)
    return {
        "code_entropy": float(tf.reduce_mean(-tf.reduce_sum(codes * _log(codes), axis=1))) / math.log(number),
        "mean_code_entropy": float(-tf.reduce_sum(mean * _log(mean))) / most if most else 1.0,
        "code_divergence": float(tf.reduce_mean(divergence)),
        "prototypes_used": used / min(count, number),
    }


def _log(shares):
    return tf.math.log(tf.maximum(shares, 1e-12))
