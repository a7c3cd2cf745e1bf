"""Optimizers with the papers' semantics.

Three things differ from Keras's own: weight decay of SGD and LARS is *coupled* (added to the gradient, as
PyTorch does; `keras.optimizers.SGD(weight_decay=)` is decoupled and about ten times weaker at momentum 0.9),
the learning rate stays outside of the velocity (which matters when it changes), and there is LARS.
"""

import math
from typing import NamedTuple

import keras
import tensorflow as tf

from ssl_keras import distribute
from ssl_keras.errors import UserError
from ssl_keras.optim.groups import ParameterGroups
from ssl_keras.optim.schedules import WarmupSchedule, half_cosine, schedule

__all__ = ["LARS", "LARS_VARIANTS", "OPTIMIZERS", "SGD", "AdamW", "LossScale", "build_optimizer", "schedule"]


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
OPTIMIZERS = ("sgd", *LARS_VARIANTS, "adamw", "muon")


def build_optimizer(
    name,
    learning_rate,
    weight_decay=0.0,
    momentum=0.9,
    nesterov=False,
    exclude_1d=None,
    exclude=(),
    lr_multipliers=None,
    constant_lr_paths=(),
    held=None,
    beta_2=0.999,
    clipnorm=None,
    final_weight_decay=None,
):
    """The optimizer called `name`.

    Args:
        name: "sgd", one of `LARS_VARIANTS`, "adamw" or "muon".
        learning_rate: float or LearningRateSchedule, already scaled to the batch size (see `schedule`).
        weight_decay: float ≥ 0. SGD and LARS: coupled; AdamW: decoupled, times the learning rate.
        momentum: float in [0, 1); AdamW's beta_1.
        nesterov: SGD only.
        exclude_1d: whether parameters of one dimension or none (biases, gamma, beta) go without weight decay
            (and trust ratio). None: the optimizer's convention: False for "sgd" and "larc", else True.
        exclude: regular expressions; a parameter whose path one of them is found in is excluded likewise.
        lr_multipliers: {regular expression: factor} on the learning rate, by path; the first that is found
            counts. Barlow Twins' own rate for biases and norms: {r"(bias|gamma|beta)$": 0.0048 / 0.2}.
        constant_lr_paths: regular expressions of the parameters that keep the schedule's peak throughout
            (SimSiam's predictor: ("predictor",)).
        held: {regular expression: steps} of the parameters that are left as they are in so many of the optimizer's
            first steps, as if they had no gradient, by path; the first that is found counts (DINO's last layer).
        beta_2: AdamW only (MAE: 0.95).
        clipnorm: float, largest norm of each parameter's gradient (DINO: 3.0), or None.
        final_weight_decay: float ≥ 0 that the weight decay reaches along a cosine at the end of the schedule's
            `total_steps` (DINO: 0.4 from 0.04); None: it stays as it is.

    Raises:
        UserError: unknown name, or options that the optimizer does not have; at build, a pattern that
            matches none of the parameters.
    """
    if name not in OPTIMIZERS:
        raise UserError(f"unknown optimizer {name!r}: use one of {', '.join(OPTIMIZERS)}")
    if nesterov and name != "sgd":
        raise UserError(f"nesterov belongs to the optimizer 'sgd', not to {name!r}")
    if exclude_1d is None:
        exclude_1d = LARS_VARIANTS[name].exclude_1d if name in LARS_VARIANTS else name != "sgd"
    multipliers, held = (tuple((pairs or {}).items()) for pairs in (lr_multipliers, held))
    groups = ParameterGroups(exclude_1d, tuple(exclude), multipliers, tuple(constant_lr_paths), held)
    options = {"groups": groups, "clipnorm": clipnorm, "final_weight_decay": final_weight_decay}
    if name in ("adamw", "muon"):
        return {"adamw": AdamW, "muon": Muon}[name](learning_rate, weight_decay, momentum, beta_2, **options)
    if name == "sgd":
        return SGD(learning_rate, weight_decay, momentum, nesterov, **options)
    return LARS(learning_rate, weight_decay, momentum, name, **options)


class _Grouped:
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
        super().build(variables)

    def _backend_apply_gradients(self, grads, trainable_variables):
        """Sums the gradients over the replicas before Keras clips them, not after: one batch, one clipping."""
        summed = super()._all_reduce_sum_gradients(zip(grads, trainable_variables))
        super()._backend_apply_gradients([gradient for gradient, _ in summed], trainable_variables)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars  # they have been summed

    def update_step(self, gradient, variable, learning_rate):
        gradient = tf.cast(tf.convert_to_tensor(gradient), variable.dtype)  # a ViT's class token has a sparse one
        held = self._treatments[self._get_variable_index(variable)].held
        if held:
            # A branch and not a choice between two values: not a bit of the parameter or its slots is written.
            tf.cond(self.iterations >= held, lambda: self._update(gradient, variable, learning_rate), lambda: None)
        else:
            self._update(gradient, variable, learning_rate)

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


