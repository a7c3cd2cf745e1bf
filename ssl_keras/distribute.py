"""Distribution strategies by name, and the collectives that the losses and the methods need.

Every collective is the identity on one replica and outside of `strategy.run`, so that code calls it
unconditionally.
"""

import contextlib
import json
import os

import tensorflow as tf
import threadpoolctl

from ssl_keras import machine
from ssl_keras.errors import UserError
from ssl_keras.interrupts import Interrupted

STRATEGIES = ("default", "mirrored", "multi_worker", "tpu")
AMPERE = (8, 0)  # compute capability of the first GPUs whose tensor cores take bfloat16


def use_cpus(count):
    """Has TensorFlow, and NumPy's matrix products, work on so many cores at a time; None: on all.

    Call it before any other TensorFlow operation. Several processes that take their share each lose less to one another
    than if each had a thread for every core.

    Raises:
        UserError: TensorFlow has started with another number.
    """
    if count is None:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(count)
    except RuntimeError as error:
        raise UserError(f"cpus={count} was asked for after TensorFlow had started: ask before any operation") from error
    threadpoolctl.threadpool_limits(count)


def build_strategy(name="default", num_devices=None, tpu=None):
    """The tf.distribute strategy called `name`; call it before any other TensorFlow operation.

    Args:
        name: "default" (one device), "mirrored" (all GPUs of this machine, or logical CPU devices where
            there is none), "multi_worker" (one process per worker, described by TF_CONFIG or started by Slurm) or
            "tpu".
        num_devices: int, how many devices "mirrored" uses; None: all.
        tpu: name or address of the TPU; None: the local one.

    Raises:
        UserError: unknown name, more devices than there are, TF_CONFIG missing or malformed, no TPU found.
    """
    if name not in STRATEGIES:
        raise UserError(f"unknown strategy {name!r}: use one of {', '.join(STRATEGIES)}")
    if num_devices is not None and name != "mirrored":
        raise UserError(f"num_devices={num_devices} belongs to the strategy 'mirrored', not to {name!r}")
    if tpu is not None and name != "tpu":
        raise UserError(f"tpu={tpu!r} belongs to the strategy 'tpu', not to {name!r}")
    if name == "mirrored":
        return tf.distribute.MirroredStrategy(_mirrored_devices(num_devices))
    if name == "multi_worker":
        return _multi_worker_strategy()
    if name == "tpu":
        return _tpu_strategy(tpu or "local")
    return tf.distribute.get_strategy()


def _mirrored_devices(num_devices):
    """Device names, e.g. ["GPU:0", "GPU:1"]."""
    if num_devices is not None and num_devices < 1:
        raise UserError(f"num_devices must be at least 1, not {num_devices}")
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        if num_devices is not None and num_devices > len(gpus):
            raise UserError(f"num_devices={num_devices}, but this machine has {len(gpus)} GPU(s)")
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
        raise UserError(
            f"{wanted} CPU devices were asked for after TensorFlow had started with fewer: "
            "build the strategy before any other TensorFlow operation"
        ) from error


def _multi_worker_strategy():
    if "TF_CONFIG" not in os.environ and "SLURM_STEP_NUM_TASKS" in os.environ:
        os.environ["TF_CONFIG"] = json.dumps(_slurm_cluster())
    workers, index = _read_tf_config()
    print(f"worker {index} of {len(workers)}, waiting for all of {', '.join(workers)}", flush=True)
    tf.get_logger().setLevel("WARNING")  # else a line for each collective of the step
    return tf.distribute.MultiWorkerMirroredStrategy()


def _slurm_cluster():
    """TF_CONFIG's content for this task of a Slurm job step; gives each task of a node its share of the GPUs."""
    gpus = bool(tf.config.list_physical_devices("GPU"))
    # Without GPUs TensorFlow's resolver would ask nvidia-smi, and needs one per task to count with.
    counted = {} if gpus else {"gpus_per_node": 2**16, "gpus_per_task": 1, "auto_set_gpu": False}
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(**counted)
    cluster = resolver.cluster_spec().as_dict()
    kind, index = resolver.get_task_info()
    return {"cluster": cluster, "task": {"type": kind, "index": index}}


