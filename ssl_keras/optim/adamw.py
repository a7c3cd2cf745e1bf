"""AdamW (Loshchilov and Hutter, 2019, arXiv:1711.05101)."""

import keras
import tensorflow as tf

from ssl_keras.optim.grouped import Grouped


@keras.saving.register_keras_serializable(package="ssl_keras")
class AdamW(Grouped, keras.optimizers.Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019): w ← w − lr·λ·w, then Adam's step."""

    def __init__(
        self, learning_rate, weight_decay, beta_1, beta_2, epsilon=1e-8, *, groups, final_weight_decay=None, **kwargs
    ):
        super().__init__(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, **kwargs)
        self._set_groups(groups, weight_decay, final_weight_decay)

    def _update(self, gradient, variable, learning_rate):
        lr, decay, _ = self._treatment(variable, learning_rate)
        index = self._get_variable_index(variable)
        m, v = self._momentums[index], self._velocities[index]
        step = self._own_step(variable)
        self.assign_sub(variable, lr * decay * variable)
        self.assign_add(m, (1.0 - self.beta_1) * (gradient - m))
        self.assign_add(v, (1.0 - self.beta_2) * (gradient**2 - v))
        rate = lr * tf.sqrt(1.0 - self.beta_2**step) / (1.0 - self.beta_1**step)
        self.assign_sub(variable, rate * m / (tf.sqrt(v) + self.epsilon))
