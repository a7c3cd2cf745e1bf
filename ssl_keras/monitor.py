"""What is watched while a method trains: progress, metrics, collapse, TensorBoard, divergence."""

import json
import math
import sys
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from ssl_keras import distribute, files
from ssl_keras.errors import UserError
from ssl_keras.interrupts import Interrupted, Signals
from ssl_keras.methods.base import even_z_std

COLLAPSED_Z_STD = 0.2  # of the even value 1/sqrt(d)
COLLAPSED_RANK = 1.5


class DivergedError(UserError):
    """The loss is no longer a finite number."""


class StopWhenNotFinite(keras.callbacks.Callback):
    """Ends the run at the first step whose loss is not finite; the last checkpoint stays as it is.

    Args:
        skippable: how many such steps of the run may be taken back instead (`loop.undoing`); the epoch's logs then say
            as `skipped_steps` how many were, of the run so far.
        skipped: how many were before this process.
    """

    def __init__(self, skippable: int = 0, skipped: int = 0):
        super().__init__()
        self.skippable, self.skipped = skippable, skipped

    def on_train_batch_end(self, batch, logs=None):
        skipped = int(logs.pop("skipped", 0))
        self.skipped += skipped
        if skipped:
            logging.warning(
                "the loss or a weight was not finite after step %d, which was taken back (%d of %d)",
                _step(self.model),
                self.skipped,
                self.skippable,
            )
        if self.skipped > self.skippable or not math.isfinite(logs["loss"]):
            also = f", {self.skipped} times by now" if self.skippable else ""
            raise DivergedError(
                f"the loss is not a finite number at step {_step(self.model)}{also}: training has diverged. Lower "
                "--learning_rate, lengthen --warmup_epochs, or use --precision=float32; earlier checkpoints are kept"
            )
        if self.skippable:
            logs["skipped_steps"] = self.skipped


class Speed(keras.callbacks.Callback):
    """Adds an epoch's `seconds` and the `images_per_second` of its training steps to its logs.

    A process's first step, which traces and compiles, is not counted; work between epochs is not either.

    Args:
        batch_size: the global one.
        seconds: that the epoch which is entered in its middle took before.
    """

    def __init__(self, batch_size: int, seconds: float = 0.0):
        super().__init__()
        self.batch_size, self.before = batch_size, seconds
        self.traced = False

    def elapsed(self) -> float:
        """Seconds that the epoch has taken so far."""
        return self.before + time.perf_counter() - self.began

    def on_epoch_begin(self, epoch, logs=None):
        self.start = self.began = time.perf_counter()
        self.steps = 0

    def on_train_batch_begin(self, batch, logs=None):
        self.first = batch

    def on_train_batch_end(self, batch, logs=None):
        self.end = time.perf_counter()
        if self.traced:
            self.steps += batch + 1 - self.first
        else:
            self.start, self.traced = self.end, True

    def on_epoch_end(self, epoch, logs=None):
        seconds = self.end - self.start
        logs["seconds"] = self.elapsed()
        logs["images_per_second"] = self.steps * self.batch_size / seconds if self.steps else 0.0
        self.before = 0.0


class Progress(keras.callbacks.Callback):
    """A progress bar with loss, images/s and the run's time left; one line per epoch off a terminal."""

    def __init__(self, epochs: int, batch_size: int):
        super().__init__()
        self.epochs, self.batch_size = epochs, batch_size
        self.live = sys.stdout.isatty()

    def on_train_begin(self, logs=None):
        self.steps = self.params["steps"]

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.start = epoch, time.perf_counter()
        self.shown, self.first = self.start, None

    def on_train_batch_begin(self, batch, logs=None):
        self.first = batch if self.first is None else self.first  # not 0 where an epoch is entered in its middle

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if self.live and (now - self.shown > 0.5 or batch + 1 == self.steps):
            self.shown = now
            per_second = (batch + 1 - self.first) / (now - self.start)
            filled = 24 * (batch + 1) // self.steps
            sys.stdout.write(
                f"\r{self._epoch(self.epoch)} [{'=' * filled:<24}] {batch + 1}/{self.steps}  "
                f"loss {logs['loss']:.4f}  {per_second * self.batch_size:.0f} images/s  "
                f"{self._left(self.epoch, batch + 1, per_second)} left "
            )
            sys.stdout.flush()

    def on_epoch_end(self, epoch, logs=None):
        shown = "  ".join(f"{name} {_short(value)}" for name, value in logs.items())
        per_second = (self.steps - self.first) / (time.perf_counter() - self.start)
        print(
            f"{chr(13) + chr(27) + '[K' if self.live else ''}{self._epoch(epoch)}  {shown}  "
            f"{self._left(epoch, self.steps, per_second)} left",
            flush=True,
        )

    def _epoch(self, epoch: int) -> str:
        return f"epoch {epoch + 1}/{self.epochs}"

    def _left(self, epoch: int, step: int, steps_per_second: float) -> str:
        seconds = ((self.epochs - epoch) * self.steps - step) / steps_per_second
        return f"{int(seconds) // 3600}:{int(seconds) % 3600 // 60:02d}:{int(seconds) % 60:02d}"