def _read_tf_config():
    """The workers' addresses, and the index of this one."""
    text = os.environ.get("TF_CONFIG", "")
    expected = 'TF_CONFIG={"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
    try:
        config = json.loads(text)
        workers, index = config["cluster"]["worker"], int(config["task"]["index"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"the strategy 'multi_worker' needs {expected} or a Slurm job step; TF_CONFIG is {text!r}"
        ) from error
    if not 0 <= index < len(workers):
        raise UserError(f"TF_CONFIG has {len(workers)} worker(s), so task index {index} is none of them")
    return workers, index


def _tpu_strategy(tpu):
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise UserError(f"no TPU found as {tpu!r}: {str(error).splitlines()[0]}") from error
    return tf.distribute.TPUStrategy(resolver)


def per_replica(strategy, data):
    """What gives each replica its rows of every global batch, in order: an iterable of inputs for `strategy.run`.

    Args:
        data: tf.data.Dataset of global batches; or, for any number of input pipelines (one per worker or TPU host), a
            function (index, count) -> tf.data.Dataset of that pipeline's rows of each global batch.
    """
    rows_of = data if callable(data) else lambda index, count: data
    if strategy.num_replicas_in_sync == 1:
        return rows_of(0, 1)

    def own(context):
        rows = rows_of(context.input_pipeline_id, context.num_input_pipelines)
        replicas = context.num_replicas_in_sync // context.num_input_pipelines
        if replicas == 1:
            return rows
        return rows.rebatch(tf.nest.flatten(rows.element_spec)[0].shape[0] // replicas, drop_remainder=True)

    return strategy.distribute_datasets_from_function(own)


def worker(strategy):
    """(index, count) of this process among those that train together: (0, 1) but for the strategy "multi_worker"."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 0, 1
    resolver = strategy.cluster_resolver
    return int(resolver.task_id), len(resolver.cluster_spec().as_dict()["worker"])


def any_worker(strategy, *flags):
    """For each of some bools, whether it is true on any worker; all of them must ask at the same step."""
    if worker(strategy)[1] == 1:
        return flags
    mine = strategy.experimental_distribute_values_from_function(lambda context: tf.cast(flags, tf.float32))
    return tuple(bool(count > 0) for count in _sum(strategy, mine))


@contextlib.contextmanager
def lost_workers(count):
    """Where several workers train together, turns TensorFlow's error about one that is gone into `Interrupted`."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError, tf.errors.CancelledError) as e:
        if count == 1:
            raise
        raise Interrupted(
            f"another worker is gone (TensorFlow's {type(e).__name__}): start all of them again with the same command, "
            "which goes on from the last checkpoint"
        ) from e


@tf.function(autograph=False)
def _sum(strategy, values):
    return strategy.reduce("SUM", values, axis=None)


def has_accelerator():
    """Whether TensorFlow works on a GPU or TPU here."""
    return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))


def multiplies_bfloat16(strategy):
    """Whether the devices of this process multiply matrices of bfloat16 faster than those of float32."""
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return True
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return machine.multiplies_bfloat16()
    details = map(tf.config.experimental.get_device_details, gpus)
    return all(known.get("compute_capability", (0, 0)) >= AMPERE for known in details)


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

    Differentiable: the gradient of a row flows back to the replica that it came from, summed over all replicas'
    losses. Every replica must hold equally many rows. The length is known statically where that of `x` is.
    """
    context = _replica_context()
    if context is None:
        return x
    everything = context.all_gather(x, axis=0)
    if x.shape[0] is None:
        return everything
    return tf.ensure_shape(everything, [num_replicas() * x.shape[0], *x.shape[1:]])


def mean(x):
    """Mean of `x` over the replicas, same shape as `x`; differentiable."""
    context = _replica_context()
    return x if context is None else context.all_reduce(tf.distribute.ReduceOp.MEAN, x)


def _replica_context():
    """The replica context where there is something to communicate, else None."""
    if num_replicas() == 1:
        return None
    return tf.distribute.get_replica_context()
