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
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.history.append(
            {
                "epoch": epoch + 1,
                "step": steps_made(self.model),
                **{name: float(value) for name, value in logs.items()},
            }
        )
        files.write_text(self.path, "".join(json.dumps(line) + "\n" for line in self.history))
