"""The parts of training that a benchmark measures, in a process of their own."""

import json
import sys
import time
from collections.abc import Callable

from ssl_keras.config import Config


def work() -> None:
    """A worker: reads its `Config` and then requests from standard input, answers each with one line of JSON."""
    values = json.loads(sys.stdin.readline())
    config = Config(**{**values, "method_arg": tuple(values["method_arg"])})
    try:
        facts, parts = parts_of(config, plain=sys.argv[1] == "plain")
        print(json.dumps(facts), flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            print(json.dumps({"per_second": parts[request["part"]](request["seconds"])}), flush=True)
    except ValueError as error:
        print(json.dumps({"error": str(error)}), flush=True)


def parts_of(config: Config, plain: bool) -> tuple[dict[str, object], dict[str, Callable[[float], float]]]:
    """Facts about the run; part -> function of a duration that returns images/s, or operations/s for "peak"."""
    import keras
    import tensorflow as tf

    from ssl_keras.benchmarks import flops
    from ssl_keras.data.canvases import batches
    from ssl_keras.nn import batch_norm
    from ssl_keras.training.finite import StopWhenNotFinite
    from ssl_keras.training.progress import Progress
    from ssl_keras.training.speed import Speed

    if plain:
        batch_norm.FusedBatchNormalization._fused_kernel_applies = lambda *_: False
    config, method, canvases = built(config)
    dataset = batches.train_batches(canvases, config.batch_size, config.seed)
    batch = next(iter(dataset))
    step = tf.function(method.train_step, reduce_retracing=True, autograph=False)

    def steps(of: Callable[[], object], seconds: float) -> float:
        of()  # traces on the first call, warms caches on the others
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            of()
            count += 1
        return count * config.batch_size / (time.perf_counter() - start)

    def constant_step():
        return float(step(batch)["loss"])

    views = [tf.identity(view) for view in method.make_views(batch)]
    bare = tf.function(lambda: _with_views(method, views, batch)["loss"], autograph=False)
    passes, by_xla = passes_of(method, views, batch), passes_of(method, views, batch, jit_compile=True)

    def loop(seconds: float) -> float:
        speed = Speed(config.batch_size)
        each = max(4, round(seconds / (config.batch_size / steps(constant_step, 1.0))))
        history = method.fit(
            dataset,
            epochs=1,
            steps_per_epoch=each,
            callbacks=[StopWhenNotFinite(), speed, Progress(1, config.batch_size)],
            verbose=0,
        )
        return history.history["images_per_second"][0]

    def input_alone(seconds: float) -> float:
        iterator = iter(dataset)
        return steps(lambda: next(iterator), seconds)

    facts = {
        "image_size": config.image_size,
        "precision": config.precision,
        "flop_per_image": flops.count(passes.get_concrete_function().graph) / config.batch_size,
    }
    return facts, {
        "input": input_alone,
        "loop": loop,
        "step": lambda seconds: steps(constant_step, seconds),
        "step_without_views": lambda seconds: steps(lambda: float(bare()), seconds),
        "passes": lambda seconds: steps(lambda: float(passes()), seconds),
        "passes_by_xla": lambda seconds: steps(lambda: float(by_xla()), seconds),
        "peak": lambda seconds: flops.peak(keras.dtype_policies.get(config.precision).compute_dtype, seconds=seconds),
    }


def built(config: Config) -> tuple:
    """The settings with all that they leave open, the method that they describe, compiled, and the canvases."""
    from ssl_keras import distribute, methods
    from ssl_keras.build.arguments import method_arguments
    from ssl_keras.build.data import open_training_source, resolve
    from ssl_keras.build.method import compiled_method
    from ssl_keras.build.precision import with_precision
    from ssl_keras.data.canvases.memory import load_canvases

    distribute.use_cpus(config.cpus)
    method_class, config = methods.load(config.method), with_precision(config)
    source = open_training_source(config, method_class)
    config, spec = resolve(config, source, method_class)
    canvases = load_canvases(source, spec, config.max_bad_fraction, data_service=config.data_service)
    return config, compiled_method(config, method_class, method_arguments(config, method_class), canvases), canvases


def passes_of(method, views, batch, jit_compile: bool = False) -> Callable:
    """The passes of a train step on these views, as a traced function without arguments."""
    import tensorflow as tf

    return tf.function(lambda: _passes_alone(method, views, batch), jit_compile=jit_compile, autograph=False)


def _with_views(method, views, batch) -> dict:
    """A train step on views that are already made."""
    make, method.make_views = method.make_views, lambda _: views
    try:
        return method.train_step(batch)
    finally:
        method.make_views = make


def _passes_alone(method, views, batch):
    """The forward and backward passes of a train step on views that are already made, and nothing else: no loss but a
    mean of all embeddings, no optimizer, no change of state, nothing watched."""
    import tensorflow as tf

    from ssl_keras.nn import state

    backward = []

    def minimize(embed, loss_of, *inputs):
        with tf.GradientTape() as tape:
            embeddings = embed(*inputs)
            loss = tf.add_n([tf.reduce_mean(tf.cast(x, tf.float32)) for x in embeddings])
        backward.extend(g for g in tape.gradient(loss, method.trainable_variables) if g is not None)
        return loss, embeddings

    def without_gradient(embed, *inputs):
        targets = embed(*inputs)
        backward.extend(targets)
        return targets

    changes = [(state.MomentumEncoder, "update"), (state.FeatureQueue, "enqueue"), (state.MemoryBank, "update")]
    kept = [getattr(owner, name) for owner, name in changes]
    method.minimize, method.without_gradient = minimize, without_gradient
    method.watch = lambda loss, z=None: {"loss": loss}
    try:
        for owner, name in changes:
            setattr(owner, name, lambda *_, **__: None)
        loss = _with_views(method, views, batch)["loss"]
    finally:
        for (owner, name), function in zip(changes, kept):
            setattr(owner, name, function)
        del method.minimize, method.without_gradient, method.watch
    # A number of each result, so that none is left out as unused.
    return loss + tf.add_n([tf.cast(tf.reshape(x, [-1])[0], loss.dtype) for x in backward])


def work_of_epochs() -> None:
    """Answers {"workdir"} of a run with {"examples": images of an epoch, "flop_per_image": [of each epoch]}."""
    from ssl_keras.benchmarks import flops
    from ssl_keras.config import read_run
    from ssl_keras.data.canvases import batches
    from ssl_keras.resolution import parse, side

    config, method, canvases = built(read_run(json.loads(sys.stdin.readline())["workdir"]))
    batch = next(iter(batches.train_batches(canvases, config.batch_size, config.seed)))
    phases, known = parse(config.resolution_schedule), {}
    shares = [side(phases, epoch, config.epochs) for epoch in range(config.epochs)]
    for share in sorted(set(shares)):
        method.views.share = share
        passes = passes_of(method, method.make_views(batch), batch)
        known[share] = flops.count(passes.get_concrete_function().graph) / config.batch_size
    examples = batches.steps_per_epoch(canvases, config.batch_size) * config.batch_size
    print(json.dumps({"examples": examples, "flop_per_image": [known[share] for share in shares]}))
