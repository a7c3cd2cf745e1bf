"""VICReg (Bardes et al., 2022, arXiv:2105.04906): variance, invariance and covariance of the embeddings as three terms.

Invariance: the views' embeddings meet. Variance: each feature keeps a standard deviation of at least one over the
batch, which rules out a collapse. Covariance: different features do not covary. Each branch is regularized by itself;
nothing is normalized, held still or predicted.

The paper adds up the variance terms of the two views; its released code takes half of that. Here it is as in the code,
unless `variance_sum`. The gradient flows through the gathering of the embeddings, so steps are those of the loss over
the whole batch.
"""

import keras
import tensorflow as tf

from ssl_keras import distribute
from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads

EPSILON = 1e-4  # added to the variance, equation (2)


@keras.saving.register_keras_serializable("ssl_keras")
class VICReg(SSLModel):
    """VICReg.

    Args:
        projection_dim: dimension of z, and width of the expander's two hidden layers (section 4.2: 8192).
        invariance: lambda of equation (6), >= 0: weight of the invariance term (section 4.2: 25).
        variance: mu of equation (6), >= 0: weight of the variance term (section 4.2: 25). With 0 the embeddings
            collapse.
        covariance: nu of equation (6), >= 0: weight of the covariance term (section 4.2: 1).
        variance_sum: whether the variance terms of the two views are added up (the paper) or averaged (the released
            code).
    """

    default_views = "vicreg"
    smallest_batch = 2

    def __init__(
        self,
        backbone,
        views=None,
        *,
        projection_dim: int = 8192,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        variance_sum: bool = False,
    ):
        for name, weight in {"invariance": invariance, "variance": variance, "covariance": covariance}.items():
            if weight < 0:
                raise UserError(f"{name} must not be negative, got {weight}")
        super().__init__(backbone, views, z_dim=projection_dim)
        dims = (backbone.output_shape[-1], *[projection_dim] * 3)
        self.projector = heads.mlp(dims, "projector", use_bias=(True, True, False))
        self.invariance, self.covariance = invariance, covariance
        self.variance = variance if variance_sum else variance / 2

    def train_step(self, batch):
        loss, (z1, _) = self.minimize(self.project, self.three_terms, *self.make_views(batch))
        return self.watch(loss, z1)

    def project(self, x1, x2):
        """Two views [b, S, S, C] -> z1, z2 [b, d]; each view with its own batch's statistics."""
        return tuple(self.projector(self.backbone(x, training=True), training=True) for x in (x1, x2))

    def three_terms(self, z1, z2):
        """Equation (6) over the global batch, the same on all replicas."""
        z1, z2 = (tf.cast(distribute.gather(z), tf.float32) for z in (z1, z2))
        return (
            self.invariance * tf.reduce_mean((z1 - z2) ** 2)
            + self.variance * (variance_term(z1) + variance_term(z2))
            + self.covariance * (covariance_term(z1) + covariance_term(z2))
        )


def variance_term(z):
    """Equations (1), (2): mean over the features of z [B, d] of what their standard deviation lacks to 1; in [0, 1]."""
    variance = tf.reduce_sum((z - tf.reduce_mean(z, axis=0)) ** 2, axis=0) / _degrees(z)
    return tf.reduce_mean(tf.nn.relu(1.0 - tf.sqrt(variance + EPSILON)))


def covariance_term(z):
    """Equations (3) and (4): sum of the squared covariances of different features of z [B, d], over d; >= 0."""
    z -= tf.reduce_mean(z, axis=0)
    c = tf.matmul(z, z, transpose_a=True) / _degrees(z)
    others = tf.reduce_sum(c**2) - tf.reduce_sum(tf.linalg.diag_part(c) ** 2)
    return others / tf.cast(tf.shape(z)[1], tf.float32)


def _degrees(z):
    """Degrees of freedom of a batch's variance: B - 1."""
    return tf.cast(tf.shape(z)[0] - 1, tf.float32)


Method = VICReg
