"""Scaling of the loss in float16."""

import keras
import tensorflow as tf

from ssl_keras import distribute


@keras.saving.register_keras_serializable(package="ssl_keras")
class LossScale(keras.optimizers.LossScaleOptimizer):
    """Keras's scaling of the loss in float16, for several replicas too, and with every batch counted.

    An overflow on any replica skips the step on all; Keras asks one replica, at a time when the gradients are still
    each replica's own. A skipped step counts in `iterations`, which Keras leaves as they were: they are a run's
    position, on which epochs, schedules and random draws depend. (Adam's bias correction counts it as well: after an
    overflow at the very start the first steps are smaller, down to about half.)
    """

    def check_finite(self, grads):
        return distribute.mean(tf.cast(super().check_finite(grads), tf.float32)) == 1.0

    def _stateful_handle_non_finite_grads(self):
        super()._stateful_handle_non_finite_grads()
        self.iterations.assign_add(1)
