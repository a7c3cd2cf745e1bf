"""Context prediction (Doersch et al., 2015, arXiv:1505.05192): on which side of the first patch does the second lie?

There are eight answers. A gap and random moves keep the network from matching borders. `color` closes another shortcut:
chromatic aberration tells where in the lens a patch lies.

Departure: any backbone, at the size of the patches and with shared weights, in place of the paper's columns up to
pool5. Its batch norms keep gamma and beta; those of the head have none (section 3: no unit shall be silenced by its
scale).
"""

import keras
import numpy as np
import tensorflow as tf

from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads, images
from ssl_keras.nn.multi_crop import at_size
from ssl_keras.views.pretext.context_prediction import NEIGHBOURS, PatchPairs


@keras.saving.register_keras_serializable("ssl_keras")
class ContextPrediction(SSLModel):
    """Classifies the direction from one patch to its neighbor, by a pair of columns that share weights (figure 3).

    Args:
        patch: side of a patch in pixels (section 3: 96). -1: 96 in views of 256 pixels or more, else 10/32 of the
            view's side.
        gap: pixels between the two patches (section 3: 48). -1: 48 in views of 256 pixels or more, else 3/32 of the
            view's side.
        jitter: most pixels by which each patch is moved at random (section 3: 7). -1: 7 in views of 256 pixels or more,
            else 1/32 of the view's side.
        color: what hides chromatic aberration (section 3): "drop" turns two of three channels into noise, "project"
            removes the green-magenta axis, "keep" does nothing.
        downsample: probability that a patch is shown at a lower resolution (section 3).
        column_dim: width of the layer that sees one patch (fc6 of figure 3).
        hidden_dim: width of the layers that see both patches (fc7 and fc8 of figure 3).
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
        statistics = images.statistics(backbone, np.float32) or (0.0, 1.0)
        self.pairs = PatchPairs(*geometry, color, downsample, *statistics, self.views.seed)
        self.column = at_size(backbone, self.pairs.geometry(self.views.image_size)[0])
        plain = {"batch_norm": "all", "last_bn_center": False, "last_bn_scale": False}
        self.fc6 = heads.mlp((backbone.output_shape[-1], column_dim), "fc6", **plain)
        self.fc7 = heads.mlp((2 * column_dim, hidden_dim), "fc7", **plain)
        self.classifier = heads.mlp((hidden_dim, hidden_dim, len(NEIGHBOURS)), "classifier", batch_norm="none")
        self.accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        self.chance = keras.metrics.Mean(name="chance")

    def train_step(self, batch):
        (x,) = self.make_views(batch)
        pairs, direction = self.pairs(x, step=self.optimizer.iterations)

        def cross_entropy(logits):
            return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(direction, logits))

        loss, (logits,) = self.minimize(self.locate, cross_entropy, pairs)
        self.accuracy.update_state(direction, logits)
        self.chance.update_state(1 / len(NEIGHBOURS))
        return self.watch(loss)

    def locate(self, pairs):
        """Pairs of patches [b, 2, p, p, C] -> (logits [b, 8],)."""
        h = self.column(tf.reshape(pairs, [-1, *pairs.shape[2:]]), training=True)
        fc6 = tf.nn.relu(self.fc6(h, training=True))
        fc7 = tf.nn.relu(self.fc7(tf.reshape(fc6, [-1, 2 * fc6.shape[-1]]), training=True))
        return (tf.cast(self.classifier(fc7, training=True), tf.float32),)


Method = ContextPrediction
