"""EMP-SSL (Tong et al., 2023, arXiv:2304.03977): many crops of each image meet, and each crop's batch fills the space.

Twenty or more crops of a quarter of the image are embedded. Each embedding is drawn to the mean of its image's, and the
total coding rate of each crop's batch is raised, so that the embeddings spread over all directions. There is no
stop-gradient, no momentum encoder and no negative. With so many crops an epoch teaches much: the paper trains for 1 to
30 epochs. Its scores average the features of 128 crops of a test image, and are those of the projector's first hidden
layer; the scores here are those of one whole image and of the backbone.
"""

import keras
import tensorflow as tf

from ssl_keras import distribute, losses
from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads


@keras.saving.register_keras_serializable("ssl_keras")
class EMPSSL(SSLModel):
    """EMP-SSL. The number of crops is that of the views: the recipe `emp_ssl` has 20.

    Args:
        invariance: lambda of equation (4), >= 0: weight of the similarity of the crops (the released code: 200).
        distortion: epsilon² of equation (2), > 0 (the released code: 0.2).
        hidden_dim: width of the projector's two hidden layers (the released code: 4096).
        projection_dim: dimension of z (the released code: 1024).
    """

    default_views = "emp_ssl"
    smallest_batch = 2
    any_views = True

    def __init__(
        self,
        backbone,
        views=None,
        *,
        invariance: float = 200.0,
        distortion: float = 0.2,
        hidden_dim: int = 4096,
        projection_dim: int = 1024,
    ):
        if invariance < 0:
            raise UserError(f"invariance must not be negative, got {invariance}")
        if distortion <= 0:
            raise UserError(f"distortion must be greater than 0, got {distortion}")
        super().__init__(backbone, views, z_dim=projection_dim)
        self.projector = heads.mlp((backbone.output_shape[-1], hidden_dim, hidden_dim, projection_dim), "projector")
        self.invariance, self.distortion = invariance, distortion

    def train_step(self, batch):
        loss, (z1, *_) = self.minimize(self.project, self.objective, *self.make_views(batch))
        return self.watch(loss, z1)

    def project(self, *crops):
        """Crops [b, S, S, C] -> for each z [b, d], unit length; all crops share a batch's statistics."""
        z = self.projector(self.backbone(tf.concat(crops, axis=0), training=True), training=True)
        return tuple(tf.split(losses.l2_normalize(z), len(crops)))

    def objective(self, *z):
        """Equation (4), to be minimized: minus the mean coding rate of the crops, minus lambda times their similarity.

        Args:
            z: a float32 [b, d] for each crop, unit length.
        """
        center = losses.l2_normalize(tf.add_n(z))  # [b, d], the direction of the mean of an image's embeddings
        similarity = tf.add_n([tf.reduce_mean(tf.reduce_sum(crop * center, axis=-1)) for crop in z]) / len(z)
        batches = tf.unstack(distribute.gather(tf.stack(z, axis=1)), axis=1)  # [B, d] of each crop
        rate = tf.add_n([coding_rate(crop, self.distortion) for crop in batches]) / len(z)
        return -self.invariance * similarity - rate


def coding_rate(z, distortion):
    """Total coding rate, equation (2): ½ log det(I + d/(N ε²) · Zᵀ Z), in nats; the larger, the wider z is spread.

    Args:
        z: float32 [N, d], unit rows.
        distortion: ε², > 0.

    Returns:
        float32 scalar >= 0. With Z Zᵀ [N, N] where that is known to be smaller: the determinant is the same.
    """
    n, d = z.shape
    rows_are_fewer = n is not None and n < d
    gram = tf.matmul(z, z, transpose_a=not rows_are_fewer, transpose_b=rows_are_fewer)
    scale = d / (tf.cast(tf.shape(z)[0], tf.float32) * distortion)
    factor = tf.linalg.cholesky(tf.eye(gram.shape[0]) + scale * gram)
    return tf.reduce_sum(tf.math.log(tf.linalg.diag_part(factor)))  # half of log det


Method = EMPSSL
