"""The loop over steps, the same on one device, several, several hosts and TPUs.

Keras's own `fit` fails under MultiWorkerMirroredStrategy, and fails with several steps per execution under
MirroredStrategy (Keras 3.15). This one drives a model's `train_step` through its strategy directly. It also enters an
epoch in its middle, which exact resume needs, and can undo a step whose loss is not finite.
"""

import time
from collections.abc import Callable, Iterable, Sequence

import keras
import tensorflow as tf

from ssl_keras import distribute
from ssl_keras.errors import UserError


def fit(
    model: keras.Model,
    data: tf.data.Dataset | Callable[[int, int], tf.data.Dataset] | Iterable,
    epochs: int,
    steps_per_epoch: int | None,
    start_step: int = 0,
    initial_epoch: int = 0,
    steps_per_execution: int = 1,
    undo_nonfinite: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int | str = 0,
    validate: Callable[[int, keras.callbacks.CallbackList], dict] | None = None,
) -> keras.callbacks.History:
    """Trains a compiled model whose parts and optimizer are built.

    Args:
        data: global batches, beginning with that of `start_step`, no fewer than the run takes; for several workers a
            function, as `distribute.per_replica` says. Where `steps_per_epoch` is None, or for another iterable, Python
            hands on one batch after another.
        epochs: at which to end, counted from the beginning of the run.
        steps_per_epoch: optimizer steps; None: an epoch is one way through `data`.
        start_step: steps of the run that were made before. Within an epoch the metrics go on from their state.
        initial_epoch: the first epoch's number where `start_step` is 0.
        steps_per_execution: steps between two looks at the losses by the callbacks; the last execution of an epoch may
            have fewer. More than 1 needs `steps_per_epoch`.
        undo_nonfinite: takes back each step after which the loss or a weight is not a finite number (`undoing`). Needs
            memory for a second copy of the state while a step runs, and one step per execution.
        callbacks: as for Keras's `fit`. `on_train_batch_end` comes once for each execution, with its last step's number
            in the epoch; the logs are the epoch's running means over all replicas.
        verbose: of Keras's progress bar; 0: none.
        validate: (epoch, callbacks) -> further logs of the epoch that has ended.

    Raises:
        UserError: the data end before the run.
    """
    strategy = model.distribute_strategy
    following = keras.callbacks.CallbackList(
        list(callbacks),
        add_history=True,
        add_progbar=verbose != 0,
        verbose=verbose,
        model=model,
        epochs=epochs,
        steps=steps_per_epoch,
    )
    model.stop_training = False
    feed = distribute.per_replica(strategy, data) if _is_stream(data) else data
    batches = iter(feed)
    train_step = undoing(model) if undo_nonfinite else model.train_step
    key = "undone" if undo_nonfinite else "trained"
    if steps_per_epoch is None or not _is_stream(data):
        steps_per_execution = 1

        def execute(batches, count):
            one = _once(model, f"{key} by Python", lambda: _traced(model, _compiled(model, train_step), strategy))
            begun = time.perf_counter()
            batch = next(batches)
            waited = time.perf_counter() - begun
            return one(batch), waited
    else:

        def execute(batches, count):
            return _once(model, key, lambda: _execution(model, train_step, strategy))(batches, count)

    model.seconds_waited = 0.0

    following.on_train_begin()
    first_epoch, done = divmod(start_step, steps_per_epoch) if start_step else (initial_epoch, 0)
    logs = {}
    for epoch in range(model._initial_epoch or first_epoch, epochs):  # which `BackupAndRestore` sets
        if not done:
            model.reset_metrics()
        following.on_epoch_begin(epoch)
        while (steps_per_epoch is None or done < steps_per_epoch) and not model.stop_training:
            count = 1 if steps_per_epoch is None else min(steps_per_execution, steps_per_epoch - done)
            following.on_train_batch_begin(done)
            try:
                results, waited = execute(batches, count)
            except (StopIteration, tf.errors.OutOfRangeError) as error:
                if steps_per_epoch is None and done:
                    batches = iter(feed)
                    break
                raise UserError(
                    f"the data ended after {done} steps of epoch {epoch + 1} of {epochs}: give more of it, or leave "
                    "steps_per_epoch out"
                ) from error
            logs = {name: float(value) for name, value in results.items()}
            model.seconds_waited += float(waited)
            done += count
            following.on_train_batch_end(done - 1, logs)
        if validate is not None:
            logs = {**logs, **validate(epoch, following)}
        following.on_epoch_end(epoch, logs)
        done = 0
        if model.stop_training:
            break
    following.on_train_end(logs)
    return model.history


