"""SupCon (Khosla et al., 2020, arXiv:2004.11362): supervised contrastive learning. All views of a class attract.

It is SimCLR with labels: the positives of a view are all other views of its class in the global batch, and the loss is
the mean of their log-probabilities. Where all labels differ, it is SimCLR's loss. Beside `supervised` it is an upper
baseline that uses labels.
"""

import keras
import tensorflow as tf

from ssl_keras import distribute, losses
from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads


@keras.saving.register_keras_serializable("ssl_keras")
class SupCon(SSLModel):
    """SupCon.

    Args:
        temperature: temperature of the softmax, > 0 (section 4.4: 0.1).
        hidden_dim: width of the projector's hidden layer; 0: as wide as h (section 3.1: 2048, which is that).
        projection_dim: dimension of z (section 3.1: 128).
    """

    default_views = "simclr"
    needs_labels = True
    smallest_batch = 2

    def __init__(
        self, backbone, views=None, *, temperature: float = 0.1, hidden_dim: int = 0, projection_dim: int = 128
    ):
        if temperature <= 0:
            raise UserError(f"temperature must be greater than 0, got {temperature}")
        super().__init__(backbone, views, z_dim=projection_dim)
        h_dim = backbone.output_shape[-1]
        self.projector = heads.moco_head(h_dim, hidden_dim or h_dim, projection_dim)
        self.temperature = temperature

    def train_step(self, batch):
        def loss_of(z1, z2):
            return sup_con(z1, z2, batch["label"], self.temperature)

        loss, (z1, _) = self.minimize(self.project, loss_of, *self.make_views(batch))
        return self.watch(loss, z1)

    def project(self, x1, x2):
        """Two views [b, S, S, C] -> z1, z2 [b, d], unit length; both views share one batch's statistics."""
        z = self.projector(self.backbone(tf.concat([x1, x2], axis=0), training=True), training=True)
        return tuple(tf.split(losses.l2_normalize(z), 2))


def sup_con(z1, z2, labels, temperature):
    """L_out, equation (2): the mean over the 2b anchors of -1/|P| · the sum over the positives p in P of

        log(exp(z · z_p / T) / the sum over all other views a of the global batch of exp(z · z_a / T)).

    The logarithm's denominator is that of NT-Xent, so the loss is NT-Xent with its one positive's similarity replaced
    by the mean over P: sums over classes, not a matrix of similarities.

    Args:
        z1, z2: float32 [b, d], unit rows, the two views of this replica's images.
        labels: int [b], from 0.
        temperature: positive float.

    Returns:
        float32 scalar.
    """
    anchors = tf.concat([z1, z2], axis=0)  # [2b, d]
    others = tf.concat([z2, z1], axis=0)
    all_labels = distribute.gather(labels)  # [B]
    everything = distribute.gather(z1) + distribute.gather(z2)  # [B, d], the sum of an image's views
    same = tf.cast(labels[:, tf.newaxis] == all_labels[tf.newaxis], tf.float32)  # [b, B]
    of_class = tf.tile(tf.matmul(same, everything), [2, 1])  # [2b, d], the sum of all views of the anchor's class
    count = tf.tile(2.0 * tf.reduce_sum(same, axis=1) - 1.0, [2])  # [2b], |P|: all of them but the anchor
    to_positives = tf.reduce_sum(anchors * (of_class - anchors), axis=1) / count
    to_other = tf.reduce_sum(anchors * others, axis=1)
    return losses.nt_xent(z1, z2, temperature) + tf.reduce_mean(to_other - to_positives) / temperature


Method = SupCon
