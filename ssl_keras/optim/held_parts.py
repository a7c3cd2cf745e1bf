"""Parts of a method that any Keras optimizer leaves alone at first, or whose learning rate does not follow a schedule.

SimSiam's predictor keeps its rate; SwAV's prototypes and DINO's last layer are held in the first epoch. The optimizers
of `optim` are told so by their `groups`. Keras's own know nothing of it: here their update of one parameter is given
another rate, or passed over.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from ssl_keras.errors import UserError
from ssl_keras.optim.groups import ParameterGroups

RATES = ("peak", "warmup_target", "initial_learning_rate")  # attributes of schedules: their rate before it decays


def respect(
    optimizer: keras.optimizers.Optimizer, constant_lr: Sequence[str], held: dict[str, int], who: str
) -> None:
    """Makes an optimizer that is not built yet treat parts of a model as the model asks, where it does not by itself.

    A part that is held has no update, but for Adam's bias correction its steps count. A rate that callbacks change is
    no schedule: all parts follow it.

    Args:
        optimizer: changed in place.
        constant_lr: regular expressions of the parameters that keep the schedule's peak.
        held: {regular expression: first steps in which those parameters are left as they are}.
        who: the model's name, for errors.

    Raises:
        UserError: a schedule that does not say which rate it starts from; a weight decay that would move held parts.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    groups = getattr(optimizer, "groups", ParameterGroups())
    scheduled = isinstance(optimizer._learning_rate, keras.optimizers.schedules.LearningRateSchedule)
    constant_lr = [path for path in constant_lr if scheduled and path not in groups.constant_lr_paths]
    held = {path: steps for path, steps in held.items() if steps and path not in dict(groups.held)}
    if isinstance(getattr(optimizer, "groups", None), ParameterGroups) and held:
        optimizer.groups = groups._replace(held=(*groups.held, *held.items()))
        held = {}
    if held and optimizer.weight_decay:
        raise UserError(
            f"{who} leaves {', '.join(held)} alone in the first steps, and the weight decay of {optimizer.name} would "
            "move it: use ssl_keras.build_optimizer, or freeze_epochs=0"
        )
    if constant_lr or held:
        rate = start_rate(optimizer._learning_rate, who) if constant_lr else None
        _intercept(optimizer, ParameterGroups(constant_lr_paths=tuple(constant_lr), held=tuple(held.items())), rate)


def start_rate(schedule: keras.optimizers.schedules.LearningRateSchedule, who: str) -> float:
    """The rate of a schedule before it decays; UserError where it does not tell."""
    if isinstance(schedule, keras.optimizers.schedules.PiecewiseConstantDecay):
        return float(schedule.values[0])
    for name in RATES:
        if (rate := getattr(schedule, name, None)) is not None:
            return float(rate)
    raise UserError(
        f"{who} keeps the learning rate of its predictor at the schedule's peak, and {type(schedule).__name__} does "
        'not say which that is: use ssl_keras.schedule, a schedule of keras.optimizers, or predictor_lr="decayed"'
    )


def check_callbacks(callbacks: Sequence, constant_lr: Sequence[str], who: str) -> None:
    """Refuses callbacks that change the rate of all parts, where one must stay."""
    changing = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)
    for callback in callbacks:
        if constant_lr and isinstance(callback, changing):
            raise UserError(
                f"{who} keeps the learning rate of its {', '.join(constant_lr)}, and {type(callback).__name__} changes "
                "that of all parts: give the optimizer a schedule instead"
            )


def _intercept(optimizer, groups, rate):
    update = optimizer.update_step
    treatments = []

    def update_step(gradient, variable, learning_rate):
        if not treatments:
            treatments.extend(groups.resolve(optimizer._trainable_variables))
        treatment = treatments[optimizer._get_variable_index(variable)]
        if treatment.constant_lr:
            learning_rate = tf.constant(rate, tf.float32)
        if not treatment.held:
            return update(gradient, variable, learning_rate)
        due = optimizer.iterations >= treatment.held
        return tf.cond(due, lambda: _nothing(update(gradient, variable, learning_rate)), lambda: None)

    optimizer.update_step = update_step


def _nothing(_):
    """What an update returns, left out: a branch of a graph returns the same as the other."""
