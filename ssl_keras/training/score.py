"""Scores measured now and then while a run trains."""

from collections.abc import Callable

import keras


class Score(keras.callbacks.Callback):
    """Adds the scores that `measure()` returns to the logs, each `every` epochs and after the last."""

    def __init__(self, measure: Callable[[], dict[str, float]], every: int, epochs: int):
        super().__init__()
        self.measure, self.every, self.epochs = measure, every, epochs

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.epochs:
            logs |= self.measure()
