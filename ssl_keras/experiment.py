"""A pretraining run from top to bottom: source -> canvases -> method -> fit -> encoder and summary."""

import ast
import contextlib
import dataclasses
import inspect
import os
import re
import statistics
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from ssl_keras import distribute, export, files, methods, monitor, optim, preview, run_folder
from ssl_keras.checkpoints import Checkpoints, Position
from ssl_keras.config import Config, check_micro_batches, read_run
from ssl_keras.data import batches, identity, size, sources
from ssl_keras.data.canvases import CanvasSpec, load_canvases
from ssl_keras.data.pipeline import BadFilesError, stop_if_too_many
from ssl_keras.data.probe import probe
from ssl_keras.errors import UserError
from ssl_keras.evals import features, knn
from ssl_keras.interrupts import Signals
from ssl_keras.nn import norm
from ssl_keras.nn.backbones import build_backbone
from ssl_keras.views import policies
from ssl_keras.views.layer import RandomViews, center_view
from ssl_keras.words import counted, nearest

LARGEST_DEFAULT_VIEW = 224
CANVAS_MARGIN = 8 / 7  # 256 for views of 224: crops are resampled from a little more than they need
SAMPLE = 512  # images in which collapse is watched
PREVIEWED = 256  # images that are decoded to choose from for a picture of views
KNN_QUERIES, KNN_BANK = 1000, 10_000


def pretrain(config: Config) -> dict | None:
    """Trains, resumes or recognises the run of `config.workdir`; returns its summary (None on a worker
    that writes none).

    Raises:
        UserError: for settings or data with which no run can be made, before anything is trained; for a folder in
            which another process trains.
        BadFilesError: more files than `max_bad_fraction` cannot be read; `bad_files.txt` names them.
        monitor.DivergedError: the loss is no longer finite.
        Interrupted: told to stop, or a worker was lost; the same command goes on from the last checkpoint.
    """
    method_class = methods.load(config.method)
    arguments = method_arguments(config, method_class)
    done = finished_summary(config)
    if done:
        print(f"{config.workdir} is finished ({done['epochs']} epochs); nothing to do")
        return done
    strategy = distribute.build_strategy(config.strategy, config.num_devices, config.tpu)
    worker, workers = distribute.worker(strategy)
    if config.batch_size % strategy.num_replicas_in_sync:
        raise UserError(
            f"--batch_size={config.batch_size} must be a multiple of the {strategy.num_replicas_in_sync} replicas"
        )
    source = open_training_source(config, method_class)
    config, spec = resolve(config, source, method_class)
    check_same_run(config)
    os.makedirs(config.workdir, exist_ok=True)
    with alone_in(config) if worker == 0 else contextlib.nullcontext():
        canvases = load(source, spec, config)
        if worker == 0:
            run_folder.write_bad_files(config.workdir, canvases.bad)
        checkpoints = Checkpoints(_path(config, "checkpoints"), config.keep_checkpoints, writes=worker == 0)
        images = same_images(config, source, canvases, checkpoints)
        with strategy.scope():
            method = compiled_method(config, method_class, arguments, canvases)
        position = checkpoints.restore(method)
        if position.step:
            canvases.expect_bad(position.bad)
            print(f"resuming {config.workdir} after step {position.step}{continuation(config, method)}")
        if worker == 0:
            identity.write(_path(config, run_folder.IMAGES), images)
            files.write_text(_path(config, "flags.txt"), config.flag_lines())
        with Signals() as signals, distribute.lost_workers(workers), files.space_needed(config.workdir):
            fit(config, method, canvases, position, callbacks(config, method, canvases, checkpoints, position, signals))
        summary = conclude(config, method, canvases, position) if worker == 0 else None
        distribute.any_worker(strategy, True)  # a worker that ends while one still writes would look lost to it
        return summary


@contextlib.contextmanager
def alone_in(config: Config) -> Iterator[None]:
    """Holds the run's folder; `bad_files.txt` names what could not be read where that ends the run."""
    with files.locked(config.workdir):
        files.remove_unfinished(config.workdir, run_folder.NAMES)
        try:
            yield
        except BadFilesError as error:
            run_folder.write_bad_files(config.workdir, error.bad)
            raise


