"""MoCo (He et al., 2019, arXiv:1911.05722; v2: Chen et al., 2020, arXiv:2003.04297): a dictionary of earlier keys.

A query must find the key of the same image's other view among the keys of the last K images. The keys come from a
momentum encoder, a slowly moving copy of the query encoder: so the old keys in the queue stay comparable to the new
ones. No gradient reaches the keys. v2 is v1 with an MLP as head (`hidden_dim=2048`), stronger views, a temperature of
0.2 and a cosine schedule.

The momentum encoder moves after the optimizer's step, as in the paper's Algorithm 1. The released code moves it before
the next step's keys are made, which gives the same keys. Departure: one device normalizes in `bn_splits` groups what
the paper spreads over 8 GPUs.
"""

import math

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
        batch_size: images in the global batch, known from the settings.
        queue_length: K, keys in the queue (figure 3: 65536); a multiple of the batch size, or of twice the batch size
            if symmetric.
        temperature: temperature of the softmax over keys, > 0 (v1, section 3.3: 0.07; v2: 0.2).
        momentum: m, the share of its old weights that the momentum encoder keeps in each step, in [0, 1) (section 4.1:
            0.999). 0 fails.
        hidden_dim: width of the head's hidden layer (v2: 2048); 0: a linear head (v1).
        projection_dim: dimension of queries and keys (section 3.3: 128).
        bn_splits: groups of the batch that are normalized separately, shuffled for the keys (section 3.3: 8 GPUs). 1:
            the whole batch together, without shuffling.
        symmetric: whether each view is query and key in turn. The loss is then the sum of both directions, and the keys
            of both views enter the queue (the authors' CIFAR-10 notebook).
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
        """Algorithm 1. `symmetric` goes through it once more with the two views exchanged."""
        x1, x2 = self.make_views(batch)
        pairs = [(x1, x2), (x2, x1)] if self.symmetric else [(x1, x2)]  # x_q, x_k: the query's view, the key's view
        order = self.bn.order(self.draws(tf.range(self.bn.batch_size), 1))  # [B], the order in which keys are made
        keys = [self.key(x_k, order) for _, x_k in pairs]  # k [b, d] each, without gradient

        def loss_of(*queries):
            loss = 0.0
            for q, k in zip(queries, keys, strict=True):  # [b, d] each
                loss += self.contrast(q, k)
            return loss

        loss, (q, *_) = self.minimize(self.embed_queries, loss_of, *(x_q for x_q, _ in pairs))
        self.target.update(self.momentum)  # f_k = m f_k + (1 - m) f_q
        # The keys of an image are neighbors in the queue: any number of replicas fills it in the same order.
        self.queue.enqueue(tf.reshape(tf.stack(keys, axis=1), [-1, self.z_dim]))
        return self.watch(loss, q)

    def embed_queries(self, *views):
        """Views x_q [b, S, S, C] -> for each q = f_q(x_q) [b, d], unit length."""
        return tuple(losses.l2_normalize(self.bn.in_groups(self._query, x_q)) for x_q in views)

    def embed_keys(self, x_k):
        """View x_k [b, S, S, C] -> (k = f_k(x_k) [b, d],), unit length."""
        return (losses.l2_normalize(self.bn.in_groups(self.target, x_k)),)

    def key(self, x_k, order):
        """k [b, d] of a view x_k [b, S, S, C], without gradient; made in another `order` [B] and brought back."""
        (shuffled,) = self.without_gradient(self.embed_keys, self.bn.shuffle(x_k, order))
        return self.bn.mine(self.bn.restore(shuffled, order))

    def contrast(self, q, k):
        """InfoNCE, equation (1): q [b, d] finds k [b, d] among the queue as it was before this step's keys."""
        queue = self.queue.read()  # [K, d]
        return losses.info_nce(q, k, queue, self.temperature, constant_negatives=True)

    def chance_loss(self, batch_size):
        return (2 if self.symmetric else 1) * math.log(1 + self.queue.length)

    def _query(self, x):
        return self.projector(self.backbone(x, training=True), training=True)


Method = MoCo
