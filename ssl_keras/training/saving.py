"""When a run saves its state, and how it stops."""

import time
from collections.abc import Callable

import keras

from ssl_keras import distribute
from ssl_keras.interrupts import Interrupted, Signals
from ssl_keras.training.steps import steps_made


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
        step = steps_made(self.model)
        self.save(step)
        self.saved_at = time.monotonic()
        if stop:
            raise Interrupted(
                f"stopped by {self.signals.received or 'a signal to another worker'} after step {step}, which is "
                "saved: the same command goes on from there"
            )
