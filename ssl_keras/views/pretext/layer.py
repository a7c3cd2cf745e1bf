"""What the layers of the pretext tasks share."""

import keras_cv
import tensorflow as tf

from ssl_keras import distribute
from ssl_keras.errors import UserError
from ssl_keras.views import draws
from ssl_keras.views.render import FULL_SCALE


class PretextLayer(keras_cv.layers.VectorizedBaseImageAugmentationLayer):
    """Images in, pieces and labels out: what the layers below share.

    Args:
        seed: the run's, in [0, 2^31).
        options: the subclass's own arguments, for its config.
    """

    def __init__(self, seed, options, **kwargs):
        super().__init__(seed=seed, **{**kwargs, "dtype": "float32", "autocast": False})
        if not 0 <= seed < 2**31:
            raise UserError(f"seed={seed} must lie in [0, 2^31)")
        self.seed, self.options = seed, options
        self.built = True

    def call(self, inputs, step=None):
        """Makes the pieces of one step.

        Args:
            inputs: images [b, S, S, C], uint8, uint16 or float in [0, 1], or a single one [S, S, C], or a dict with
                such "images", whose other entries are passed on.
            step: int64 scalar, e.g. `optimizer.iterations`; None: drawn at random.

        Returns:
            (pieces, labels), see the layer; for a dict, the dict with them as "images" and "pretext_labels".
        """
        given = inputs["images"] if isinstance(inputs, dict) else inputs
        images = tf.convert_to_tensor(given)
        if images.dtype.name not in FULL_SCALE:
            raise UserError(f"images are {images.dtype.name}: expected uint8, uint16 or floats in [0, 1]")
        images = tf.cast(images, tf.float32) / FULL_SCALE[images.dtype.name]
        if step is None:
            step = self._random_generator.uniform_full_int([], dtype=tf.int64)
        single = images.shape.rank == 3
        pieces, labels = self.make(images[None] if single else images, tf.cast(step, tf.int64))
        if single:
            pieces, labels = pieces[0], labels[0]
        return {**inputs, "images": pieces, "pretext_labels": labels} if isinstance(inputs, dict) else (pieces, labels)

    def make(self, images, step):
        """float32 [b, S, S, C] in [0, 1], int64 scalar -> (pieces [b, ...], int32 labels [b, ...])."""
        raise NotImplementedError

    def draws(self, images, step, count):
        """U(0, 1) for each image of the global batch: float32 [b, count]."""
        return draws.place_draws(self.seed, step, places(images), count)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed, **self.options}


def places(images):
    """The places of this replica's images in the global batch: int32 [b]."""
    batch = tf.shape(images)[0]
    return distribute.replica_id() * batch + tf.range(batch)
