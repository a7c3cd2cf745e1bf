"""Two logical CPU devices for every test, so that two replicas can be compared with one."""

import ssl_keras  # isort: skip  # first: sets the environment that TensorFlow reads when it is imported

import pytest
import tensorflow as tf

assert ssl_keras.__version__
_CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(_CPU, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(scope="session")
def two_replicas():
    """The strategy of two CPU replicas.

    TensorFlow's collectives take one number of devices per process: tests of more replicas start their own.
    """
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
