"""What TensorBoard shows of a run."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from ssl_keras.training.steps import steps_made


class TensorBoard(keras.callbacks.Callback):
    """Scalars by epoch and of the loss by step, the weights' histograms by epoch, and the views that training sees.

    Args:
        directory: the run's `tensorboard/`.
        view_images: () -> float32 [1, H, W, 3] in [0, 1], a grid of originals and views; written once at the start.
    """

    LOSS_EVERY = 20  # steps

    def __init__(self, directory: str, view_images: Callable[[], np.ndarray]):
        super().__init__()
        self.directory, self.view_images = directory, view_images

    def on_train_begin(self, logs=None):
        self.writer = tf.summary.create_file_writer(self.directory)
        with self.writer.as_default(step=steps_made(self.model)):
            tf.summary.image("views", self.view_images())

    def on_train_batch_begin(self, batch, logs=None):
        self.before = steps_made(self.model)

    def on_train_batch_end(self, batch, logs=None):
        step = steps_made(self.model)
        if step // self.LOSS_EVERY > self.before // self.LOSS_EVERY:
            with self.writer.as_default(step=step):
                tf.summary.scalar("step/loss", logs["loss"])

    def on_epoch_end(self, epoch, logs=None):
        with self.writer.as_default(step=steps_made(self.model)):
            for name, value in logs.items():
                tf.summary.scalar(f"epoch/{name}", value)
            for variable in self.model.trainable_variables:
                if len(variable.shape) > 1:
                    tf.summary.histogram(variable.path, keras.ops.convert_to_numpy(variable))
        self.writer.flush()

    def on_train_end(self, logs=None):
        self.writer.close()