def fit(config: Config, method: keras.Model, canvases, position: Position, watching: list) -> None:
    """Trains from a position to the end."""

    def rows(worker: int, workers: int) -> tf.data.Dataset:
        return batches.train_batches(
            canvases, config.batch_size, config.seed, start_step=position.step, shard=(worker, workers)
        )

    try:
        method.fit(
            rows,
            epochs=config.epochs,
            steps_per_epoch=batches.steps_per_epoch(canvases, config.batch_size),
            start_step=position.step,
            steps_per_execution=config.steps_per_execution,
            undo_nonfinite=config.skip_nonfinite > 0,
            callbacks=watching,
            verbose=0,
        )
    except tf.errors.InvalidArgumentError:  # as which TensorFlow passes on what streaming raises
        stop_if_too_many(canvases.bad, len(canvases), config.max_bad_fraction)
        raise


def conclude(config: Config, method: keras.Model, canvases, position: Position) -> dict:
    """Writes what a finished run leaves, its summary last."""
    run_folder.write_bad_files(config.workdir, canvases.bad)
    export.save_keras(export.build_encoder(method.encoder, config.dtype), _path(config, "encoder.keras"))
    return write_summary(config, method, position.history, len(canvases))


def method_arguments(config: Config, method_class: type) -> dict:
    """`--method_arg=name=value` as keywords, checked against the method's constructor and its annotations."""
    known = {
        name: p
        for name, p in inspect.signature(method_class.__init__).parameters.items()
        if p.kind is p.KEYWORD_ONLY and name not in methods.FACTS
    }
    arguments = {}
    for item in config.method_arg:
        name, equals, text = item.partition("=")
        if not equals or name not in known:
            listing = ", ".join(f"{n} ({p.default!r})" for n, p in known.items()) or "none"
            raise UserError(
                f"--method_arg={item}: {config.method} has no argument {name!r}{nearest(name, known)}; known, with "
                f"defaults: {listing}"
                if equals
                else f"--method_arg={item} must have the form NAME=VALUE; known: {listing}"
            )
        arguments[name] = _literal(text, known[name].annotation, f"--method_arg={item}")
    return arguments


def finished_summary(config: Config) -> dict | None:
    """The summary of the run in `workdir` if it has made all its epochs, None if it has not or there is none."""
    if not config.workdir:
        raise UserError("--workdir is missing: name a folder for the run, such as runs/a")
    run_folder.check_free(config.workdir)
    check_same_run(config)
    path = _path(config, "summary.json")
    summary = files.read_json(path) if os.path.exists(path) else None
    return summary if summary and summary["epochs"] >= config.epochs else None


def check_same_run(config: Config) -> None:
    """Refuses a folder that holds a run with other settings, listing them; nothing in it is touched."""
    if os.path.exists(_path(config, "flags.txt")):
        differences = config.differences(read_run(config.workdir))
        if differences:
            raise UserError(
                f"{config.workdir} holds a run with other settings ({'; '.join(differences)}): "
                "use another --workdir, or the settings of that run"
            )


def same_images(config: Config, source: sources.Source, canvases, checkpoints: Checkpoints) -> identity.Identity:
    """The images of the run; UserError where the run in its folder was begun with others."""
    place = config.data.partition(":")[2]
    roots = [place, os.path.dirname(re.split(r"[*?\[]", place)[0]), os.path.expanduser(config.data_dir or "")]
    images = identity.of(source, roots, canvases.bad_indices)
    path = _path(config, run_folder.IMAGES)
    if checkpoints.names() and os.path.exists(path):
        differences = images.differences(identity.read(path))
        if differences:
            raise UserError(
                f"the data of {config.workdir} has changed since the run began ({'; '.join(differences)}): bring it "
                "back to how it was and the same command goes on, or start a new run in another --workdir"
            )
    return images


