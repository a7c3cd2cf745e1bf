"""What a person sees of a run on the console."""

import sys
import time

import keras

from ssl_keras.progress import CLEAR, bar, clock

# A line for a person to follow; metrics.jsonl and TensorBoard have all numbers.
SHOWN = ("loss", "accuracy", "z_std", "skipped", "seconds", "images_per_second", "effective_rank", "learning_rate")


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
            sys.stdout.write(
                f"\r{self._epoch(self.epoch)} {bar(batch + 1, self.steps)}  "
                f"loss {logs['loss']:.4f}  {per_second * self.batch_size:.0f} images/s  "
                f"{self._left(self.epoch, batch + 1, per_second)} left "
            )
            sys.stdout.flush()

    def on_epoch_end(self, epoch, logs=None):
        shown = "  ".join(f"{name} {_short(value)}" for name, value in logs.items() if name in SHOWN or "top1" in name)
        per_second = (self.steps - self.first) / (time.perf_counter() - self.start)
        print(
            f"{CLEAR if self.live else ''}{self._epoch(epoch)}  {shown}  "
            f"{self._left(epoch, self.steps, per_second)} left",
            flush=True,
        )

    def _epoch(self, epoch: int) -> str:
        return f"epoch {epoch + 1}/{self.epochs}"

    def _left(self, epoch: int, step: int, steps_per_second: float) -> str:
        seconds = ((self.epochs - epoch) * self.steps - step) / steps_per_second
        return clock(seconds)


def _short(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 100 else f"{value:.0f}"
