"""Instance discrimination (Wu et al., 2018, arXiv:1805.01978): every image is a class of its own.

The weights of such a classifier would be one vector per image. Instead, a memory bank holds the feature that each image
had when it was last seen. The softmax over all of them is computed as it is (`negatives=0`) or approximated by
noise-contrastive estimation.

Departures, as in the released code: the bank's entries move by a momentum of 0.5, and the proximal term of equation
(10) is off unless asked for.
"""

import keras
import tensorflow as tf

from ssl_keras import distribute, losses
from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads, state

DENSE = 16  # up to so many images for each negative, similarities to all images cost less than fetching a few


@keras.saving.register_keras_serializable("ssl_keras")
class InstDisc(SSLModel):
    """Instance discrimination.

    Args:
        num_examples: N, images of the data, known from it.
        temperature: temperature of the softmax over images, > 0 (section 4.2: 0.07; the released code on CIFAR-10:
            0.1).
        negatives: m, images drawn as noise for each image of the batch (section 4.2: 4096). 0: the softmax over all N
            images.
        bank_momentum: share of the old feature in the bank's new one, in [0, 1) (the released code: 0.5).
        proximal: lambda of equation (10), >= 0: how much a feature is held to its last one (section 3.3). 0: not at
            all.
        projection_dim: dimension of the features (section 4.2: 128).
    """

    default_views = "instdisc"
    needs_index = True
    state = ("bank/", "partition/")

    def __init__(
        self,
        backbone,
        views=None,
        *,
        num_examples: int,
        temperature: float = 0.07,
        negatives: int = 4096,
        bank_momentum: float = 0.5,
        proximal: float = 0.0,
        projection_dim: int = 128,
    ):
        if temperature <= 0:
            raise UserError(f"temperature must be greater than 0, got {temperature}")
        if not 0 <= bank_momentum < 1:
            raise UserError(f"bank_momentum must be in [0, 1), got {bank_momentum}")
        for name, value in {"negatives": negatives, "proximal": proximal}.items():
            if value < 0:
                raise UserError(f"{name} must be 0 (off) or more, got {value}")
        super().__init__(backbone, views, z_dim=projection_dim)
        self.projector = heads.moco_head(backbone.output_shape[-1], output_dim=projection_dim)
        self.bank = state.MemoryBank(num_examples, projection_dim)
        self.partition = Partition() if negatives else None
        self.temperature, self.negatives, self.proximal = temperature, negatives, proximal
        self.bank_momentum = bank_momentum
        self.dense = num_examples <= DENSE * negatives

    def train_step(self, batch):
        (x,) = self.make_views(batch)
        index = batch["index"]
        noise = self.draw_noise(batch) if self.negatives else None
        loss, (f,) = self.minimize(self.embed, lambda f: self.discriminate(f, index, noise), x)
        self.bank.update(index, f, self.bank_momentum)
        return self.watch(loss, f)

    def embed(self, x):
        """View [b, S, S, C] -> (f [b, d],), unit length."""
        return (losses.l2_normalize(self.projector(self.backbone(x, training=True), training=True)),)

    def draw_noise(self, batch):
        """The m images drawn for each image of the batch, evenly and with replacement: their indices, int32 [b, m]."""
        u = self.draws(self.places(batch), self.negatives)
        return tf.cast(tf.floor(u * self.bank.length), tf.int32)

    def discriminate(self, f, index, noise):
        """The mean loss of f [b, d], features of the images `index` [b], with the `noise` [b, m] drawn for them."""
        loss = self.softmax(f, index) if noise is None else self.contrast(f, index, noise)
        if self.proximal:
            distance = tf.reduce_sum((f - self.bank.lookup(index)) ** 2, axis=-1)
            loss += self.proximal * tf.reduce_mean(distance)  # equation (10)
        return loss

    def softmax(self, f, index):
        """Equation (3): the mean of -ln P(i|f), P a softmax over all images."""
        own, every = self.bank.lookup(index), tf.range(self.bank.length, dtype=index.dtype)
        return losses.info_nce(f, own, self.bank.read(), self.temperature, index, every, constant_negatives=True)

    def contrast(self, f, index, noise):
        """Equation (7), the mean: each image is told from m noise images, by h = P / (P + m/N) of equation (6)."""
        n, m = self.bank.length, self.negatives
        data = tf.reduce_sum(f * self.bank.lookup(index), axis=-1) / self.temperature  # [b]
        noise = self.similarities(f, noise) / self.temperature  # [b, m]
        every = tf.concat([data[:, None], noise], axis=1)  # with the images' own, as in the released code
        z = self.partition.settle(n * tf.reduce_mean(tf.exp(every)))
        # With P = exp(s) / Z, equation (4), h is sigmoid(s - ln(Z·m/N)), and 1 - h is sigmoid of the negative.
        shift = tf.math.log(z * m / n)
        return tf.reduce_mean(tf.nn.softplus(shift - data) + tf.reduce_sum(tf.nn.softplus(noise - shift), axis=1))

    def similarities(self, f, images):
        """f·v for the bank entries v of `images` [b, m], float32 [b, m]; both ways give the same."""
        if self.dense:
            return tf.gather(tf.matmul(f, self.bank.read(), transpose_b=True), images, batch_dims=1)
        return tf.einsum("bd,bmd->bm", f, self.bank.lookup(images))


class Partition(keras.layers.Layer):
    """The constant Z of noise-contrastive estimation: set by the first batch, equation (8), and kept."""

    def __init__(self, name="partition"):
        super().__init__(name=name)
        self.z = self.add_weight(shape=(), initializer="zeros", trainable=False, dtype="float32", name="z")
        self.built = True

    def settle(self, estimate):
        """Z, float32 scalar: the estimate of the first call, the mean over the replicas."""
        z = tf.where(self.z > 0.0, self.z, distribute.mean(tf.stop_gradient(estimate)))
        self.z.assign(z)
        return z


Method = InstDisc
