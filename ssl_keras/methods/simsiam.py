"""SimSiam (Chen and He, 2020, arXiv:2011.10566): one view's prediction meets the other's projection, held still.

No negatives, no momentum encoder, no large batch: the stop-gradient alone keeps the encoder from giving every image the
same output. Taking it away is the paper's first study, and collapses (section 4.1).
"""

import tensorflow as tf

from ssl_keras import losses
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads


class SimSiam(SSLModel):
    """SimSiam.

    Args:
        projection_dim: dimension of z and p (2048 in the paper).
        predictor_dim: the predictor's bottleneck (512, a quarter of z).
        projector_layers: 3 (ImageNet) or 2 (CIFAR-10, appendix D).
        last_bn_affine: whether the projector's output normalisation has gamma and beta, as in the paper's text, or
        not, as
            in its released code. Without them z cannot have a common offset: a collapse then shows less in `z_std` and
            more in the effective rank.
        stop_gradient: False shows the collapse of section 4.1.
    """

    default_views = "simsiam"
    constant_lr = (
        "predictor",
    )  # the predictor follows the latest representations: its rate does not decay (section 4.2)

    def __init__(
        self,
        backbone,
        views,
        *,
        projection_dim: int = 2048,
        predictor_dim: int = 512,
        projector_layers: int = 3,
        last_bn_affine: bool = True,
        stop_gradient: bool = True,
    ):
        super().__init__(backbone, views, z_dim=projection_dim)
        h_dim = backbone.output_shape[-1]
        self.projector = heads.simsiam_projector(h_dim, projector_layers, projection_dim, last_bn_affine)
        self.predictor = heads.simsiam_predictor(projection_dim, predictor_dim)
        self.stop_gradient = stop_gradient

    def train_step(self, batch):
        x1, x2 = self.make_views(batch)
        loss, (z1, *_) = self.descend(self.project_and_predict, self.symmetric_loss, x1, x2)
        return self.watch(loss, z1)

    def project_and_predict(self, x1, x2):
        """Two views [b, S, S, C] -> z1, p1, z2, p2 [b, d]; each view with its own batch's statistics."""
        return *self._project_and_predict(x1), *self._project_and_predict(x2)

    def _project_and_predict(self, x):
        z = self.projector(self.backbone(x, training=True), training=True)
        return z, self.predictor(z, training=True)

    def symmetric_loss(self, z1, p1, z2, p2):
        """Equation (2)."""
        return self._distance(p1, z2) / 2 + self._distance(p2, z1) / 2

    def _distance(self, p, z):
        """Negative cosine similarity, D(p, stop_gradient(z)) of equation (2)."""
        return losses.negative_cosine(p, tf.stop_gradient(z) if self.stop_gradient else z)


Method = SimSiam
