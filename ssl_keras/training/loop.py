"""The loop over steps, the same on one device, several, several hosts and TPUs.

Keras's own `fit` fails under MultiWorkerMirroredStrategy, and fails with several steps per execution under
MirroredStrategy (Keras 3.15). This one drives a model's `train_step` through its strategy directly. It also enters an
epoch in its middle, which exact resume needs, and can undo a step whose loss is not finite.
"""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from ssl_keras import distribute


def fit(
    model: keras.Model,
    data: tf.data.Dataset | Callable[[int, int], tf.data.Dataset],
    epochs: int,
    steps_per_epoch: int | None = None,
    start_step: int = 0,
    steps_per_execution: int = 1,
    undo_nonfinite: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> keras.callbacks.History:
    """Trains a compiled model whose parts and optimizer are built.

    Args:
        data: global batches, beginning with that of `start_step`; for several workers a function, as
            `distribute.per_replica` says.
        epochs: at which to end, counted from the beginning of the run.
        steps_per_epoch: optimizer steps; None: as many as `data` has, which is then gone through once.
        start_step: steps of the run that were made before. Within an epoch the metrics go on from their state.
        steps_per_execution: steps between two looks at the losses by the callbacks; the last execution of an epoch may
            have fewer.
        undo_nonfinite: takes back each step after which the loss or a weight is not a finite number (`undoing`). Needs
            memory for a second copy of the state while a step runs, and one step per execution.
        callbacks: as for Keras's `fit`. `on_train_batch_end` comes once for each execution, with its last step's number
            in the epoch; the logs are the epoch's running means over all replicas.
    """
    strategy = model.distribute_strategy
    if steps_per_epoch is None:
        steps_per_epoch = int(data.cardinality())
    first_epoch, done = divmod(start_step, steps_per_epoch)
    following = keras.callbacks.CallbackList(
        list(callbacks), add_history=True, model=model, epochs=epochs, steps=steps_per_epoch, verbose=0
    )
    model.stop_training = False
    batches = iter(distribute.per_replica(strategy, data))
    execute = _execution(model, undoing(model) if undo_nonfinite else model.train_step, strategy)
    following.on_train_begin()
    for epoch in range(first_epoch, epochs):
        if not done:
            model.reset_metrics()
        following.on_epoch_begin(epoch)
        while done < steps_per_epoch and not model.stop_training:
            count = min(steps_per_execution, steps_per_epoch - done)
            following.on_train_batch_begin(done)
            logs = {name: float(value) for name, value in execute(batches, count).items()}
            done += count
            following.on_train_batch_end(done - 1, logs)
        following.on_epoch_end(epoch, logs)
        done = 0
        if model.stop_training:
            break
    following.on_train_end()
    return model.history


def undoing(model: keras.Model) -> Callable[[dict], dict]:
    """The model's `train_step`, taken back where the loss or a weight is then not a finite number.

    Such a step costs a batch: the optimizer has counted it, so that what comes is what would have come. The logs have
    one more number, `skipped`: 1 for such a step, else 0.
    """

    def step(batch):
        iterations = model.optimizer.iterations
        state = [*model.weights, *model.metrics_variables, *model.optimizer.variables]
        state = [v for v in state if v is not iterations]
        before = [tf.identity(tf.convert_to_tensor(v)) for v in state]
        logs = model.train_step(batch)
        sums = [logs["loss"], *(tf.reduce_sum(tf.cast(v, tf.float32)) for v in model.trainable_variables)]
        finite = distribute.mean(tf.cast(tf.reduce_all(tf.math.is_finite(sums)), tf.float32)) == 1.0
        for variable, value in zip(state, before, strict=True):
            variable.assign(tf.where(finite, tf.convert_to_tensor(variable), value))
        return {**{metric.name: metric.result() for metric in model.metrics}, "skipped": tf.where(finite, 0.0, 1.0)}

    return step


def _execution(model: keras.Model, train_step: Callable, strategy: tf.distribute.Strategy) -> Callable:
    """(iterator over batches, count) -> logs after that many more steps.

    The iterator is an argument and not captured: a graph would keep it alive until Python ends, when its threads can no
    longer be joined.
    """
    train_step = tf.autograph.experimental.do_not_convert(train_step)
    if model.jit_compile is True:
        train_step = tf.function(train_step, jit_compile=True, autograph=False)

    def step(batches):
        if strategy.num_replicas_in_sync == 1:
            return train_step(next(batches))
        logs = strategy.run(train_step, args=(next(batches),))
        return {name: strategy.reduce("MEAN", value, axis=None) for name, value in logs.items()}

    one = tf.function(step, autograph=False)

    @tf.function(autograph=False)
    def several(batches, count):
        def body(i):
            step(batches)
            return i + 1

        tf.while_loop(lambda i: i < count - 1, body, [0], parallel_iterations=1)
        return step(batches)

    return lambda batches, count: one(batches) if count == 1 else several(batches, tf.constant(count))
