"""The end-to-end mechanism (He et al., 2019, arXiv:1911.05722, section 3.2, figure 2a): keys of the same batch.

A query must find the key of its image's other view among the keys of the batch. The gradient flows into the keys too.
All keys come from one and the same encoder, but there are no more keys than images in the (global) batch. MoCo's paper
compares its queue and the memory bank with this.
"""

import math

import keras
import tensorflow as tf

from ssl_keras import distribute, losses
from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads, state
from ssl_keras.nn.shuffling_bn import ShufflingBN


@keras.saving.register_keras_serializable("ssl_keras")
class EndToEnd(SSLModel):
    """Contrast within the batch.

    Args:
        batch_size: images in the global batch, known from the settings; each query has batch_size - 1 negatives.
        temperature: temperature of the softmax over keys, > 0 (section 3.3: 0.07).
        hidden_dim: width of the head's hidden layer; 0: a linear head, as in the paper.
        projection_dim: dimension of queries and keys (section 3.3: 128).
        shared: whether one encoder makes queries and keys. False trains a second encoder for the keys; it starts as a
            copy of the first and is not shipped. (Figure 2a draws two encoders; section 3.1 allows both.)
        bn_splits: groups of the batch that are normalized separately, shuffled for the keys (section 3.3: 8 GPUs). 1:
            the whole batch together, without shuffling.
    """

    default_views = "moco_v1"
    smallest_batch = 2

    def __init__(
        self,
        backbone,
        views=None,
        *,
        batch_size: int,
        temperature: float = 0.07,
        hidden_dim: int = 0,
        projection_dim: int = 128,
        shared: bool = True,
        bn_splits: int = 8,
    ):
        if temperature <= 0:
            raise UserError(f"temperature must be greater than 0, got {temperature}")
        super().__init__(backbone, views, z_dim=projection_dim)
        self.projector = heads.moco_head(backbone.output_shape[-1], hidden_dim or None, projection_dim)
        self.key_backbone = backbone if shared else state.copied(backbone, "key")
        self.key_projector = self.projector if shared else state.copied(self.projector, "key")
        self.bn, self.normalized_in = ShufflingBN(batch_size, bn_splits, backbone, self.key_backbone), bn_splits
        self.temperature = temperature

    def train_step(self, batch):
        x1, x2 = self.make_views(batch)
        order = self.bn.order(self.draws(tf.range(self.bn.batch_size), 1))
        shuffled = self.bn.shuffle(x2, order)
        loss, (q, _) = self.minimize(self.embed, lambda q, k: self.contrast(q, k, order), x1, shuffled)
        return self.watch(loss, q)

    def chance_loss(self, batch_size):
        return math.log(batch_size)

    def embed(self, x_query, x_key):
        """Views [b, S, S, C], the second one shuffled -> q, k [b, d], unit length, each in the order of its view."""
        q = self.bn.in_groups(lambda x: self.projector(self.backbone(x, training=True), training=True), x_query)
        k = self.bn.in_groups(lambda x: self.key_projector(self.key_backbone(x, training=True), training=True), x_key)
        return losses.l2_normalize(q), losses.l2_normalize(k)

    def contrast(self, q, k, order):
        """InfoNCE, equation (1): q [b, d] among all replicas' keys k [b, d], which are shuffled by `order` [B]."""
        keys = distribute.gather(k)  # [B, d]; row i belongs to the image at place order[i] of the batch
        own = tf.gather(keys, self.bn.mine(tf.argsort(order)))
        mine = self.bn.mine(tf.range(self.bn.batch_size))
        return losses.info_nce(q, own, keys, self.temperature, mine, order)


Method = EndToEnd
