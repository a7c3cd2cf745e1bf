"""A score measured now and then while a run trains."""

from collections.abc import Callable

import keras


class Score(keras.callbacks.Callback):
    """Adds the score that `measure()` returns to the logs, each `every` epochs and after the last."""

    def __init__(self, name: str, measure: Callable[[], float], every: int, epochs: int):
        super().__init__()
        self.name, self.measure, self.every, self.epochs = name, measure, every, epochs

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.epochs:
            logs[self.name] = self.measure()
