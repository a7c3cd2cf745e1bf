"""Optimizers with the papers' semantics.

Three things differ from Keras's own: weight decay of SGD and LARS is *coupled* (added to the gradient, as
PyTorch does; `keras.optimizers.SGD(weight_decay=)` is decoupled and about ten times weaker at momentum 0.9),
the learning rate stays outside of the velocity (which matters when it changes), and there is LARS.
"""

from ssl_keras.errors import UserError
from ssl_keras.optim.adamw import AdamW
from ssl_keras.optim.groups import ParameterGroups
from ssl_keras.optim.lars import LARS, LARS_VARIANTS
from ssl_keras.optim.loss_scale import LossScale
from ssl_keras.optim.muon import Muon
from ssl_keras.optim.schedules import schedule
from ssl_keras.optim.sgd import SGD

__all__ = ["LARS", "LARS_VARIANTS", "OPTIMIZERS", "SGD", "AdamW", "LossScale", "build_optimizer", "schedule"]

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
