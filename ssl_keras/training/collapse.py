"""Collapse: representations that say (nearly) the same of every image; how it is measured and reported."""

import math

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from ssl_keras import distribute
from ssl_keras.scores.spectrum import effective_rank

COLLAPSED_Z_STD = 0.2  # of the even value 1/sqrt(d)
COLLAPSED_RANK = 1.5


class Collapse(keras.callbacks.Callback):
    """Adds `effective_rank` of the representations of a fixed sample to the epoch's logs, and warns of collapse in
    words.

    Args:
        sample: views of training images without augmentation, float32 [N, S, S, C] in [0, 1].
    """

    def __init__(self, sample: np.ndarray):
        super().__init__()
        self.sample = sample

    def on_epoch_end(self, epoch, logs=None):
        h = np.concatenate(
            [
                self.model.encoder(self.sample[i : i + 256], training=False).numpy()
                for i in range(0, len(self.sample), 256)
            ]
        )
        logs["effective_rank"] = effective_rank(h)
        if self.model.z_dim and logs["z_std"] < COLLAPSED_Z_STD * even_z_std(self.model.z_dim):
            logging.warning(
                "COLLAPSE: z_std is %.2g where directions spread evenly would give 1/sqrt(%d) = %.2g: the method gives "
                "(nearly) the same projection to every image and learns nothing",
                logs["z_std"],
                self.model.z_dim,
                even_z_std(self.model.z_dim),
            )
        elif logs["effective_rank"] < COLLAPSED_RANK:
            logging.warning(
                "COLLAPSE: the representations' effective rank is %.2f of %d: they vary along a single direction",
                logs["effective_rank"],
                h.shape[1],
            )


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
