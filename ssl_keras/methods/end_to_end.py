"""The end-to-end mechanism (He et al., 2019, arXiv:1911.05722, section 3.2, figure 2a): keys of the same batch.

A query must find the key of its image's other view among the keys of the batch, and the gradient flows into the keys
too. The dictionary is as consistent as can be, but no larger than the batch (the global one, over all replicas): what
MoCo's queue and the memory bank are compared with.
"""

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
        batch_size: the global one, known from the settings; each query has batch_size - 1 negatives.
        temperature: of the softmax over keys, > 0.
        hidden_dim: width of the head's hidden layer; 0: a linear head.
        projection_dim: dimension of queries and keys.
        shared: whether one encoder makes queries and keys. The paper draws two and says that they can be different;
            False trains a second one, which starts as a copy of the first and is not shipped.
        bn_splits: groups in which a batch is normalised, see `ShufflingBN`, which the paper uses here too.
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

    def embed(self, x_query, x_key):
        """Views [b, S, S, C], the second in shuffled order -> q, k [b, d], unit length, in the order of their views."""
        q = self.bn.in_groups(lambda x: self.projector(self.backbone(x, training=True), training=True), x_query)
        k = self.bn.in_groups(lambda x: self.key_projector(self.key_backbone(x, training=True), training=True), x_key)
        return losses.l2_normalize(q), losses.l2_normalize(k)

    def contrast(self, q, k, order):
        """InfoNCE, equation (1), of q [b, d] among all replicas' keys k [b, d], which are shuffled by `order` [B]."""
        keys = distribute.gather(k)  # row i is of the image at place order[i]
        own = tf.gather(keys, self.bn.mine(tf.argsort(order)))
        mine = self.bn.mine(tf.range(self.bn.batch_size))
        return losses.info_nce(q, own, keys, self.temperature, mine, order)


Method = EndToEnd
