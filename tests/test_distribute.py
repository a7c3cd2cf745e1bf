"""Strategies by name; collectives."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import distribute
from tests.runs import TINY, losses, run_tool


def test_collectives_are_the_identity_on_one_replica():
    x = tf.constant([[1.0, 2.0]])
    assert distribute.gather(x) is x and distribute.mean(x) is x
    assert distribute.num_replicas() == 1 and int(distribute.replica_id()) == 0


def test_gather_keeps_the_order_of_replicas_and_carries_the_gradient_home(two_replicas):
    strategy = two_replicas
    rows = strategy.experimental_distribute_values_from_function(
        lambda context: tf.fill([2, 1], float(context.replica_id_in_sync_group))
    )

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            everything = distribute.gather(x)
            loss = tf.reduce_sum(everything**2) / distribute.num_replicas()
        return everything, tape.gradient(loss, x), distribute.mean(x), distribute.replica_id()

    results = tf.function(lambda x: strategy.run(step, args=(x,)))(rows)
    gathered, gradients, means, ids = (strategy.experimental_local_results(r) for r in results)
    for r in range(2):
        np.testing.assert_array_equal(gathered[r][:, 0], [0, 0, 1, 1])
        np.testing.assert_allclose(gradients[r], np.full((2, 1), 2.0 * r))
        np.testing.assert_allclose(means[r], np.full((2, 1), 0.5))
        assert int(ids[r]) == r


def test_mirrored_makes_its_own_cpu_devices():
    program = (
        "from ssl_keras import distribute\n"
        "print(distribute.build_strategy('mirrored', num_devices=3).num_replicas_in_sync)"
    )
    out = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert out.stdout.strip().endswith("3")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"name": "horovod"}, "default, mirrored, multi_worker, tpu"),
        ({"name": "default", "num_devices": 2}, "belongs to the strategy 'mirrored'"),
        ({"name": "mirrored", "num_devices": 0}, "at least 1"),
        ({"name": "mirrored", "tpu": "local"}, "belongs to the strategy 'tpu'"),
        ({"name": "multi_worker"}, "TF_CONFIG"),
        ({"name": "tpu"}, "no TPU found"),
    ],
)
def test_errors_say_what_is_expected(arguments, message, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match=message):
        distribute.build_strategy(**arguments)


def test_more_cpu_devices_than_tensorflow_started_with():
    with pytest.raises(ValueError, match="before any other TensorFlow operation"):
        tf.constant(0)
        distribute.build_strategy("mirrored", num_devices=64)


def test_a_worker_index_outside_of_the_cluster(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}')
    with pytest.raises(ValueError, match="1 worker"):
        distribute.build_strategy("multi_worker")


def test_a_share_of_the_cores_is_all_that_is_used():
    code = """
import tensorflow as tf, threadpoolctl, numpy
from ssl_keras import distribute
from ssl_keras.errors import UserError
threadpoolctl.threadpool_limits(2)
distribute.use_cpus(1)
numpy.ones((2, 2)) @ numpy.ones((2, 2))
threading = tf.config.threading
assert threading.get_intra_op_parallelism_threads() == threading.get_inter_op_parallelism_threads() == 1
assert all(pool["num_threads"] == 1 for pool in threadpoolctl.threadpool_info())
tf.zeros([1])
try:
    distribute.use_cpus(2)
except UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "cpus=2 was asked for after TensorFlow had started" in done.stdout, done.stderr


def test_a_run_goes_on_with_another_share(tmp_path):
    run_tool("pretrain", *TINY, "--epochs=1", "--cpus=1", f"--workdir={tmp_path}/a")
    run_tool("pretrain", *TINY, "--epochs=2", "--cpus=2", f"--workdir={tmp_path}/a")
    assert len(losses(tmp_path / "a")) == 2
