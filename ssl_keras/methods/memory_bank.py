"""The memory bank as MoCo's paper studies it (He et al., 2019, arXiv:1911.05722, section 3.2, figure 2b, and 4.1).

The bank holds a feature for each image of the data. A view is a query: it must find its image's own entry among K
random others. Keys cost no pass through a network, so K can be large. But an entry is as old as the image's last visit,
and different entries were made by different encoders. The bank is that of instance discrimination (`inst_disc`); the
loss is InfoNCE.

Departure: an image's own entry is never among its negatives; on small data it would often be drawn.
"""

import keras
import tensorflow as tf

from ssl_keras import losses
from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads, state


@keras.saving.register_keras_serializable("ssl_keras")
class MemoryBankContrast(SSLModel):
    """InfoNCE against a memory bank.

    Args:
        num_examples: images of the data, known from it.
        negatives: K, bank entries drawn in each step, evenly and with replacement, for the whole batch (figure 3).
        temperature: temperature of the softmax over entries, > 0 (section 3.3: 0.07).
        bank_momentum: share of the old entry in the new one, in [0, 1).
        hidden_dim: width of the head's hidden layer; 0: a linear head, as in the paper.
        projection_dim: dimension of the features (section 3.3: 128).
    """

    default_views = "instdisc"
    needs_index = True
    state = ("bank/",)

    def __init__(
        self,
        backbone,
        views=None,
        *,
        num_examples: int,
        negatives: int = 65536,
        temperature: float = 0.07,
        bank_momentum: float = 0.5,
        hidden_dim: int = 0,
        projection_dim: int = 128,
    ):
        if negatives < 1:
            raise UserError(f"negatives must be at least 1, got {negatives}")
        if temperature <= 0:
            raise UserError(f"temperature must be greater than 0, got {temperature}")
        if not 0 <= bank_momentum < 1:
            raise UserError(f"bank_momentum must be in [0, 1), got {bank_momentum}")
        super().__init__(backbone, views, z_dim=projection_dim)
        self.projector = heads.moco_head(backbone.output_shape[-1], hidden_dim or None, projection_dim)
        self.bank = state.MemoryBank(num_examples, projection_dim)
        self.negatives, self.temperature, self.bank_momentum = negatives, temperature, bank_momentum

    def train_step(self, batch):
        (x,) = self.make_views(batch)
        index = batch["index"]
        drawn = self.draw_negatives(index.dtype)
        loss, (q,) = self.minimize(self.embed, lambda q: self.contrast(q, index, drawn), x)
        self.bank.update(index, q, self.bank_momentum)
        return self.watch(loss, q)

    def draw_negatives(self, dtype):
        """Indices of the images whose entries are this step's negatives, the same on all replicas: int [K]."""
        u = self.draws(tf.range(self.negatives), 1)[:, 0]
        return tf.cast(tf.floor(u * self.bank.length), dtype)

    def embed(self, x):
        """View [b, S, S, C] -> (q [b, d],), unit length."""
        return (losses.l2_normalize(self.projector(self.backbone(x, training=True), training=True)),)

    def contrast(self, q, index, drawn):
        """InfoNCE, equation (1): q [b, d] of the images `index` [b] against the entries `drawn` [K]."""
        own, others = self.bank.lookup(index), self.bank.lookup(drawn)
        return losses.info_nce(q, own, others, self.temperature, index, drawn, constant_negatives=True)


Method = MemoryBankContrast
