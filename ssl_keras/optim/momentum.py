"""What SGD and LARS share: a velocity for each parameter."""

import keras

from ssl_keras.optim.grouped import Grouped


class Momentum(Grouped, keras.optimizers.Optimizer):
    """The base of an optimizer with momentum: v ← μv + step."""

    def __init__(self, learning_rate, weight_decay, momentum, *, groups, final_weight_decay=None, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self._set_groups(groups, weight_decay, final_weight_decay)
        self.momentum = momentum

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.velocities = self.add_optimizer_variables(variables, "velocity")

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum}
