"""Exemplar-CNN (Dosovitskiy et al., 2014, arXiv:1406.6909): every image is a class of its own.

A class is one seed patch, taken where the image's gradients are strong, together with its random transformations. The
network learns to tell the classes apart whatever the transformation. N seed patches make N classes: take as many
training images as you want classes (`train_examples=8000`, the paper's best). A transformation acts on the image around
the seed: a view that is moved, turned or zoomed out shows what surrounds the seed patch.

Departure: the authors' code leaves out transformations that look beyond the image. Here such a view sees the image
mirrored at its edges, since a seed patch of three quarters of the image leaves little room.

The softmax needs a weight vector for each class, so its memory grows with the data: see `classifier_memory`. The
triplet form (Doersch and Zisserman 2017; Kolesnikov et al. 2019, arXiv:1901.09005, section 3) has no classifier.
Departure from the latter's code: features are normalized along their own axis, not along the batch's.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from ssl_keras import distribute, losses
from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads
from ssl_keras.views import draws, render
from ssl_keras.views.pretext.patches import pick
from ssl_keras.views.seeds import SeedBoxes

FORMS = ("classification", "triplet")
FARTHEST = 5.0  # beyond all squared distances of unit vectors, which reach 4


class Memory(NamedTuple):
    """A classifier's parameters, and the bytes of its weights, their gradients and the optimizer's velocity."""

    parameters: int
    bytes: int


def classifier_memory(num_classes: int, h_dim: int, slots: int = 1) -> Memory:
    """What the classification form costs beside the backbone: (h_dim + 1) N parameters, 4 bytes each, 2 + slots times.

    ImageNet's 1.28 million images on a ResNet-50 (2048) make 2.6 billion parameters, a hundred times the backbone's,
    and 31 GB; every image's logits are 5 MB more.

    Args:
        slots: variables that the optimizer keeps for each weight: 1 for SGD with momentum, 2 for AdamW.
    """
    parameters = (h_dim + 1) * num_classes
    return Memory(parameters, 4 * parameters * (2 + slots))


@keras.saving.register_keras_serializable("ssl_keras")
class Exemplar(SSLModel):
    """Exemplar-CNN.

    Args:
        num_examples: N, images and so classes, known from the data.
        form: "classification" among the N classes (the paper's), or "triplet" (arXiv:1901.09005, section 3).
        patch: side of a seed patch, as a fraction of the image's shorter side.
        transformations: K, transformations of each seed patch, drawn once for all epochs (the paper finds no gain
            beyond 100). 0: new ones in every step.
        margin: margin of the triplet loss, > 0; form=triplet only.
        embedding_dim: dimension of the embeddings that the triplet loss compares, 1 to 1000; form=triplet only.
    """

    default_views = "exemplar"
    needs_index = True

    def __init__(
        self,
        backbone,
        views=None,
        *,
        num_examples: int,
        form: str = "classification",
        patch: float = 0.75,
        transformations: int = 0,
        margin: float = 0.5,
        embedding_dim: int = 1000,
    ):
        if form not in FORMS:
            raise UserError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
        if margin <= 0 or transformations < 0:
            raise UserError(f"margin must be > 0 and transformations >= 0, got {margin} and {transformations}")
        if form == "triplet" and not 1 <= embedding_dim <= 1000:
            raise UserError(f"embedding_dim must be 1 to 1000, got {embedding_dim}")
        triplet = form == "triplet"
        super().__init__(backbone, views, z_dim=embedding_dim if triplet else None)
        if triplet and len(self.views.views) < 2:
            raise UserError("form=triplet needs views of two or more transformations, such as exemplar")
        outputs = embedding_dim if triplet else num_examples
        self.head = heads.mlp((backbone.output_shape[-1], outputs), "embedding" if triplet else "classifier")
        self.seeds = SeedBoxes(patch, self.views.seed)
        self.form, self.margin = form, margin
        self.smallest_batch = 2 if triplet else 1  # a triplet's negative is another image's
        self.num_examples, self.transformations = num_examples, transformations
        self.accuracy = keras.metrics.Mean(name="accuracy")
        self.chance = keras.metrics.Mean(name="chance")

    def make_views(self, batch):
        """Transformations of the images' seed patches: a view [b, S, S, C] for each policy of the recipe."""
        images, sizes, index = batch["image"], batch["size"], tf.cast(batch["index"], tf.int32)
        seeds = self.seeds(images, sizes, index)
        if not self.transformations:
            return self.views(images, sizes, step=self.optimizer.iterations, within=seeds)
        number = pick(self.draws(self.places(batch), len(self.views.views)), self.transformations)  # k of each view
        views = []
        for i, policy in enumerate(self.views.views):
            # Keyed by the image's index and k, not by step, view and place: the same in every epoch.
            fixed = index * self.transformations + number[:, i]
            key = draws.Key(self.views.seed, tf.constant(SeedBoxes.STEP), tf.constant(0), fixed)
            exact = self.views.color == "exact"
            views.append(render.make_view(policy, images, sizes, draws.image_draws(key), key, exact, within=seeds))
        return views

    def train_step(self, batch):
        classes = batch["index"]
        loss_of = self.triplets if self.form == "triplet" else lambda *logits: self.cross_entropy(classes, *logits)
        loss, outputs = self.minimize(self.transform, loss_of, *self.make_views(batch))
        if self.form == "triplet":
            own, distance, is_own = _distances(outputs)
            nearest = tf.reduce_min(tf.where(is_own, FARTHEST, distance), axis=1)
            self.accuracy.update_state(tf.reduce_min(own, axis=1) < nearest)
            self.chance.update_state((len(outputs) - 1) / (tf.shape(distance)[1] - 1))
            return self.watch(loss, outputs[0])
        self.accuracy.update_state([tf.argmax(logits, axis=1) == classes for logits in outputs])
        self.chance.update_state(1 / self.num_examples)
        return self.watch(loss)

    def transform(self, *views):
        """Views [b, S, S, C] -> for each logits [b, N] or embeddings [b, d]; all share one batch's statistics."""
        outputs = self.head(self.backbone(tf.concat(views, axis=0), training=True), training=True)
        return tf.split(tf.cast(outputs, tf.float32), len(views))

    def cross_entropy(self, classes, *logits):
        """Equation (1) of the paper: each transformed patch is told from those of the N - 1 other classes."""
        each = [tf.nn.sparse_softmax_cross_entropy_with_logits(classes, x) for x in logits]
        return tf.reduce_mean(each)

    def triplets(self, *z):
        """The semi-hard triplet loss: max(0, margin + d(a, p) - d(a, n)), the mean over all pairs (a, p).

        d is the squared distance of unit-length embeddings. For each pair of views of an image, n is the closest view
        of another image in the global batch that is farther away than p; where there is none, the farthest of all.
        """
        own, distance, is_own = _distances(z)
        others = tf.where(is_own, FARTHEST, distance)[:, None]
        closest = tf.reduce_min(tf.where(others > own[..., None], others, FARTHEST), axis=2)  # [V b, V - 1]
        farthest = tf.reduce_max(tf.where(is_own, -1.0, distance), axis=1, keepdims=True)
        negative = tf.where(closest < FARTHEST, closest, farthest)
        return tf.reduce_mean(tf.nn.relu(self.margin + own - negative))


def _distances(z):
    """Squared distances between the embeddings of V views, after each has been given unit length.

    Args:
        z: V tensors float [b, d], this replica's.

    Returns:
        own: float32 [V b, V - 1], from each view to the other views of its image.
        distance: float32 [V b, V B], from each view to all views of the global batch.
        is_own: bool [V b, V B], whether both are views of the same image.
    """
    z = [losses.l2_normalize(x) for x in z]
    b = tf.shape(z[0])[0]
    every = tf.concat([distribute.gather(x) for x in z], axis=0)
    distance = 2.0 - 2.0 * tf.matmul(tf.concat(z, axis=0), every, transpose_b=True)
    own = [[2.0 - 2.0 * tf.reduce_sum(x * y, axis=1) for y in z if y is not x] for x in z]
    own = tf.concat([tf.stack(row, axis=1) for row in own], axis=0)
    columns = tf.shape(every)[0]
    image = tf.tile(distribute.replica_id() * b + tf.range(b), [len(z)])
    return own, distance, image[:, None] == tf.range(columns) % (columns // len(z))


Method = Exemplar
