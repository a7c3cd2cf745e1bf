"""MoCo (He et al., 2019, arXiv:1911.05722; v2: Chen et al., 2020, arXiv:2003.04297): a dictionary of earlier keys.

A query must find the key of the same image's other view among those of the last K images. Keys come from a slowly
moving copy of the query encoder, so that old ones in the queue stay comparable to new ones; no gradient reaches them.
v2 is v1 with an MLP as head (`hidden_dim=2048`), stronger views, a temperature of 0.2 and a cosine schedule.

The momentum encoder moves after the optimizer's step, as in the paper's Algorithm 1; the released code moves it before
the next step's keys are made, which gives the same keys. Departure: one device normalises in `bn_splits` groups what
the paper spreads over 8 GPUs.
"""

import keras
import tensorflow as tf

from ssl_keras import losses
from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads, state
from ssl_keras.nn.shuffling_bn import ShufflingBN


@keras.saving.register_keras_serializable("ssl_keras")
class MoCo(SSLModel):
    """MoCo.

    Args:
        batch_size: the global one, known from the settings.
        queue_length: K, keys in the queue: a multiple of the batch size (of twice that where `symmetric`).
        temperature: of the softmax over keys, > 0 (v1: 0.07, v2: 0.2).
        momentum: m of the key encoder, in [0, 1); 0 fails (section 4.1).
        hidden_dim: width of the head's hidden layer (v2: 2048); 0: a linear head (v1).
        projection_dim: dimension of queries and keys.
        bn_splits: groups in which a batch is normalised, see `ShufflingBN`; 1: all together, without shuffling.
        symmetric: whether each view is query and key in turn: the sum of both losses, both views' keys in the queue.
    """

    default_views = "moco_v1"
    state = ("target/", "queue/")

    def __init__(
        self,
        backbone,
        views=None,
        *,
        batch_size: int,
        queue_length: int = 65536,
        temperature: float = 0.07,
        momentum: float = 0.999,
        hidden_dim: int = 0,
        projection_dim: int = 128,
        bn_splits: int = 8,
        symmetric: bool = False,
    ):
        if temperature <= 0:
            raise UserError(f"temperature must be greater than 0, got {temperature}")
        if not 0 <= momentum < 1:
            raise UserError(f"momentum must be in [0, 1), got {momentum}")
        super().__init__(backbone, views, z_dim=projection_dim)
        self.projector = heads.moco_head(backbone.output_shape[-1], hidden_dim or None, projection_dim)
        self.target = state.MomentumEncoder(backbone, self.projector)
        self.queue = state.FeatureQueue(queue_length, projection_dim, batch_size * (2 if symmetric else 1))
        self.bn, self.normalized_in = ShufflingBN(batch_size, bn_splits, backbone, self.target), bn_splits
        self.temperature, self.momentum, self.symmetric = temperature, momentum, symmetric

    def train_step(self, batch):
        x1, x2 = self.make_views(batch)
        queries, keyed = ((x1, x2), (x2, x1)) if self.symmetric else ((x1,), (x2,))
        keys = self.make_keys(keyed)
        loss, (q1, *_) = self.minimize(self.embed_queries, lambda *q: self.contrast(q, keys), *queries)
        self.target.update(self.momentum)
        # The keys of an image lie side by side: any number of replicas fills the queue in the same order.
        self.queue.enqueue(tf.reshape(tf.stack(keys, axis=1), [-1, self.z_dim]))
        return self.watch(loss, q1)

    def embed_queries(self, *views):
        """Views [b, S, S, C] -> for each q [b, d], unit length."""
        return tuple(losses.l2_normalize(self.bn.in_groups(self._query, x)) for x in views)

    def embed_keys(self, *views):
        """Views [b, S, S, C] -> for each k [b, d], unit length."""
        return tuple(losses.l2_normalize(self.bn.in_groups(self.target, x)) for x in views)

    def make_keys(self, views):
        """The keys of this replica's images [b, d], one tensor for each view, normalised in shuffled groups."""
        order = self.bn.order(self.draws(tf.range(self.bn.batch_size), 1))
        shuffled = self.without_gradient(self.embed_keys, *(self.bn.shuffle(x, order) for x in views))
        return [self.bn.mine(self.bn.restore(k, order)) for k in shuffled]

    def contrast(self, queries, keys):
        """The sum of each view's InfoNCE, equation (1), against the queue as it was before this step's keys."""
        queue = self.queue.read()
        terms = [
            losses.info_nce(q, k, queue, self.temperature, constant_negatives=True)
            for q, k in zip(queries, keys, strict=True)
        ]
        return tf.add_n(terms)

    def _query(self, x):
        return self.projector(self.backbone(x, training=True), training=True)


Method = MoCo
