"""`metrics.jsonl`: the numbers of every epoch."""

import json

import keras

from ssl_keras import files
from ssl_keras.training.steps import steps_made


class MetricsLog(keras.callbacks.Callback):
    """Appends each epoch's logs to `history` and writes `metrics.jsonl`, a JSON object per line, whole each time."""

    def __init__(self, path: str, history: list[dict]):
        super().__init__()
        self.path, self.history = path, history

    def on_epoch_end(self, epoch, logs=None):
        logs |= self._rates()
        self.history.append(
            {
                "epoch": epoch + 1,
                "step": steps_made(self.model),
                **{name: float(value) for name, value in logs.items()},
            }
        )
        files.write_text(self.path, "".join(json.dumps(line) + "\n" for line in self.history))

    def _rates(self) -> dict[str, float]:
        """The learning rate, and those of parts that keep the schedule's peak."""
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        rates = {"learning_rate": float(keras.ops.convert_to_numpy(optimizer.learning_rate))}
        schedule = getattr(optimizer, "_learning_rate", None)
        kept = getattr(self.model, "constant_lr", ())
        return rates | {f"learning_rate/{part}": schedule.peak for part in kept if hasattr(schedule, "peak")}
