"""What the optimizers share: parameters that are treated apart, and weight decay that follows a cosine."""

import tensorflow as tf

from ssl_keras.errors import UserError
from ssl_keras.optim.groups import ParameterGroups
from ssl_keras.optim.schedules import WarmupSchedule, half_cosine


class Grouped:
    """The parts of an optimizer that follow `ParameterGroups`: mixed into the optimizers below.

    A parameter that is held still has no update at all, as one whose `grad` is None in PyTorch: it is not decayed, its
    velocity and moments stay 0, and its steps are counted from its first one. Steps are batches, as everywhere: one
    that float16's loss scale skips counts.
    """

    def _set_groups(self, groups, weight_decay, final_weight_decay):
        if weight_decay < 0 or (final_weight_decay or 0) < 0:
            raise UserError(f"weight_decay must not be negative: {weight_decay}, at the end {final_weight_decay}")
        if final_weight_decay is not None and not isinstance(self._learning_rate, WarmupSchedule):
            raise UserError("final_weight_decay needs a learning_rate made by `schedule`, whose total_steps it takes")
        # Keras's own attribute stays None: it would decay a second time.
        self.decay, self.final_decay = float(weight_decay), final_weight_decay
        self.groups = groups if isinstance(groups, ParameterGroups) else ParameterGroups.from_config(groups)
        if self.groups.constant_lr_paths and not isinstance(self._learning_rate, WarmupSchedule):
            raise UserError("constant_lr_paths needs a learning_rate made by `schedule`, whose peak is kept")

    def build(self, variables):
        if not self.built:
            self._treatments = self.groups.resolve(variables)
            # Each parameter's |gradient|² at the newest step, before clipping. It is watched and decides nothing, so it
            # is no part of the optimizer's state.
            self.gradient_squares = tf.Variable(
                tf.zeros(len(variables)),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )
        super().build(variables)

    def _backend_apply_gradients(self, grads, trainable_variables):
        """Sums the gradients over the replicas before Keras clips them, not after: one batch, one clipping."""
        summed = [g for g, _ in super()._all_reduce_sum_gradients(zip(grads, trainable_variables))]
        squares = {
            self._get_variable_index(variable): tf.reduce_sum(tf.square(tf.cast(gradient, tf.float32)))
            for gradient, variable in zip(summed, trainable_variables, strict=True)
        }
        order = range(len(self._treatments))
        self.gradient_squares.assign(tf.stack([squares.get(number, tf.constant(0.0)) for number in order]))
        super()._backend_apply_gradients(summed, trainable_variables)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars  # they have been summed

    def update_step(self, gradient, variable, learning_rate):
        gradient = tf.cast(tf.convert_to_tensor(gradient), variable.dtype)  # a ViT's class token has a sparse one
        gradient = self._prepared(gradient, variable)
        held = self._treatments[self._get_variable_index(variable)].held
        if held:
            # A branch and not a choice between two values: not a bit of the parameter or its slots is written.
            tf.cond(self.iterations >= held, lambda: self._update(gradient, variable, learning_rate), lambda: None)
        else:
            self._update(gradient, variable, learning_rate)

    def _prepared(self, gradient, variable):
        """What the update takes in the place of the gradient: sums of several large tensors belong here.

        In a branch TensorFlow's memory optimizer gives them a temporary variable, and the second step finds its name
        taken.
        """
        return gradient

    def _own_step(self, variable):
        """Which update of this parameter is at hand, from 1: float scalar."""
        held = self._treatments[self._get_variable_index(variable)].held
        return tf.cast(self.iterations + 1 - held, variable.dtype)

    def _treatment(self, variable, learning_rate):
        """This parameter's learning rate and weight decay (0 if excluded), and whether it is excluded."""
        treatment = self._treatments[self._get_variable_index(variable)]
        if treatment.constant_lr:
            learning_rate = self._learning_rate.peak
        learning_rate = tf.cast(learning_rate, variable.dtype) * treatment.lr_multiplier
        return learning_rate, 0.0 if treatment.excluded else self._current_decay(), treatment.excluded

    def _current_decay(self):
        if self.final_decay is None:
            return self.decay
        progress = tf.cast(self.iterations, tf.float32) / self._learning_rate.total_steps
        return self.final_decay + (self.decay - self.final_decay) * half_cosine(progress)

    def get_config(self):
        return {
            **super().get_config(),
            "weight_decay": self.decay,
            "final_weight_decay": self.final_decay,
            "groups": self.groups._asdict(),
        }
