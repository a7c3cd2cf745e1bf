"""SGD with momentum and coupled weight decay."""

import keras

from ssl_keras.optim.grouped import Grouped


@keras.saving.register_keras_serializable(package="ssl_keras")
class SGD(Grouped, keras.optimizers.Optimizer):
    """Momentum SGD as in PyTorch: g ← g + λw;  v ← μv + g;  w ← w − lr·v  (Nesterov: lr·(g + μv))."""

    def __init__(self, learning_rate, weight_decay, momentum, nesterov, *, groups, final_weight_decay=None, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self._set_groups(groups, weight_decay, final_weight_decay)
        self.momentum, self.nesterov = momentum, nesterov

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.velocities = self.add_optimizer_variables(variables, "velocity")

    def _update(self, gradient, variable, learning_rate):
        lr, decay, _ = self._treatment(variable, learning_rate)
        velocity = self.velocities[self._get_variable_index(variable)]
        gradient += decay * variable
        self.assign(velocity, self.momentum * velocity + gradient)
        step = gradient + self.momentum * velocity if self.nesterov else velocity
        self.assign_sub(variable, lr * step)

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}