def tester(model: keras.Model) -> Callable[[Iterable, int | None, keras.callbacks.CallbackList], dict]:
    """(data, steps, callbacks) -> the means of the model's `test_step` over that many batches; None: over all."""
    strategy = model.distribute_strategy
    one = _once(model, "tested", lambda: _traced(model, model.test_step, strategy))

    def test(data, steps, following):
        feed = distribute.per_replica(strategy, data) if _is_stream(data) else data
        model.reset_metrics()
        following.on_test_begin()
        logs = {}
        for number, batch in enumerate(feed):
            if number == steps:
                break
            following.on_test_batch_begin(number)
            logs = {name: float(value) for name, value in one(batch).items()}
            following.on_test_batch_end(number, logs)
        if not logs:
            raise UserError("there is no whole batch of held-out data: give more images, or a smaller batch size")
        following.on_test_end(logs)
        return logs

    return test


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


def forget(model: keras.Model) -> None:
    """Traces a model's steps anew when they are next made."""
    vars(model).pop("_steps", None)


def _once(model: keras.Model, key: str, make: Callable[[], Callable]) -> Callable:
    """A traced step, kept with the model from one `fit` to the next, as Keras keeps its functions."""
    steps = vars(model).setdefault("_steps", {})  # past Keras's `__setattr__`, which would look for layers in it
    # What a trace depends on: looked up at each call, since views may change their size from one epoch to the next.
    key = key, model.jit_compile, model.run_eagerly, model.micro_batch_size, model.view_share
    if key not in steps:
        steps[key] = make()
    return steps[key]


def _is_stream(data) -> bool:
    return isinstance(data, tf.data.Dataset) or callable(data)


def _execution(model: keras.Model, train_step: Callable, strategy: tf.distribute.Strategy) -> Callable:
    """(iterator over batches, count) -> logs after that many more steps, and the seconds waited for their data.

    The iterator is an argument and not captured: a graph would keep it alive until Python ends, when its threads can no
    longer be joined.
    """
    run = _on_replicas(_compiled(model, train_step), strategy)

    def step(batches, waited):
        with tf.control_dependencies([waited]):
            begun = tf.timestamp()
        with tf.control_dependencies([begun]):
            batch = next(batches)
        with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
            waited += tf.timestamp() - begun
        logs = run(batch)
        with tf.control_dependencies(tf.nest.flatten(logs)):  # the next step begins when this one has ended
            return logs, tf.identity(waited)

    one = step if model.run_eagerly else tf.function(step, autograph=False)

    @tf.function(autograph=False)
    def several(batches, count, waited):
        def body(i, waited):
            return i + 1, one(batches, waited)[1]

        _, waited = tf.while_loop(lambda i, _: i < count - 1, body, [0, waited], parallel_iterations=1)
        return one(batches, waited)

    nothing = tf.constant(0.0, tf.float64)

    def execute(batches, count):
        return one(batches, nothing) if count == 1 else several(batches, tf.constant(count), nothing)

    return execute


def _compiled(model: keras.Model, step: Callable) -> Callable:
    """A step of one replica, as a program of XLA where the model asks for it."""
    step = tf.autograph.experimental.do_not_convert(step)
    return tf.function(step, jit_compile=True, autograph=False) if model.jit_compile is True else step


def _traced(model: keras.Model, step: Callable, strategy: tf.distribute.Strategy) -> Callable:
    """Global batch -> logs, as a graph unless the model runs eagerly."""
    run = _on_replicas(step, strategy)
    return run if model.run_eagerly else tf.function(run, autograph=False)


def _on_replicas(step: Callable, strategy: tf.distribute.Strategy) -> Callable:
    """Global batch -> the means of the replicas' logs."""

    def run(batch):
        if strategy.num_replicas_in_sync == 1:
            return step(batch)
        logs = strategy.run(step, args=(batch,))
        return {name: strategy.reduce("MEAN", value, axis=None) for name, value in logs.items()}

    return run