def continuation(config: Config, method: keras.Model) -> str:
    """What is to be said where more epochs are asked for than the run in the folder was begun with; else ""."""
    path = _path(config, "flags.txt")
    before = read_run(config.workdir).epochs if os.path.exists(path) else config.epochs
    if config.epochs <= before:
        return ""
    rate = float(keras.ops.convert_to_numpy(method.optimizer.learning_rate))
    return (
        f": from {before} to {config.epochs} epochs. The {config.schedule} schedule is now that of {config.epochs} "
        f"epochs and goes on from learning rate {rate:.4g}; what else follows the length of the run (momenta, "
        f"temperatures, weight decay) does too. A run of {config.epochs} epochs from the start would be another one"
    )


def open_training_source(config: Config, method_class: type) -> sources.Source:
    """All images of the data without their test part; for a method that needs labels, the labelled training part."""
    if method_class.needs_labels:
        source, _, note = sources.train_and_test(config.data, config.data_dir, config.canvas_size or config.image_size)
        print(note)
    else:
        source = sources.open_source(config.data, "train", config.data_dir, config.canvas_size or config.image_size)
    return sources.take(source, config.train_examples)


def resolve(config: Config, source: sources.Source, method_class: type) -> tuple[Config, CanvasSpec]:
    """Fills what the settings leave to the data: recipe, sizes, channels and pixel type."""
    size.set_limit(config.max_megapixels)
    found = probe(source, channels=config.channels, dtype=config.dtype)
    if found.note:
        print(found.note)
    side = int(np.median(found.sizes.max(axis=1)))
    image_size = config.image_size or max(8, min(LARGEST_DEFAULT_VIEW, side))
    canvas_size = config.canvas_size or max(8, min(side, round(image_size * CANVAS_MARGIN)))
    config = dataclasses.replace(
        config,
        views=config.views or method_class.default_views,
        image_size=image_size,
        canvas_size=canvas_size,
        channels=found.channels,
        dtype=found.dtype,
    )
    return config, CanvasSpec(canvas_size, found.channels, found.dtype)


def load(source: sources.Source, spec: CanvasSpec, config: Config):
    """The source as canvases, and a line about them."""
    canvases = load_canvases(source, spec, config.max_bad_fraction, data_service=config.data_service)
    skipped = f"; {counted(len(canvases.bad), 'file')} could not be read (bad_files.txt)" if canvases.bad else ""
    print(
        f"{source.name}: {len(canvases)} images, canvases {spec.size}x{spec.size}x{spec.channels} {spec.dtype}{skipped}"
    )
    for remark in source.remarks:
        print(f"  {remark}")
    return canvases


def compiled_method(config: Config, method_class: type, arguments: dict, canvases) -> keras.Model:
    """The method with its backbone, views and optimizer, ready to fit; call it in the strategy's scope."""
    if config.micro_batch_size is not None:
        check_micro_batches(config.batch_size, config.micro_batch_size, distribute.num_replicas())
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.precision)
    steps = batches.steps_per_epoch(canvases, config.batch_size)
    mean, std = channel_statistics(canvases)
    backbone = untrained_backbone(config, mean, std)
    views = random_views(config)
    check_view_count(config, method_class, len(views.views))
    facts = {
        "num_classes": class_count(canvases),
        "num_examples": len(canvases),
        "batch_size": config.batch_size,
        "total_steps": config.epochs * steps,
    }
    wanted = inspect.signature(method_class.__init__).parameters
    with normalization(config):
        method = method_class(backbone, views, **arguments, **{k: v for k, v in facts.items() if k in wanted})
    method.micro_batch_size = config.micro_batch_size
    method.check_batch(config.batch_size)
    method.compile(optimizer=build_optimizer(config, method, steps), jit_compile=compiles_steps(config))
    method.optimizer.build(method.trainable_variables)
    return method


