"""Distribution strategies by name, and the collectives that the losses and the methods need.

Every collective is the identity on one replica and outside of `strategy.run`, so that code calls it
unconditionally.
"""

import json
import os

import tensorflow as tf

STRATEGIES = ("default", "mirrored", "multi_worker", "tpu")


def build_strategy(name="default", num_devices=None, tpu=None):
    """The tf.distribute strategy called `name`; call it before any other TensorFlow operation.

    Args:
        name: "default" (one device), "mirrored" (all GPUs of this machine, or logical CPU devices where
            there is none), "multi_worker" (one process per worker, described by TF_CONFIG) or "tpu".
        num_devices: int, how many devices "mirrored" uses; None: all.
        tpu: name or address of the TPU; None: the local one.

    Raises:
        ValueError: unknown name, more devices than there are, TF_CONFIG missing or malformed, no TPU found.
    """
    if name not in STRATEGIES:
        raise ValueError(f"unknown strategy {name!r}: use one of {', '.join(STRATEGIES)}")
    if num_devices is not None and name != "mirrored":
        raise ValueError(f"num_devices={num_devices} belongs to the strategy 'mirrored', not to {name!r}")
    if tpu is not None and name != "tpu":
        raise ValueError(f"tpu={tpu!r} belongs to the strategy 'tpu', not to {name!r}")
    if name == "mirrored":
        return tf.distribute.MirroredStrategy(_mirrored_devices(num_devices))
    if name == "multi_worker":
        _check_tf_config()
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "tpu":
        return _tpu_strategy(tpu or "local")
    return tf.distribute.get_strategy()


def _mirrored_devices(num_devices):
    """Device names, e.g. ["GPU:0", "GPU:1"]."""
    if num_devices is not None and num_devices < 1:
        raise ValueError(f"num_devices must be at least 1, not {num_devices}")
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        if num_devices is not None and num_devices > len(gpus):
            raise ValueError(f"num_devices={num_devices}, but this machine has {len(gpus)} GPU(s)")
        return [f"GPU:{i}" for i in range(num_devices or len(gpus))]
    wanted = num_devices or 1
    if wanted > 1:
        _split_cpu(wanted)
    return [f"CPU:{i}" for i in range(wanted)]


def _split_cpu(wanted):
    """Have `wanted` logical CPU devices: several replicas on one CPU, to try what several GPUs will do."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(cpu) or ()) >= wanted:
        return
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * wanted)
    except RuntimeError as error:
        raise ValueError(
            f"{wanted} CPU devices were asked for after TensorFlow had started with fewer: "
            "build the strategy before any other TensorFlow operation"
        ) from error


def _check_tf_config():
    text = os.environ.get("TF_CONFIG", "")
    expected = 'TF_CONFIG={"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
    try:
        config = json.loads(text)
        workers, index = config["cluster"]["worker"], config["task"]["index"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"the strategy 'multi_worker' needs {expected}; TF_CONFIG is {text!r}") from error
    if not 0 <= int(index) < len(workers):
        raise ValueError(f"TF_CONFIG has {len(workers)} worker(s), so task index {index} is none of them")


def _tpu_strategy(tpu):
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise ValueError(f"no TPU found as {tpu!r}: {error}") from error
    return tf.distribute.TPUStrategy(resolver)


def num_replicas():
    """Number of replicas that train in step (Python int), inside and outside of `strategy.run`."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def replica_id():
    """Index of the replica that asks: int32 scalar, 0 on one replica."""
    context = _replica_context()
    if context is None:
        return tf.constant(0, tf.int32)
    return tf.cast(context.replica_id_in_sync_group, tf.int32)


def gather(x):
    """The global batch, [n·b, ...], from each replica's `x` [b, ...], in order of the replicas.

    Differentiable: the gradient of a row flows back to the replica that it came from, summed over all
        replicas'
    losses. Every replica must hold equally many rows.
    """
    context = _replica_context()
    return x if context is None else context.all_gather(x, axis=0)


def mean(x):
    """Mean of `x` over the replicas, same shape as `x`; differentiable."""
    context = _replica_context()
    return x if context is None else context.all_reduce(tf.distribute.ReduceOp.MEAN, x)


def _replica_context():
    """The replica context where there is something to communicate, else None."""
    if num_replicas() == 1:
        return None
    return tf.distribute.get_replica_context()
