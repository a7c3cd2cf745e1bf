"""What an epoch took of the machine, beside its time: waiting for data, and memory."""

import time

import keras
import tensorflow as tf

from ssl_keras import machine


class Resources(keras.callbacks.Callback):
    """Adds to the epoch's logs what differs from machine to machine, so it comes after those that are kept.

    `data_wait` is the share of the epoch's training time in which steps waited for their batch: near 0 where data are
    made fast enough. `peak_memory_bytes` is the most memory that the process has held so far, and
    `peak_gpu_memory_bytes` the most that TensorFlow has held on a GPU.
    """

    def on_epoch_begin(self, epoch, logs=None):
        self.begun, self.waited = time.perf_counter(), self.model.seconds_waited

    def on_train_batch_end(self, batch, logs=None):
        self.ended = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        logs["data_wait"] = (self.model.seconds_waited - self.waited) / (self.ended - self.begun)
        logs["peak_memory_bytes"] = machine.peak_memory_bytes()
        gpus = tf.config.list_logical_devices("GPU")
        if gpus:
            peaks = [tf.config.experimental.get_memory_info(gpu.name)["peak"] for gpu in gpus]
            logs["peak_gpu_memory_bytes"] = max(peaks)
