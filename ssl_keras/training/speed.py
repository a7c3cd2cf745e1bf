"""How long an epoch takes, and how many images a second it trains on."""

import time

import keras


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
