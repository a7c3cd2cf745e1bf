"""What TensorBoard shows of a run."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import tensorflow as tf

from ssl_keras.training import hparams
from ssl_keras.training.spread import even_z_std
from ssl_keras.training.steps import steps_made

# Group of scalars -> what the names of those logs begin with that are shown there.
GROUPS = {
    "loss": ("loss",),
    "score": ("knn_", "ridge_", "accuracy", "chance"),
    "representation": (
        "z_std",
        "effective_rank",
        "rankme",
        "feature_norm",
        "uniformity",
        "alignment",
        "drift",
    ),
    "optimizer": ("learning_rate", "skipped_steps"),
    "speed": ("seconds", "images_per_second", "data_wait", "peak_"),
}
OTHERS = "method"  # group of the numbers that only some methods have
OWN = "gradient_norm/"  # beginning of names that bring their group along
# What runs are compared by, in the order of the columns.
COMPARED = ("knn_top1", "effective_rank", "alignment", "uniformity", "accuracy", "rankme", "z_std", "images_per_second")


def tag(name: str) -> str:
    """Where a number of an epoch's logs is shown: "GROUP/NAME"; the loss is "loss/epoch", beside "loss/step"."""
    if name.startswith(OWN):
        return name
    group = next((group for group, beginnings in GROUPS.items() if name.startswith(beginnings)), OTHERS)
    return f"{group}/{'epoch' if name == 'loss' else name}"


class TensorBoard(keras.callbacks.Callback):
    """Scalars by epoch and of the loss by step, the weights' histograms in some epochs, the views that training sees,
    and the run's row in the table of runs.

    Args:
        directory: the run's `tensorboard/`.
        view_images: () -> uint8 [H, W, 3], a grid of originals and views; written once. Another thread calls it, so
            that views are compiled while this one traces the first step.
        histograms: () -> {name: numbers}, written after each epoch; None: there are none.
        settings: of the run, by name, for the table; None: it has no row.
        scores: names of further logs that the table shows.
    """

    LOSS_EVERY, WEIGHTS_EVERY = 20, 5  # steps; epochs

    def __init__(
        self,
        directory: str,
        view_images: Callable[[], np.ndarray],
        histograms: Callable[[], dict[str, np.ndarray]] | None = None,
        settings: Mapping[str, object] | None = None,
        scores: Sequence[str] = (),
    ):
        super().__init__()
        self.directory, self.view_images, self.histograms = directory, view_images, histograms
        self.settings, self.scores = settings, scores

    def on_train_begin(self, logs=None):
        if self.settings:
            compared = ("loss", *self.scores, *COMPARED)
            hparams.write(self.directory, self.settings, {tag(name): name for name in compared})
        self.writer = tf.summary.create_file_writer(self.directory)
        self.start, self.picture = steps_made(self.model), ThreadPoolExecutor(1).submit(self.view_images)

    def on_train_batch_begin(self, batch, logs=None):
        self.before = steps_made(self.model)

    def on_train_batch_end(self, batch, logs=None):
        if self.picture and self.picture.done():
            self._write_picture()
        step = steps_made(self.model)
        if step // self.LOSS_EVERY > self.before // self.LOSS_EVERY:
            with self.writer.as_default(step=step):
                tf.summary.scalar("loss/step", logs["loss"])

    def on_epoch_end(self, epoch, logs=None):
        self._write_picture()
        with self.writer.as_default(step=steps_made(self.model)):
            for name, value in logs.items():
                tf.summary.scalar(tag(name), value)
            if "z_std" in logs:  # what it would be without any collapse
                tf.summary.scalar(f"{tag('z_std')}_even", even_z_std(self.model.z_dim))
            for name, values in (self.histograms() if self.histograms else {}).items():
                tf.summary.histogram(f"similarities/{name}", values)
            if not epoch or (epoch + 1) % self.WEIGHTS_EVERY == 0 or epoch + 1 == self.params["epochs"]:
                for variable in self.model.trainable_variables:
                    if len(variable.shape) > 1:
                        tf.summary.histogram(variable.path, keras.ops.convert_to_numpy(variable))
        self.writer.flush()

    def say(self, remark: str) -> None:
        """Writes a sentence to the text tab."""
        with self.writer.as_default(step=steps_made(self.model)):
            tf.summary.text("doctor", remark)
        self.writer.flush()

    def on_train_end(self, logs=None):
        self._write_picture()
        self.writer.close()

    def _write_picture(self):
        if self.picture:
            with self.writer.as_default(step=self.start):
                tf.summary.image("views", self.picture.result()[np.newaxis])
            self.writer.flush()
            self.picture = None
