"""LARS (You et al., 2017, arXiv:1708.03888), in the forms that the papers' code has."""

from typing import NamedTuple

import keras
import tensorflow as tf

from ssl_keras.errors import UserError
from ssl_keras.optim.momentum import Momentum


class LarsVariant(NamedTuple):
    """In what the implementations of LARS differ.

    Attributes:
        trust_coefficient: η of the trust ratio η‖w‖ / ‖g + λw‖.
        exclude_1d: whether biases and norm parameters go without weight decay and trust ratio.
        lr_in_velocity: whether the learning rate multiplies the gradient before the momentum or the velocity
            after.
        clip: whether the trust ratio is min(trust / lr, 1): a step of min(trust, lr) times the gradient.
        separate_norms: whether the trust ratio's denominator is ‖g‖ + λ‖w‖.
    """

    trust_coefficient: float = 1e-3
    exclude_1d: bool = True
    lr_in_velocity: bool = False
    clip: bool = False
    separate_norms: bool = False


LARS_VARIANTS = {
    "lars": LarsVariant(),  # BYOL, Barlow Twins, VICReg, DINO, the linear probe of MAE
    "lars_simclr": LarsVariant(lr_in_velocity=True),
    "lars_clipped": LarsVariant(0.02, clip=True, separate_norms=True),  # solo-learn's CIFAR recipes
    "larc": LarsVariant(exclude_1d=False, separate_norms=True),  # apex: SwAV, SimSiam's linear probe
}


@keras.saving.register_keras_serializable(package="ssl_keras")
class LARS(Momentum):
    """Layer-wise adaptive rate scaling (You et al., 2017, arXiv:1708.03888), in one of `LARS_VARIANTS`.

    g ← trust · (g + λw),  trust = η‖w‖ / ‖g + λw‖;  then momentum SGD. Excluded parameters take a plain
    momentum step at the full learning rate.
    """

    def __init__(self, learning_rate, weight_decay, momentum, variant, **kwargs):
        if variant not in LARS_VARIANTS:
            raise UserError(f"unknown LARS variant {variant!r}: use one of {', '.join(LARS_VARIANTS)}")
        super().__init__(learning_rate, weight_decay, momentum, **kwargs)
        self.variant = variant

    def _update(self, gradient, variable, learning_rate):
        lr, decay, excluded = self._treatment(variable, learning_rate)
        velocity = self.velocities[self._get_variable_index(variable)]
        if not excluded:
            gradient = self._scale(gradient, variable, decay, lr)
        if LARS_VARIANTS[self.variant].lr_in_velocity:
            self.assign(velocity, self.momentum * velocity + lr * gradient)
            self.assign_sub(variable, velocity)
        else:
            self.assign(velocity, self.momentum * velocity + gradient)
            self.assign_sub(variable, lr * velocity)

    def _scale(self, gradient, variable, decay, lr):
        """trust · (g + λw), or g itself where a norm is 0."""
        variant = LARS_VARIANTS[self.variant]
        decayed = gradient + decay * variable
        w_norm = tf.norm(variable)
        if variant.separate_norms:
            g_norm = tf.norm(gradient)
            denominator = g_norm + decay * w_norm
        else:
            denominator = g_norm = tf.norm(decayed)
        trust = variant.trust_coefficient * tf.math.divide_no_nan(w_norm, denominator)
        if variant.clip:
            trust = tf.minimum(trust / tf.maximum(lr, 1e-30), 1.0)
        return tf.where((w_norm > 0) & (g_norm > 0), trust * decayed, gradient)

    def get_config(self):
        return {**super().get_config(), "variant": self.variant}
