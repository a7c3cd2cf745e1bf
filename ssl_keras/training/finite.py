"""The end of a run whose loss is no longer a finite number."""

import math

import keras
from absl import logging

from ssl_keras.errors import UserError
from ssl_keras.training.steps import steps_made


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
        skipped = int(logs.get("skipped", 0))
        self.skipped += skipped
        if skipped:
            logging.warning(
                "the loss or a weight was not finite after step %d, which was taken back (%d of %d)",
                steps_made(self.model),
                self.skipped,
                self.skippable,
            )
        if self.skipped > self.skippable or not math.isfinite(logs["loss"]):
            also = f", {self.skipped} times by now" if self.skippable else ""
            raise DivergedError(
                f"the loss is not a finite number at step {steps_made(self.model)}{also}: training has diverged. Lower "
                "--learning_rate, lengthen --warmup_epochs, or use --precision=float32; earlier checkpoints are kept"
            )

    def on_epoch_end(self, epoch, logs=None):
        logs.pop("skipped", None)  # of the last step alone
        if self.skippable:
            logs["skipped_steps"] = self.skipped
