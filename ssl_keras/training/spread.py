"""The spread of projections, by which a complete collapse is seen: `z_std`."""

import math

import tensorflow as tf

from ssl_keras import distribute


def z_std(z: tf.Tensor) -> tf.Tensor:
    """Standard deviation over the global batch of each channel of the unit-length z [B, D], averaged over channels.

    1/sqrt(D) for directions spread evenly, 0 for collapsed ones (SimSiam, arXiv:2011.10566, section 4.1).
    """
    z = tf.math.l2_normalize(tf.cast(tf.stop_gradient(z), tf.float32), axis=-1)
    mean = distribute.mean(tf.reduce_mean(z, axis=0))
    variance = distribute.mean(tf.reduce_mean(tf.square(z - mean), axis=0))
    return tf.reduce_mean(tf.sqrt(variance))


def even_z_std(z_dim: int) -> float:
    """What `z_std` is where directions are spread evenly over the sphere in `z_dim` dimensions."""
    return 1.0 / math.sqrt(z_dim)
