"""Smaller views in early epochs."""

import keras

from ssl_keras.resolution import Phase, side


class Resolution(keras.callbacks.Callback):
    """Sets the size of the views at the beginning of each epoch, by a schedule.

    Nothing else changes with it: learning rate, batch and order of the images are those of the run, and a crop shows
    the same part of an image with fewer pixels, blurred by as much of its side. Batch normalization's moving statistics
    follow within some tens of steps, as they follow the weights.
    """

    def __init__(self, phases: tuple[Phase, ...], epochs: int):
        super().__init__()
        self.phases, self.epochs = phases, epochs

    def on_epoch_begin(self, epoch, logs=None):
        self.model.views.share = side(self.phases, epoch, self.epochs)
