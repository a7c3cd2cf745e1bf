"""RotNet (Gidaris et al., 2018, arXiv:1803.07728): by how many right angles has this image been turned?

To tell, the network must know what is up in an image, and so what is in it. All rotations of an image go through it in
one batch. Layers in the middle transfer best (table 1), because the last ones specialize in the task.

Departure: the eight rotations of table 2 show the inscribed square at full size (see `views.pretext.rotation`).
"""

import keras
import tensorflow as tf

from ssl_keras.methods.base import SSLModel
from ssl_keras.views.pretext.rotation import Rotations


@keras.saving.register_keras_serializable("ssl_keras")
class RotNet(SSLModel):
    """Classifies the angle by one linear layer on the representation.

    Args:
        rotations: number of angles, evenly spread over the circle: 4, or 8 or 2 as in the study of table 2.
        first_angle: smallest angle in degrees, a multiple of 90. With rotations=2, 0 means {0, 180} and 90 means {90,
            270} (table 2).
    """

    default_views = "rotation"

    def __init__(self, backbone, views=None, *, rotations: int = 4, first_angle: int = 0):
        super().__init__(backbone, views)
        self.rotate = Rotations(rotations, first_angle, self.views.seed)
        self.classifier = keras.layers.Dense(rotations, dtype="float32", name="classifier")
        self.classifier.build(backbone.output_shape)
        self.rotations = rotations
        self.accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        self.chance = keras.metrics.Mean(name="chance")

    def train_step(self, batch):
        (x,) = self.make_views(batch)
        turned, angles = self.rotate(x, step=self.optimizer.iterations)

        def cross_entropy(logits):
            """Equation (3): the mean over images of the mean over their rotations."""
            return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(angles, logits))

        loss, (logits,) = self.minimize(self.classify, cross_entropy, turned)
        self.accuracy.update_state(angles, logits)
        self.chance.update_state(1 / self.rotations)
        return self.watch(loss)

    def classify(self, turned):
        """All rotations of each view [b, n, S, S, C] -> (logits [b, n, n],); n b images make one batch's statistics."""
        images = tf.reshape(turned, [-1, *turned.shape[2:]])
        logits = self.classifier(self.backbone(images, training=True))
        return (tf.reshape(logits, [-1, self.rotations, self.rotations]),)


Method = RotNet
