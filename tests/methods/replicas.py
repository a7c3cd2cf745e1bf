"""Several replicas on the same global batches are one: python -m tests.methods.replicas METHOD COUNT."""

import ssl_keras  # isort: skip  # first: sets the environment that TensorFlow reads when it is imported

import sys

import numpy as np
import tensorflow as tf

from tests.methods import harness

assert ssl_keras.__version__
STEPS = 5
GENTLE = 1e-5  # learning rate: with batches of 16 rounding grows a hundredfold with each large step, on any replicas


def compare(name: str, strategy: tf.distribute.Strategy) -> None:
    """Asserts that views, losses and weights of a few steps are those of one replica, and that the steps were equal."""
    one = harness.make(name, learning_rate=GENTLE)
    start = harness.weights(one)
    alone = harness.train(one, harness.batches(STEPS))
    with strategy.scope():
        several = harness.make(name, learning_rate=GENTLE)
    together = harness.train(several, harness.batches(STEPS))
    for key, value in alone.items():
        np.testing.assert_allclose(together[key], value, rtol=1e-4, atol=1e-5, err_msg=key)
    moves = []
    for before, v, w in zip(start, one.weights, several.weights, strict=True):
        v, w = v.numpy(), w.numpy()
        np.testing.assert_allclose(w, v, rtol=1e-4, atol=1e-5)
        moves.append(((v - before).ravel().astype(np.float64), (w - before).ravel().astype(np.float64)))
    mine, theirs = (np.concatenate(parts) for parts in zip(*moves, strict=True))
    assert np.linalg.norm(theirs - mine) < 1e-2 * np.linalg.norm(mine)


def main() -> None:
    name, count = sys.argv[1], int(sys.argv[2])
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    compare(name, tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(count)]))


if __name__ == "__main__":
    main()
