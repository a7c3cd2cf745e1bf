"""What a method remembers between steps: a momentum encoder, a queue of keys, a bank of features.

All of it is weights of Keras layers, so it is saved and resumed with the method. Updates take the *global* batch and
are the same on every replica.
"""

import math

import keras
import tensorflow as tf

from ssl_keras import distribute
from ssl_keras.errors import UserError
from ssl_keras.nn.cloning import clone, remade


class MomentumEncoder(keras.layers.Layer):
    """A slowly moving copy of one or more models in a row: MoCo's key encoder, BYOL's target, DINO's teacher.

    Its variables are frozen, its layers are not. So batch normalization uses the statistics of its own batch (a frozen
    layer would silently use the moving ones), and its moving statistics are its own, not an average of the online
    network's.

    Args:
        *models: built models; a call goes through their copies in turn.
        name: beginning of its variables' paths.
        reseed: whether the copies start with other random weights, as BYOL's target does, instead of equal ones.
    """

    def __init__(self, *models, name="target", reseed=False):
        super().__init__(name=name, autocast=False)  # images stay float32 in mixed precision, as for the online network
        self.models = [copied(model, name, reseed) for model in models]
        self._pairs = lambda: pairs  # not an attribute: Keras would take the online variables for this layer's own
        pairs = [
            pair
            for copy, online in zip(self.models, models, strict=True)
            for pair in zip(copy.trainable_variables, online.trainable_variables, strict=True)
        ]
        for copy, _ in pairs:
            copy.trainable = False
        self.built = True

    def call(self, x, training=True):
        for model in self.models:
            x = model(x, training=training)
        return x

    def update(self, momentum):
        """ξ ← momentum · ξ + (1 - momentum) · θ for every parameter.

        Args:
            momentum: float or float32 scalar in [0, 1].
        """
        for copy, online in self._pairs():
            copy.assign(copy + (1.0 - momentum) * (online - copy))

    def distance(self) -> float:
        """|ξ - θ| / |θ|: how far the copy is behind, as a share of the online network's length."""
        pairs = [(tf.convert_to_tensor(copy), tf.convert_to_tensor(online)) for copy, online in self._pairs()]
        apart = sum(float(tf.reduce_sum(tf.square(copy - online))) for copy, online in pairs)
        length = sum(float(tf.reduce_sum(tf.square(online))) for _, online in pairs)
        return math.sqrt(apart / length) if length else 0.0


def copied(model, name, reseed=False):
    """A clone of `model` whose variables' paths begin with `name`.

    It has the model's weights, or, with `reseed`, initial ones of other seeds.
    """

    def reseeded(layer):
        config = layer.get_config()
        for key, value in config.items():
            if key.endswith("_initializer") and isinstance(value, dict) and value["config"].get("seed") is not None:
                value["config"]["seed"] = (value["config"]["seed"] + 1) % 2**31
        return type(layer).from_config(config)

    with keras.name_scope(name):
        copy = clone(model, reseeded if reseed else remade)
    if not reseed:
        copy.set_weights(model.get_weights())
    return copy


class FeatureQueue(keras.layers.Layer):
    """The newest `length` keys, first in, first out (MoCo, arXiv:1911.05722, section 3.2).

    It starts with random directions, as the released code does.

    Args:
        length: keys that it holds, a multiple of `batch_size`.
        dim: dimension of a key.
        batch_size: keys that come in at a time, from all replicas.
    """

    def __init__(self, length, dim, batch_size, name="queue"):
        super().__init__(name=name)
        if length < 1 or length % batch_size:
            nearest = max(round(length / batch_size), 1) * batch_size
            raise UserError(
                f"the length of the {name}, {length}, must be a multiple of the batch size {batch_size}: "
                f"use {nearest}"
            )
        self.length, self.age = length, length // batch_size  # steps for which a key stays
        self.keys = self.add_weight(
            shape=(length, dim), initializer=_random_directions, trainable=False, dtype="float32", name="keys"
        )
        self.position = self.add_weight(shape=(), initializer="zeros", trainable=False, dtype="int32", name="position")
        self.built = True

    def read(self):
        """All keys, float32 [length, dim], unit length; a copy, which a later `enqueue` does not change."""
        return tf.identity(self.keys.value)

    def enqueue(self, keys):
        """Replaces the oldest keys by those of all replicas; call it after the loss has read the queue.

        Args:
            keys: float [b, dim], this replica's, unit length.
        """
        keys = tf.cast(distribute.gather(tf.stop_gradient(keys)), tf.float32)
        count = tf.shape(keys)[0]
        write_rows(self.keys, (self.position + tf.range(count)) % self.length, keys)
        self.position.assign((self.position + count) % self.length)


class MemoryBank(keras.layers.Layer):
    """One feature for each image of the data (Wu et al., 2018, arXiv:1805.01978).

    It starts uniform in ±1/√(dim/3), as the released code does: not of unit length.

    Args:
        length: images of the data.
        dim: dimension of a feature.
    """

    def __init__(self, length, dim, name="bank"):
        super().__init__(name=name)
        bound = (dim / 3) ** -0.5
        self.length = length
        self.features = self.add_weight(
            shape=(length, dim),
            initializer=keras.initializers.RandomUniform(-bound, bound),
            trainable=False,
            dtype="float32",
            name="features",
        )
        self.built = True

    def read(self):
        """All features, float32 [length, dim]; not a copy: use it before the step's `update`."""
        return self.features.value

    def lookup(self, index):
        """The features of images by their `index`: int [...] -> float32 [..., dim]."""
        return tf.gather(self.features.value, index)

    def update(self, index, features, momentum):
        """v ← N(momentum · v + (1 - momentum) · f) for the images of all replicas; call it after the loss.

        Args:
            index: int [b], the images of this replica's rows, each at most once in the global batch.
            features: float [b, dim], unit length.
            momentum: float in [0, 1].
        """
        index, features = distribute.gather(index), distribute.gather(tf.stop_gradient(features))
        moved = momentum * self.lookup(index) + (1.0 - momentum) * tf.cast(features, tf.float32)
        write_rows(self.features, index, tf.math.l2_normalize(moved, axis=-1))


def write_rows(variable, index, rows):
    """Writes rows into a Keras variable in place: a bank of a million features is not copied.

    Args:
        index: int [n], which rows of the variable, each at most once.
        rows: [n, ...] in the variable's dtype.
    """
    # Under a strategy, `handle` is that of this replica's copy; each replica writes the same.
    tf.raw_ops.ResourceScatterUpdate(resource=variable.value.handle, indices=index, updates=rows)


def _random_directions(shape, dtype=None):
    return tf.math.l2_normalize(keras.initializers.RandomNormal()(shape, dtype=dtype), axis=-1)