def compiles_steps(config: Config) -> bool:
    """Whether XLA compiles whole steps: on one GPU.

    On CPU oneDNN is faster for the model, and views compile themselves; a TPU's strategy compiles by itself; between
    several GPUs of a host XLA cannot communicate.
    """
    single = distribute.num_replicas() == 1
    if config.jit_compile == "true" and not single and config.strategy != "tpu":
        raise UserError("--jit_compile=true compiles the step of a single device; leave it out with several")
    if config.jit_compile == "auto":
        return single and bool(tf.config.list_physical_devices("GPU"))
    return config.jit_compile == "true" and single


def random_views(config: Config) -> RandomViews:
    """The layer that makes the views of the settings."""
    without = tuple(filter(None, config.views_without.split(",")))
    changes = {}
    for item in config.view_arg:
        name, equals, text = item.partition("=")
        if not equals:
            raise UserError(f"--view_arg={item} must have the form NAME=VALUE")
        changes[name] = _literal(text, object, f"--view_arg={item}")
    recipe = policies.get(config.views, config.image_size, without=without, **changes)
    return RandomViews(recipe, config.image_size, seed=config.seed, color=config.color)


def check_view_count(config: Config, method_class: type, count: int) -> None:
    """Refuses a recipe that gives a method more or fewer views than it compares."""
    own = policies.get(method_class.default_views, config.image_size)
    if count != len(own) and not (method_class.multi_crop and count >= 2):
        needed = "2 or more" if method_class.multi_crop else len(own)
        raise UserError(
            f"--views={config.views} makes {count} view(s) of an image, and {config.method} needs {needed}: such as "
            f"--views={method_class.default_views}"
        )


def class_count(data) -> int:
    """How many classes the labels of a source or of canvases tell apart; 0 without labels. Some have no names."""
    if data.class_names:
        return len(data.class_names)
    return 0 if data.labels is None else int(data.labels.max()) + 1


def untrained_backbone(config: Config, mean, std) -> keras.Model:
    """The run's backbone with the weights that its seed gives."""
    with normalization(config):
        return build_backbone(
            config.backbone,
            config.image_size,
            config.channels,
            width=config.width,
            seed=config.seed,
            mean=mean,
            std=std,
            stem=config.stem,
            zero_init_last=config.zero_init_last,
            patch=config.patch,
            pool=config.pool,
        )


def normalization(config: Config):
    """The context in which the run's networks are built; a replica's pieces are normalized by themselves."""
    return norm.using(config.norm, synchronized=None if config.micro_batch_size is None else False)


def channel_statistics(canvases) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel in [0, 1], over up to 2,048 images spread over the data.

    The papers normalise by ImageNet's statistics or not at all; images that are not photographs need their own.
    """
    x = canvases.sample(2048)
    return [float(v) for v in x.mean(axis=(0, 1, 2))], [float(max(v, 1e-3)) for v in x.std(axis=(0, 1, 2))]


def build_optimizer(config: Config, method: keras.Model, steps: int) -> keras.optimizers.Optimizer:
    """The optimizer of the settings, its schedule in steps of the whole run."""
    rate = optim.schedule(
        config.schedule,
        config.learning_rate,
        config.batch_size,
        config.epochs * steps,
        round(config.warmup_epochs * steps),
        config.lr_scaling,
        config.final_lr,
        _numbers(config.milestones, "--milestones"),
        config.lr_drop,
    )
    optimizer = optim.build_optimizer(
        config.optimizer,
        rate,
        config.weight_decay,
        config.momentum,
        nesterov=config.nesterov,
        exclude_1d=config.exclude_1d,
        lr_multipliers=_multipliers(config.lr_multiplier),
        constant_lr_paths=method.constant_lr,
        held=method.held,
        beta_2=config.beta_2,
        clipnorm=config.clipnorm,
        final_weight_decay=config.final_weight_decay,
    )
    return optim.LossScale(optimizer) if config.precision == "mixed_float16" else optimizer


def _numbers(text: str, where: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"{where}={text} must be numbers, separated by commas") from error


def _multipliers(items: tuple[str, ...]) -> dict[str, float]:
    """`--lr_multiplier=PATTERN=FACTOR` as {pattern: factor}."""
    multipliers = {}
    for item in items:
        pattern, equals, factor = item.rpartition("=")
        if not (equals and pattern):
            raise UserError(f"--lr_multiplier={item} must have the form PATTERN=FACTOR")
        (multipliers[pattern],) = _numbers(factor, f"--lr_multiplier={pattern}")
    return multipliers


def callbacks(config: Config, method, canvases, checkpoints, position: Position, signals) -> list:
    """What watches the run, in the order in which an epoch's logs are filled and written; one worker does so."""
    finite = monitor.StopWhenNotFinite(config.skip_nonfinite, position.skipped)
    speed = monitor.Speed(config.batch_size, position.seconds)

    def save(step: int) -> None:
        at = Position(step, position.history, canvases.bad_indices, speed.elapsed(), finite.skipped)
        checkpoints.save(method, at)

    saving = monitor.SaveCheckpoints(save, config.checkpoint_interval(), config.epochs, signals)
    if not checkpoints.writes:
        return [finite, speed, saving]
    sample = center_view(canvases.sample(SAMPLE), config.image_size).numpy()
    watching = [finite, speed, monitor.Collapse(sample)]
    if config.knn_every:
        watching.append(
            monitor.Score("knn_top1", online_knn(config, method, canvases), config.knn_every, config.epochs)
        )
    return [
        *watching,
        monitor.MetricsLog(_path(config, "metrics.jsonl"), position.history),
        monitor.TensorBoard(
            _path(config, "tensorboard"), lambda: preview.views_grid(method.views, canvases)[None] / 255
        ),
        monitor.Progress(config.epochs, config.batch_size),
        saving,
    ]


