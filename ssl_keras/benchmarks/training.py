"""Images per second of training and of its parts, beside the same step in plain Keras, measured in turn in one run.

Two worker processes are alive at once and work one at a time: ours, and one with stock BatchNormalization and
TensorFlow's default switches (which can only be chosen before TensorFlow is imported). Machines drift, so each round
measures every part once and ratios are formed within rounds.
"""

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from ssl_keras.config import Config
from ssl_keras.errors import UserError

PARTS = {"train": ("step", "step_without_views", "passes", "loop", "input", "plain_keras_step"), "input": ("input",)}
RATIOS = {
    "loop / step": ("loop", "step"),
    "step / plain_keras_step": ("step", "plain_keras_step"),
    "step / step_without_views": ("step", "step_without_views"),
    "passes / step_without_views": ("passes", "step_without_views"),  # what a method costs beside its networks
}


def run(suites: list[str], config: Config, rounds: int, seconds: float) -> list[dict]:
    """Measures the suites for the method, backbone, data and batch of `config`.

    Args:
        suites: of `PARTS`.
        rounds: each measures every part once.
        seconds: that one measurement takes, about.

    Returns:
        A row for each suite: {"suite", "method", "backbone", "batch_size", "image_size", "images_per_second": {part:
        {"median", "min", "max"}}, "ratios": {name: {"median", "min", "max"}}}.
    """
    rows = []
    with _Workers(config) as workers:
        for suite in suites:
            taken = {part: [] for part in PARTS[suite]}
            for _ in range(rounds):
                for part, values in taken.items():
                    values.append(workers.measure(part, seconds))
            ratios = {
                name: [a / b for a, b in zip(taken[over], taken[under])]
                for name, (over, under) in RATIOS.items()
                if over in taken and under in taken
            }
            rows.append(
                {
                    "suite": suite,
                    "method": config.method,
                    "backbone": config.backbone,
                    "width": config.width,
                    "batch_size": config.batch_size,
                    "image_size": workers.image_size,
                    "data": config.data,
                    "cpus": os.cpu_count(),
                    "rounds": rounds,
                    "images_per_second": {part: _spread(values) for part, values in taken.items()},
                    "ratios": {name: _spread(values) for name, values in ratios.items()},
                }
            )
    return rows


def table(rows: list[dict]) -> str:
    """The rows as text."""
    lines = []
    for row in rows:
        lines.append(
            f"{row['suite']}: {row['method']}, {row['backbone']} x{row['width']:g}, batch {row['batch_size']}, "
            f"{row['image_size']} px, {row['cpus']} CPUs, {row['rounds']} rounds"
        )
        for heading, digits in (("images_per_second", 0), ("ratios", 3)):
            for name, value in row[heading].items():
                lines.append(
                    f"  {name:<28}{value['median']:>10.{digits}f}   ({value['min']:.{digits}f} .. "
                    f"{value['max']:.{digits}f}){' images/s' if digits == 0 else ''}"
                )
    return "\n".join(lines)


class _Workers:
    """The two processes; started when the first measurement needs them."""

    def __init__(self, config: Config):
        self.config, self.processes, self.image_size = config, {}, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.stdin.close()
            process.wait()

    def measure(self, part: str, seconds: float) -> float:
        process = self._process("plain" if part == "plain_keras_step" else "ours")
        print(
            json.dumps({"part": "step" if part == "plain_keras_step" else part, "seconds": seconds}),
            file=process.stdin,
            flush=True,
        )
        return self._answer(process)["images_per_second"]

    def _process(self, kind: str) -> subprocess.Popen:
        if kind not in self.processes:
            imports = "import tensorflow; " if kind == "plain" else ""  # before our switches are set
            environment = dict(os.environ)
            if kind == "plain":
                environment.pop("TF_ENABLE_ONEDNN_OPTS", None)
            process = subprocess.Popen(
                [sys.executable, "-c", f"{imports}from ssl_keras.benchmarks import training; training.work()", kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            self.processes[kind] = process
            print(json.dumps(dataclasses.asdict(self.config)), file=process.stdin, flush=True)
            self.image_size = self._answer(process)["image_size"]
        return self.processes[kind]

    def _answer(self, process: subprocess.Popen) -> dict:
        for line in process.stdout:
            if line.startswith("{"):
                answer = json.loads(line)
                if "error" in answer:
                    raise UserError(answer["error"])
                return answer
        raise UserError(f"a benchmark process ended with status {process.wait()}; its messages are above")


def work() -> None:
    """A worker: reads its `Config` and then requests from standard input, answers each with one line of JSON."""
    values = json.loads(sys.stdin.readline())
    config = Config(**{**values, "method_arg": tuple(values["method_arg"])})
    try:
        parts = _parts(config, plain=sys.argv[1] == "plain")
        print(json.dumps({"image_size": parts["image_size"]}), flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            print(json.dumps({"images_per_second": parts[request["part"]](request["seconds"])}), flush=True)
    except ValueError as error:
        print(json.dumps({"error": str(error)}), flush=True)


def _parts(config: Config, plain: bool) -> dict[str, object]:
    """part -> function of a duration that returns images/s; and the image size."""
    import tensorflow as tf

    from ssl_keras import methods
    from ssl_keras.build.arguments import method_arguments
    from ssl_keras.build.data import open_training_source, resolve
    from ssl_keras.build.method import compiled_method
    from ssl_keras.data.canvases import batches
    from ssl_keras.data.canvases.memory import load_canvases
    from ssl_keras.nn import batch_norm
    from ssl_keras.training.finite import StopWhenNotFinite
    from ssl_keras.training.progress import Progress
    from ssl_keras.training.speed import Speed

    if plain:
        batch_norm.FusedBatchNormalization._fused_kernel_applies = lambda *_: False
    method_class = methods.load(config.method)
    source = open_training_source(config, method_class)
    config, spec = resolve(config, source, method_class)
    canvases = load_canvases(source, spec, config.max_bad_fraction, data_service=config.data_service)
    arguments = method_arguments(config, method_class)
    method = compiled_method(config, method_class, arguments, canvases)
    dataset = batches.train_batches(canvases, config.batch_size, config.seed)
    batch = next(iter(dataset))
    step = tf.function(method.train_step, reduce_retracing=True)

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
    bare = tf.function(lambda: _with_views(method, views, batch)["loss"])
    passes = tf.function(lambda: _passes_alone(method, views, batch))

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

    return {
        "image_size": config.image_size,
        "input": input_alone,
        "loop": loop,
        "step": lambda seconds: steps(constant_step, seconds),
        "step_without_views": lambda seconds: steps(lambda: float(bare()), seconds),
        "passes": lambda seconds: steps(lambda: float(passes()), seconds),
    }


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


def _spread(values: list[float]) -> dict:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}
