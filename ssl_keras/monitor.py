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

from ssl_keras import files
from ssl_keras.methods.base import even_z_std

COLLAPSED_Z_STD = 0.2  # of the even value 1/sqrt(d)
COLLAPSED_RANK = 1.5


class DivergedError(ValueError):
    """The loss is no longer a finite number."""


class StopWhenNotFinite(keras.callbacks.Callback):
    """Ends the run at the first step whose loss is not finite; the last checkpoint stays as it is."""

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):
            step = _step(self.model)
            raise DivergedError(
                f"the loss is {logs['loss']} at step {step}: training has diverged. Lower --learning_rate, lengthen "
                "--warmup_epochs, or use --precision=float32; checkpoints of earlier epochs are kept"
            )


class Speed(keras.callbacks.Callback):
    """Adds an epoch's `seconds` and the `images_per_second` of its training steps to its logs.

    A process's first step, which traces and compiles, is not counted; work between epochs is not either.
    """

    def __init__(self, batch_size: int):
        super().__init__()
        self.batch_size = batch_size
        self.traced = False

    def on_epoch_begin(self, epoch, logs=None):
        self.start = self.began = time.perf_counter()
        self.steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.end = time.perf_counter()
        if self.traced:
            self.steps += 1
        else:
            self.start, self.traced = self.end, True

    def on_epoch_end(self, epoch, logs=None):
        seconds = self.end - self.start
        logs["seconds"] = time.perf_counter() - self.began
        logs["images_per_second"] = self.steps * self.batch_size / seconds if self.steps else 0.0


class Progress(keras.callbacks.Callback):
    """A progress bar with loss, images/s and the run's time left; one line per epoch off a terminal."""

    def __init__(self, epochs: int, steps_per_epoch: int, batch_size: int):
        super().__init__()
        self.epochs, self.steps, self.batch_size = epochs, steps_per_epoch, batch_size
        self.live = sys.stdout.isatty()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.start = epoch, time.perf_counter()
        self.shown = self.start

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if self.live and (now - self.shown > 0.5 or batch + 1 == self.steps):
            self.shown = now
            per_second = (batch + 1) / (now - self.start)
            filled = 24 * (batch + 1) // self.steps
            sys.stdout.write(
                f"\r{self._epoch(self.epoch)} [{'=' * filled:<24}] {batch + 1}/{self.steps}  "
                f"loss {logs['loss']:.4f}  {per_second * self.batch_size:.0f} images/s  "
                f"{self._left(self.epoch, batch + 1, per_second)} left "
            )
            sys.stdout.flush()

    def on_epoch_end(self, epoch, logs=None):
        shown = "  ".join(f"{name} {_short(value)}" for name, value in logs.items())
        per_second = self.steps / (time.perf_counter() - self.start)
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
    """exp(entropy of the normalised singular values) of the centred representations [N, D]: between 1 and min(N, D).

    Roy and Vetterli, 2007; used to judge representations without labels by RankMe (arXiv:2210.02885, equation 1),
    which does not centre: centring keeps a common offset of ReLU features from hiding the others. 0 where nothing
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

    def on_train_batch_end(self, batch, logs=None):
        step = _step(self.model)
        if step % self.LOSS_EVERY == 0:
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
    """Saves a checkpoint each `every` epochs and after the last, once the epoch's metrics are known."""

    def __init__(self, checkpoints, history: list[dict], every: int, epochs: int):
        super().__init__()
        self.checkpoints, self.history, self.every, self.epochs = checkpoints, history, every, epochs

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.epochs:
            self.checkpoints.save(self.model, epoch + 1, self.history)


def peak_memory_bytes() -> int:
    """The most memory that this process has held so far (resident set), in bytes."""
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _step(model: keras.Model) -> int:
    return int(keras.ops.convert_to_numpy(model.optimizer.iterations))


def _short(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 100 else f"{value:.0f}"
