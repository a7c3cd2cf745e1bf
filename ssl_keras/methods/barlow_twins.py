"""Barlow Twins (Zbontar et al., 2021, arXiv:2103.03230): two views agree on each feature, and features differ.

C is the cross-correlation matrix of the two views' projections over the batch. The loss pulls C towards the identity.
The diagonal makes each feature invariant to the augmentations; the rest makes features say different things. There is
no stop-gradient, no momentum encoder and no predictor.
"""

import keras
import tensorflow as tf

from ssl_keras import distribute
from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads

EPSILON = 1e-5  # added to the variance of a feature, as batch normalization does in the released code


@keras.saving.register_keras_serializable("ssl_keras")
class BarlowTwins(SSLModel):
    """Barlow Twins.

    Args:
        projection_dim: dimension of z, and width of the projector's two hidden layers (section 2.2: 8192).
        off_diagonal_weight: lambda of equation (1), >= 0: weight of the terms off the diagonal of C. 0 keeps only the
            terms of the diagonal.
        loss_scale: factor on the loss, > 0. 1/W repeats the released code on W GPUs, which follows 1/W of the gradient
            of equation (1) (the paper's run: 16 GPUs). With Adam it changes nothing.
    """

    default_views = "barlow_twins"
    smallest_batch = 2

    def __init__(
        self,
        backbone,
        views=None,
        *,
        projection_dim: int = 8192,
        off_diagonal_weight: float = 0.0051,
        loss_scale: float = 1.0,
    ):
        if off_diagonal_weight < 0:
            raise UserError(f"off_diagonal_weight must not be negative, got {off_diagonal_weight}")
        if loss_scale <= 0:
            raise UserError(f"loss_scale must be greater than 0, got {loss_scale}")
        super().__init__(backbone, views, z_dim=projection_dim)
        dims = (backbone.output_shape[-1], *[projection_dim] * 3)
        self.projector = heads.mlp(dims, "projector", use_bias=(False,) * 3)
        self.off_diagonal_weight, self.loss_scale = off_diagonal_weight, loss_scale

    def train_step(self, batch):
        loss, (z1, _) = self.minimize(self.project, self.redundancy, *self.make_views(batch))
        return self.watch(loss, z1)

    def project(self, x1, x2):
        """Two views [b, S, S, C] -> z1, z2 [b, d]; each view with its own batch's statistics."""
        return tuple(self.projector(self.backbone(x, training=True), training=True) for x in (x1, x2))

    def redundancy(self, z1, z2):
        """Equation (1), the same on all replicas: sum of (1 - C_ii)², and lambda times the sum of the other C_ij²."""
        c = cross_correlation(distribute.gather(z1), distribute.gather(z2))
        diagonal = tf.linalg.diag_part(c)
        invariance = tf.reduce_sum((1.0 - diagonal) ** 2)
        others = tf.reduce_sum(c**2) - tf.reduce_sum(diagonal**2)
        return self.loss_scale * (invariance + self.off_diagonal_weight * others)


def cross_correlation(z1, z2):
    """Equation (2): correlations of the features of two views over a batch.

    Args:
        z1, z2: float [B, d].

    Returns:
        float32 [d, d] in [-1, 1]: a row for each feature of z1, a column for each feature of z2.
    """
    return tf.matmul(_standardized(z1), _standardized(z2), transpose_a=True) / tf.cast(tf.shape(z1)[0], tf.float32)


def _standardized(z):
    """Gives each feature mean 0 and (biased) variance 1 over the batch."""
    mean, variance = tf.nn.moments(tf.cast(z, tf.float32), axes=[0])
    return (tf.cast(z, tf.float32) - mean) * tf.math.rsqrt(variance + EPSILON)


Method = BarlowTwins