def online_knn(config: Config, method, canvases):
    """kNN accuracy among *training* images while training: the test images are not looked at."""
    labelled = np.flatnonzero(canvases.labels >= 0)
    if len(np.unique(canvases.labels[labelled])) < 2:
        raise UserError(f"--knn_every needs labelled images of two classes, which {config.data} lacks; leave it out")
    order = np.random.default_rng(0).permutation(labelled)
    queries = order[: min(KNN_QUERIES, max(1, len(order) // 5))]
    bank = order[len(queries) :][:KNN_BANK]

    bank, queries = canvases.subset(bank), canvases.subset(queries)
    embed = features.embedder(lambda x: method.encoder(x, training=False), config.image_size)

    def measure() -> float:
        return knn.evaluate(features.extract(embed, bank), features.extract(embed, queries))["top1"]

    return measure


def preview_views(config: Config, output: str, images: int, draws: int) -> None:
    """Writes a PNG of some images of the data and of their views by the recipe of the settings."""
    preview.check_output(output)
    method_class = methods.load(config.method)
    source = open_training_source(config, method_class)
    config, spec = resolve(config, source, method_class)
    views = random_views(config)
    canvases = load_canvases(sources.take(source, min(len(source), PREVIEWED)), spec, max_bad_fraction=1.0)
    preview.save_views_png(output, views, canvases, images, draws)


def write_summary(config: Config, method, history: list[dict], examples: int) -> dict:
    """`summary.json`, the sign of a finished run."""
    speeds = [line["images_per_second"] for line in history if line["images_per_second"]]
    summary = {
        "method": config.method,
        "data": config.data,
        "examples": examples,
        "backbone": config.backbone,
        "parameters": method.encoder.count_params(),
        "epochs": config.epochs,
        "steps": history[-1]["step"],
        "seed": config.seed,
        "seconds": round(sum(line["seconds"] for line in history), 2),
        "images_per_second": round(statistics.median(speeds), 2) if speeds else None,
        "peak_memory_bytes": monitor.peak_memory_bytes(),
        "final": history[-1],
    }
    files.write_json(_path(config, "summary.json"), summary)
    return summary


def _path(config: Config, name: str) -> str:
    return os.path.join(config.workdir, name)


def _literal(text: str, kind: type, where: str):
    try:
        value = text if kind is str else ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if kind is float and type(value) is int:
        value = float(value)
    if kind in (int, float, bool, str) and type(value) is not kind:
        raise UserError(f"{where}: expected {kind.__name__}, got {text!r}")
    return value
