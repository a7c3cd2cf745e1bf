"""Context prediction (Doersch et al., 2015, arXiv:1505.05192): where does the second patch lie, seen from the first?

Eight answers. A gap and random displacements keep borders from being matched; chromatic aberration, which tells where
in the lens a patch lies, is kept out by `color`.

Departure: any backbone, at the size of the patches and with shared weights, in place of the columns up to pool5. Its
batch norms keep gamma and beta; those of the head have none (section 3: no unit shall be silenced by its scale).
"""

import keras
import tensorflow as tf

from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads
from ssl_keras.nn.multi_crop import at_size
from ssl_keras.views.patches import NEIGHBOURS, PatchPairs, input_statistics


@keras.saving.register_keras_serializable("ssl_keras")
class ContextPrediction(SSLModel):
    """Classification of a patch's place by a pair of weight-tied columns (figure 3).

    Args:
        patch, gap, jitter: in pixels; -1: 96, 48 and 7 in views of 256 pixels or more, else 10/32, 3/32 and 1/32 of
            the view's side.
        color: "drop" (two of three channels become noise), "project" (no green-magenta) or "keep".
        downsample: probability of a patch of lower resolution.
        column_dim: width of the layer that each patch has (fc6).
        hidden_dim: width of the layers that the pair has (fc7, fc8).
    """

    default_views = "supervised"  # crop and flip
    cuts_views = True

    def __init__(
        self,
        backbone,
        views=None,
        *,
        patch: int = -1,
        gap: int = -1,
        jitter: int = -1,
        color: str = "drop",
        downsample: float = 0.33,
        column_dim: int = 4096,
        hidden_dim: int = 4096,
    ):
        super().__init__(backbone, views)
        geometry = [None if pixels < 0 else pixels for pixels in (patch, gap, jitter)]
        self.pairs = PatchPairs(*geometry, color, downsample, *input_statistics(backbone), self.views.seed)
        self.column = at_size(backbone, self.pairs.geometry(self.views.image_size)[0])
        plain = {"batch_norm": "all", "last_bn_center": False, "last_bn_scale": False}
        self.fc6 = heads.mlp((backbone.output_shape[-1], column_dim), "fc6", **plain)
        self.fc7 = heads.mlp((2 * column_dim, hidden_dim), "fc7", **plain)
        self.classifier = heads.mlp((hidden_dim, hidden_dim, len(NEIGHBOURS)), "classifier", batch_norm="none")
        self.accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        self.chance = keras.metrics.Mean(name="chance")

    def train_step(self, batch):
        (x,) = self.make_views(batch)
        pairs, neighbour = self.pairs(x, step=self.optimizer.iterations)

        def cross_entropy(logits):
            return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(neighbour, logits))

        loss, (logits,) = self.minimize(self.locate, cross_entropy, pairs)
        self.accuracy.update_state(neighbour, logits)
        self.chance.update_state(1 / len(NEIGHBOURS))
        return self.watch(loss)

    def locate(self, pairs):
        """Pairs of patches [b, 2, p, p, C] -> (logits [b, 8],)."""
        h = self.column(tf.reshape(pairs, [-1, *pairs.shape[2:]]), training=True)
        fc6 = tf.nn.relu(self.fc6(h, training=True))
        fc7 = tf.nn.relu(self.fc7(tf.reshape(fc6, [-1, 2 * fc6.shape[-1]]), training=True))
        return (tf.cast(self.classifier(fc7, training=True), tf.float32),)


Method = ContextPrediction