class Collapse(keras.callbacks.Callback):
    """Adds `effective_rank` of the representations of a fixed sample to the epoch's logs, and warns of collapse in
    words.

    Args:
        sample: views of training images without augmentation, float32 [N, S, S, C] in [0, 1].
    """

    def __init__(self, sample: np.ndarray):
        super().__init__()
        self.sample = sample

    def on_epoch_end(self, epoch, logs=None):
        h = np.concatenate(
            [
                self.model.encoder(self.sample[i : i + 256], training=False).numpy()
                for i in range(0, len(self.sample), 256)
            ]
        )
        logs["effective_rank"] = effective_rank(h)
        if self.model.z_dim and logs["z_std"] < COLLAPSED_Z_STD * even_z_std(self.model.z_dim):
            logging.warning(
                "COLLAPSE: z_std is %.2g where directions spread evenly would give 1/sqrt(%d) = %.2g: the method gives "
                "(nearly) the same projection to every image and learns nothing",
                logs["z_std"],
                self.model.z_dim,
                even_z_std(self.model.z_dim),
            )
        elif logs["effective_rank"] < COLLAPSED_RANK:
            logging.warning(
                "COLLAPSE: the representations' effective rank is %.2f of %d: they vary along a single direction",
                logs["effective_rank"],
                h.shape[1],
            )


def effective_rank(h: np.ndarray) -> float:
    """exp(entropy of the normalized singular values) of the centered representations [N, D]: between 1 and min(N, D).

    Roy and Vetterli, 2007; used to judge representations without labels by RankMe (arXiv:2210.02885, equation 1),
    which does not center: centering keeps a common offset of ReLU features from hiding the others. 0 where nothing
    varies.
    """
    h = h.astype(np.float64)
    values = np.linalg.svd(h - h.mean(axis=0), compute_uv=False)
    if values[0] <= 1e-7 * max(1.0, float(np.abs(h).max())):
        return 0.0
    p = values / values.sum()
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


class Score(keras.callbacks.Callback):
    """Adds the score that `measure()` returns to the logs, each `every` epochs and after the last."""

    def __init__(self, name: str, measure: Callable[[], float], every: int, epochs: int):
        super().__init__()
        self.name, self.measure, self.every, self.epochs = name, measure, every, epochs

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.epochs:
            logs[self.name] = self.measure()


class MetricsLog(keras.callbacks.Callback):
    """Appends each epoch's logs to `history` and writes `metrics.jsonl`, a JSON object per line, whole each time."""

    def __init__(self, path: str, history: list[dict]):
        super().__init__()
        self.path, self.history = path, history

    def on_epoch_end(self, epoch, logs=None):
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.history.append(
            {
                "epoch": epoch + 1,
                "step": _step(self.model),
                **{name: float(value) for name, value in logs.items()},
            }
        )
        files.write_text(self.path, "".join(json.dumps(line) + "\n" for line in self.history))


class TensorBoard(keras.callbacks.Callback):
    """Scalars by epoch and of the loss by step, the weights' histograms by epoch, and the views that training sees.

    Args:
        directory: the run's `tensorboard/`.
        view_images: () -> float32 [1, H, W, 3] in [0, 1], a grid of originals and views; written once at the start.
    """

    LOSS_EVERY = 20  # steps

    def __init__(self, directory: str, view_images: Callable[[], np.ndarray]):
        super().__init__()
        self.directory, self.view_images = directory, view_images

    def on_train_begin(self, logs=None):
        self.writer = tf.summary.create_file_writer(self.directory)
        with self.writer.as_default(step=_step(self.model)):
            tf.summary.image("views", self.view_images())

    def on_train_batch_begin(self, batch, logs=None):
        self.before = _step(self.model)

    def on_train_batch_end(self, batch, logs=None):
        step = _step(self.model)
        if step // self.LOSS_EVERY > self.before // self.LOSS_EVERY:
            with self.writer.as_default(step=step):
                tf.summary.scalar("step/loss", logs["loss"])

    def on_epoch_end(self, epoch, logs=None):
        with self.writer.as_default(step=_step(self.model)):
            for name, value in logs.items():
                tf.summary.scalar(f"epoch/{name}", value)
            for variable in self.model.trainable_variables:
                if len(variable.shape) > 1:
                    tf.summary.histogram(variable.path, keras.ops.convert_to_numpy(variable))
        self.writer.flush()

    def on_train_end(self, logs=None):
        self.writer.close()


class SaveCheckpoints(keras.callbacks.Callback):
    """Saves the state when it is time to: after every so many epochs or minutes, at the end, and when told to stop.

    Args:
        save: (step) -> None.
        every: (number, "epochs" or "minutes").
        epochs: of the whole run.
        signals: the noted ones; on any, the state is saved after the step and the run ends with `Interrupted`.
    """

    def __init__(self, save: Callable[[int], None], every: tuple[float, str], epochs: int, signals: Signals):
        super().__init__()
        self.save, self.every, self.epochs, self.signals = save, every, epochs, signals
        self.saved_at = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        number, unit = self.every
        late = unit == "minutes" and time.monotonic() - self.saved_at > 60 * number
        strategy = self.model.distribute_strategy
        stop, late = distribute.any_worker(strategy, self.signals.received is not None, late)
        if batch + 1 == self.params["steps"]:  # the epoch's own end comes now, with its metrics
            self.stop, self.late = stop, late
        elif stop or late:
            self._save(stop)

    def on_epoch_end(self, epoch, logs=None):
        number, unit = self.every
        last = epoch + 1 == self.epochs
        if last or self.stop or self.late or (unit == "epochs" and (epoch + 1) % number == 0):
            self._save(self.stop and not last)

    def _save(self, stop: bool) -> None:
        step = _step(self.model)
        self.save(step)
        self.saved_at = time.monotonic()
        if stop:
            raise Interrupted(
                f"stopped by {self.signals.received or 'a signal to another worker'} after step {step}, which is "
                "saved: the same command goes on from there"
            )


def peak_memory_bytes() -> int:
    """The most memory that this process has held so far (resident set), in bytes."""
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _step(model: keras.Model) -> int:
    return int(keras.ops.convert_to_numpy(model.optimizer.iterations))


def _short(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 100 else f"{value:.0f}"
