"""SGD with momentum and coupled weight decay."""

import keras

from ssl_keras.optim.momentum import Momentum


@keras.saving.register_keras_serializable(package="ssl_keras")
class SGD(Momentum):
    """Momentum SGD as in PyTorch: g ← g + λw;  v ← μv + g;  w ← w − lr·v  (Nesterov: lr·(g + μv))."""

    def __init__(self, learning_rate, weight_decay, momentum, nesterov, **kwargs):
        super().__init__(learning_rate, weight_decay, momentum, **kwargs)
        self.nesterov = nesterov

    def _prepared(self, gradient, variable):
        return gradient + self._treatment(variable, 0.0)[1] * variable

    def _update(self, gradient, variable, learning_rate):
        lr, _, _ = self._treatment(variable, learning_rate)
        velocity = self.velocities[self._get_variable_index(variable)]
        self.assign(velocity, self.momentum * velocity + gradient)
        step = gradient + self.momentum * velocity if self.nesterov else velocity
        self.assign_sub(variable, lr * step)

    def get_config(self):
        return {**super().get_config(), "nesterov": self.nesterov}
