"""SimCLR (Chen et al., 2020, arXiv:2002.05709): two views of an image attract, all other images of the batch repel.

A projector maps the representation h to z. There NT-Xent makes the two views of each image find each other among the 2B
- 1 other views of the global batch. What is kept is h, not z.

The loss is the mean over the 2B anchors, as in the paper's equation (1). The released code sums the two views' means:
that is `loss_scale=2`. LARS hides this factor for the weights, all but their decay; it does not for biases and norms.
"""

import math

import keras
import tensorflow as tf

from ssl_keras import losses
from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads


@keras.saving.register_keras_serializable("ssl_keras")
class SimCLR(SSLModel):
    """SimCLR.

    Args:
        temperature: temperature of NT-Xent, > 0 (section 5.1; 0.1 on ImageNet, 0.5 on CIFAR-10: appendix B.9).
        head_layers: layers of the projector: 0 (none), 1 (linear), 2 (the paper's, section 2.2) or 3 (the released
            code's).
        hidden_dim: width of the projector's hidden layers; 0: as wide as h.
        projection_dim: dimension of z (section 2.2: 128).
        loss_scale: factor on the loss, > 0; 2 repeats the released code.
    """

    default_views = "simclr"
    smallest_batch = 2

    def __init__(
        self,
        backbone,
        views=None,
        *,
        temperature: float = 0.1,
        head_layers: int = 2,
        hidden_dim: int = 0,
        projection_dim: int = 128,
        loss_scale: float = 1.0,
    ):
        if temperature <= 0:
            raise UserError(f"temperature must be greater than 0, got {temperature}")
        if loss_scale <= 0:
            raise UserError(f"loss_scale must be greater than 0, got {loss_scale}")
        super().__init__(backbone, views)
        h_dim = backbone.output_shape[-1]
        self.projector = heads.simclr_projector(h_dim, head_layers, hidden_dim or h_dim, projection_dim)
        self.watch_z(self.projector.output_shape[-1])
        self.temperature, self.loss_scale = temperature, loss_scale

    def train_step(self, batch):
        loss, (z1, _) = self.minimize(self.project, self.contrast, *self.make_views(batch))
        return self.watch(loss, z1)

    def project(self, x1, x2):
        """Two views [b, S, S, C] -> z1, z2 [b, d]; both views share one batch's statistics, as in the released code."""
        z = self.projector(self.backbone(tf.concat([x1, x2], axis=0), training=True), training=True)
        return tf.split(z, 2)

    def chance_loss(self, batch_size):
        return self.loss_scale * math.log(2 * batch_size - 1)

    def contrast(self, z1, z2):
        """NT-Xent, equation (1), times `loss_scale`."""
        return self.loss_scale * losses.nt_xent(z1, z2, self.temperature)


Method = SimCLR
