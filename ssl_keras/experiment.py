"""A pretraining run from top to bottom: source -> canvases -> method -> fit -> encoder and summary."""

import contextlib
import os
import statistics
from collections.abc import Iterator

import keras
import tensorflow as tf

import ssl_keras
from ssl_keras import distribute, files, machine, methods, run_folder, watching
from ssl_keras.build.arguments import method_arguments
from ssl_keras.build.data import load, open_training_source, resolve
from ssl_keras.build.method import check_positives, compiled_method
from ssl_keras.build.precision import with_precision
from ssl_keras.build.values import clipped
from ssl_keras.config import Config, read_run
from ssl_keras.data import identity
from ssl_keras.data.canvases import batches
from ssl_keras.data.canvases.partners import Partners
from ssl_keras.data.canvases.pipeline import BadFilesError, stop_if_too_many
from ssl_keras.data.source import Source
from ssl_keras.encoders import file
from ssl_keras.encoders.encoder import build_encoder
from ssl_keras.errors import UserError
from ssl_keras.interrupts import Signals
from ssl_keras.training.checkpoints import Checkpoints, Position

ORIGIN = ("method", "data", "backbone", "epochs", "seed")  # settings that an encoder remembers


def pretrain(config: Config) -> dict | None:
    """Trains, resumes or recognizes the run of `config.workdir`.

    Returns:
        Its summary; None on a worker that writes none.

    Raises:
        UserError: for settings or data with which no run can be made, before anything is trained; for a folder in
            which another process trains.
        BadFilesError: more files than `max_bad_fraction` cannot be read; `bad_files.txt` names them.
        DivergedError: the loss is no longer finite.
        Interrupted: told to stop, or a worker was lost; the same command goes on from the last checkpoint.
    """
    method_class = methods.load(config.method)
    arguments = method_arguments(config, method_class)
    check_positives(config, method_class)
    done = finished_summary(config)
    if done:
        print(f"{config.workdir} is finished ({done['epochs']} epochs); nothing to do")
        return done
    distribute.use_cpus(config.cpus)
    strategy = distribute.build_strategy(config.strategy, config.num_devices, config.tpu)
    worker, workers = distribute.worker(strategy)
    if config.batch_size % strategy.num_replicas_in_sync:
        raise UserError(
            f"--batch_size={config.batch_size} must be a multiple of the {strategy.num_replicas_in_sync} replicas"
        )
    config = with_precision(config, strategy)
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
            watchers = watching.callbacks(config, method, canvases, checkpoints, position, signals)
            fit(config, method, canvases, position, watchers)
        summary = conclude(config, method, canvases, position, watching.remarks(watchers)) if worker == 0 else None
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


def fit(config: Config, method: keras.Model, canvases, position: Position, watchers: list) -> None:
    """Trains from a position to the end."""

    partners = Partners(canvases.groups, config.seed) if config.positives == "group" else None

    def rows(worker: int, workers: int) -> tf.data.Dataset:
        shard = worker, workers
        return batches.train_batches(
            canvases, config.batch_size, config.seed, start_step=position.step, shard=shard, partners=partners
        )

    try:
        method.fit(
            rows,
            epochs=config.epochs,
            steps_per_epoch=batches.steps_per_epoch(canvases, config.batch_size),
            start_step=position.step,
            steps_per_execution=config.steps_per_execution,
            undo_nonfinite=config.skip_nonfinite > 0,
            callbacks=watchers,
            verbose=0,
        )
    except tf.errors.InvalidArgumentError:  # as which TensorFlow passes on what streaming raises
        stop_if_too_many(canvases.bad, len(canvases), config.max_bad_fraction)
        raise


def conclude(config: Config, method: keras.Model, canvases, position: Position, remarks: list[str]) -> dict:
    """Writes what a finished run leaves, its summary last."""
    run_folder.write_bad_files(config.workdir, canvases.bad)
    origin = {name: getattr(config, name) for name in ORIGIN} | {"version": ssl_keras.__version__}
    encoder = build_encoder(
        method.encoder,
        config.dtype,
        config.image_size,
        canvases.spec.values,
        canvas_size=config.canvas_size,
        clipped=clipped(canvases),
        origin=origin,
    )
    file.save_encoder(encoder, _path(config, run_folder.ENCODER))
    return write_summary(config, method, position.history, len(canvases), remarks)


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


def same_images(config: Config, source: Source, canvases, checkpoints: Checkpoints) -> identity.Identity:
    """The images of the run; UserError where the run in its folder was begun with others."""
    images = identity.of(source, identity.roots_of(config.data, config.data_dir), canvases.bad_indices)
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


def write_summary(config: Config, method, history: list[dict], examples: int, remarks: list[str]) -> dict:
    """`summary.json`, the sign of a finished run; `remarks` are the doctor's."""
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
        "peak_memory_bytes": machine.peak_memory_bytes(),
        "machine": {
            "processor": machine.processor(),
            "cores": machine.cores(),
            "accelerators": [
                tf.config.experimental.get_device_details(device).get("device_name", device.name)
                for device in tf.config.list_physical_devices()
                if device.device_type in ("GPU", "TPU")
            ],
        },
        "remarks": remarks,
        "final": history[-1],
    }
    files.write_json(_path(config, "summary.json"), summary)
    return summary


def _path(config: Config, name: str) -> str:
    return os.path.join(config.workdir, name)
