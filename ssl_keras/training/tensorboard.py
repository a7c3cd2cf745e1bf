"""What TensorBoard shows of a run."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import tensorflow as tf

from ssl_keras.training.steps import steps_made


class TensorBoard(keras.callbacks.Callback):
    """Scalars by epoch and of the loss by step, the weights' histograms by epoch, and the views that training sees.

    Args:
        directory: the run's `tensorboard/`.
        view_images: () -> uint8 [H, W, 3], a grid of originals and views; written once. Another thread calls it, so
            that views are compiled while this one traces the first step.
        histograms: () -> {name: numbers}, written after each epoch; None: there are none.
    """

    LOSS_EVERY = 20  # steps

    def __init__(
        self,
        directory: str,
        view_images: Callable[[], np.ndarray],
        histograms: Callable[[], dict[str, np.ndarray]] | None = None,
    ):
        super().__init__()
        self.directory, self.view_images, self.histograms = directory, view_images, histograms

    def on_train_begin(self, logs=None):
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
                tf.summary.scalar("step/loss", logs["loss"])

    def on_epoch_end(self, epoch, logs=None):
        self._write_picture()
        with self.writer.as_default(step=steps_made(self.model)):
            for name, value in logs.items():
                tf.summary.scalar(f"epoch/{name}", value)
            for name, values in (self.histograms() if self.histograms else {}).items():
                tf.summary.histogram(f"similarities/{name}", values)
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
