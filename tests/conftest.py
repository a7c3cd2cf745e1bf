"""What all tests share: two logical CPU devices, the folder of real images, one finished run."""

from tests import environment  # isort: skip  # first

import os
from pathlib import Path

import pytest
import tensorflow as tf

from tests.data import odd_folder

assert environment
pytest_plugins = ["tests.costs"]
# TensorFlow takes longer to optimize a graph than the few steps of a test would gain by it; tools that are started
# afresh do so, as a user's do.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
_CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(_CPU, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture
def eagerly():
    """No function is traced: numbers that are computed once or twice take a tenth of the time of a trace."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="session")
def two_replicas():
    """The strategy of two CPU replicas.

    TensorFlow's collectives take one number of devices per process: tests of more replicas start their own.
    """
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images: folder_example (with broken and unusual files) and tfds/cifar10."""
    folder = os.environ.get("SSL_KERAS_TEST_DATA")
    if not folder:
        pytest.skip("SSL_KERAS_TEST_DATA is not set: it names the folder of real test images")
    return Path(folder)


@pytest.fixture(scope="module", params=["made", "real"])
def folder_example(request, tmp_path_factory) -> Path:
    """A folder with broken and unusual files among its photos: one that is made here, and the real one."""
    if request.param == "real":
        return request.getfixturevalue("real_data") / "folder_example"
    return odd_folder.write(tmp_path_factory.mktemp("odd") / "folder_example")


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The folder of a tiny SimCLR run of five epochs, made by the tool."""
    from tests.runs import TINY, run_tool

    workdir = tmp_path_factory.mktemp("runs") / "a"
    done = run_tool("pretrain", *TINY, f"--workdir={workdir}", "--epochs=5", "--knn_every=2")
    assert not done.stderr
    return workdir
