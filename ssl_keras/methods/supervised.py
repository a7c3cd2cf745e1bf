"""Supervised training, the upper baseline: cross-entropy on the labels; same backbone, data and view engine.

It shows what labels are worth on this data. Expect a pretrained encoder between this one and the untrained one.
"""

import keras
import tensorflow as tf

from ssl_keras.methods.base import SSLModel


@keras.saving.register_keras_serializable("ssl_keras")
class Supervised(SSLModel):
    """Classifies by one linear layer on the representation.

    Args:
        num_classes: number of classes, known from the data.
        label_smoothing: share of the target that is spread over all classes, in [0, 1).
    """

    default_views = "supervised"
    needs_labels = True

    def __init__(self, backbone, views=None, *, num_classes: int, label_smoothing: float = 0.0):
        super().__init__(backbone, views)
        self.classifier = keras.layers.Dense(num_classes, dtype="float32", name="classifier")
        self.classifier.build(backbone.output_shape)
        self.cross_entropy = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=label_smoothing, reduction=None
        )
        self.num_classes = num_classes
        self.accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")

    def train_step(self, batch):
        (x,) = self.make_views(batch)
        labels = batch["label"]

        def cross_entropy(logits):
            return tf.reduce_mean(self.cross_entropy(tf.one_hot(labels, self.num_classes), logits))

        loss, (logits,) = self.minimize(self.classify, cross_entropy, x)
        self.accuracy.update_state(labels, logits)
        return self.watch(loss)

    def classify(self, x):
        """Views [b, S, S, C] -> (logits [b, classes],)."""
        return (self.classifier(self.backbone(x, training=True)),)


Method = Supervised
