"""Several replicas on the same global batches are one: python -m tests.methods.replicas METHOD COUNT."""

import ssl_keras  # isort: skip  # first: sets the environment that TensorFlow reads when it is imported

import sys

import keras
import numpy as np
import tensorflow as tf

from tests.methods import harness

assert ssl_keras.__version__
STEPS = 3
GENTLE = 1e-5  # learning rate: with batches of 16 rounding grows a hundredfold with each large step, on any replicas
ROUNDING = {"nnclr": 3e-5}  # of weights and state, where it is more than 1e-5: 2e-5 in the keys of its queue


class FirstGradient(keras.callbacks.Callback):
    """Keeps the gradient of the first step: the optimizer's velocity after it, which no weight has rounded."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            self.value = _flat([v.numpy() for v in self.model.optimizer.velocities])


def compare(name: str, strategy: tf.distribute.Strategy, partners: bool = False) -> None:
    """Asserts that the first gradient, and losses, weights and their moves in a few steps, are those of one replica."""
    data = harness.batches(STEPS, partners=partners)
    one, gradient = harness.make(name, learning_rate=GENTLE), FirstGradient()
    start = harness.weights(one)
    alone = harness.train(one, data, [gradient])
    with strategy.scope():
        several, theirs = harness.make(name, learning_rate=GENTLE), FirstGradient()
    together = harness.train(several, data, [theirs])
    squares = (method.optimizer.gradient_squares.numpy() for method in (several, one))
    assert _difference(*map(np.sqrt, squares)) < 1e-2
    # A ReLU near 0 may open or close by rounding: VICReg's gradient here has 0.4 % of that, most others 0.001 %.
    assert _difference(theirs.value, gradient.value) < 1e-2
    for key, value in alone.items():
        np.testing.assert_allclose(together[key], value, rtol=1e-4, atol=1e-5, err_msg=key)
    for v, w in zip(one.weights, several.weights, strict=True):
        np.testing.assert_allclose(w.numpy(), v.numpy(), rtol=1e-4, atol=ROUNDING.get(name, 1e-5), err_msg=v.path)
    ends = harness.weights(several), harness.weights(one)
    assert _difference(*(_flat([v - before for v, before in zip(end, start)]) for end in ends)) < 1e-2


def _flat(arrays) -> np.ndarray:
    return np.concatenate([np.ravel(x).astype(np.float64) for x in arrays])


def _difference(x: np.ndarray, expected: np.ndarray) -> float:
    """|x - expected| / |expected|."""
    return np.linalg.norm(x - expected) / np.linalg.norm(expected)


def main() -> None:
    name, count = sys.argv[1], int(sys.argv[2])
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    compare(name, tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(count)]))


if __name__ == "__main__":
    main()