@keras.saving.register_keras_serializable(package="ssl_keras")
class SGD(_Grouped, keras.optimizers.Optimizer):
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


@keras.saving.register_keras_serializable(package="ssl_keras")
class LARS(_Grouped, keras.optimizers.Optimizer):
    """Layer-wise adaptive rate scaling (You et al., 2017, arXiv:1708.03888), in one of `LARS_VARIANTS`.

    g ← trust · (g + λw),  trust = η‖w‖ / ‖g + λw‖;  then momentum SGD. Excluded parameters take a plain
    momentum step at the full learning rate.
    """

    def __init__(self, learning_rate, weight_decay, momentum, variant, *, groups, final_weight_decay=None, **kwargs):
        if variant not in LARS_VARIANTS:
            raise UserError(f"unknown LARS variant {variant!r}: use one of {', '.join(LARS_VARIANTS)}")
        super().__init__(learning_rate, **kwargs)
        self._set_groups(groups, weight_decay, final_weight_decay)
        self.momentum, self.variant = momentum, variant

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.velocities = self.add_optimizer_variables(variables, "velocity")

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
        return {**super().get_config(), "momentum": self.momentum, "variant": self.variant}


@keras.saving.register_keras_serializable(package="ssl_keras")
class AdamW(_Grouped, keras.optimizers.Adam):
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


@keras.saving.register_keras_serializable(package="ssl_keras")
class Muon(AdamW):
    """Momentum whose matrices are made orthogonal (Jordan et al., 2024), AdamW for all other parameters.

    v ← μv + g;  w ← w − lr·λ·w − lr · 0.2√max(m, n) · O(g + μv), where O is the nearest semi-orthogonal matrix of an
    m x n kernel, a convolution's taken as [height·width·in, out]. The factor gives steps of the size of Adam's, so that
    both share a learning rate (Liu et al., 2025, arXiv:2502.16982, equation 4).

    A departure: AdamW also takes the matrices whose shorter side exceeds `WIDEST`, at a tenth of the rate. O costs the
    square of that side, whatever the batch: two layers of 2,048 x 2,048 in a head take longer than a small network's
    passes. And a step of Adam's, all of whose entries are about as large, stretches such a matrix by 2 lr sqrt(n) where
    O stretches it by 0.2 lr sqrt(n).
    """

    STEPS = ((3.4445, -4.7750, 2.0315),) * 5  # of the Newton-Schulz iteration, Jordan's coefficients
    WIDEST, WIDE_RATE = 1024, 0.1

    def _update(self, gradient, variable, learning_rate):
        if len(variable.shape) < 2 or self._is_wide(variable):
            return super()._update(gradient, variable, learning_rate)
        lr, decay, _ = self._treatment(variable, learning_rate)
        velocity = self._momentums[self._get_variable_index(variable)]
        self.assign(velocity, self.beta_1 * velocity + gradient)
        direction = tf.reshape(gradient + self.beta_1 * velocity, [-1, variable.shape[-1]])
        factor = 0.2 * max(direction.shape) ** 0.5
        self.assign_sub(variable, lr * decay * variable)
        self.assign_sub(variable, lr * factor * tf.reshape(self._orthogonal(direction), variable.shape))

    def _treatment(self, variable, learning_rate):
        lr, decay, excluded = super()._treatment(variable, learning_rate)
        return (self.WIDE_RATE * lr if self._is_wide(variable) else lr), decay, excluded

    def _is_wide(self, variable):
        return len(variable.shape) > 1 and min(math.prod(variable.shape[:-1]), variable.shape[-1]) > self.WIDEST

    def _orthogonal(self, x):
        """U V^T of x = U S V^T, to within singular values of 0.7 to 1.2: float32 [m, n].

        Each step multiplies x by a polynomial of its Gram matrix. Between two steps that matrix can be made from the
        small ones at hand instead of from x, which is up to five times faster for long matrices. It then gathers
        rounding errors, so this is for CPUs, whose products of float32 are those of float32.
        """
        tall = x.shape[0] > x.shape[1]
        x = x / (tf.norm(x) + 1e-7)
        steps_per_gram = len(self.STEPS) if _is_long(x) and not distribute.has_accelerator() else 1
        for first in range(0, len(self.STEPS), steps_per_gram):
            gram = tf.matmul(x, x, transpose_a=tall, transpose_b=not tall)
            identity = product = tf.eye(gram.shape[0])
            for a, b, c in self.STEPS[first : first + steps_per_gram]:
                step = a * identity + b * gram + c * tf.matmul(gram, gram)
                product = step if product is identity else tf.matmul(product, step)
                gram = tf.matmul(gram, tf.matmul(step, step))
            x = tf.matmul(x, product) if tall else tf.matmul(product, x)
        return x


def _is_long(x):
    """Whether to save products with x outweighs those of its Gram matrix with itself."""
    return max(x.shape) > 1.5 * min(x.shape)
