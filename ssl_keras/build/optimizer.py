"""Settings -> the optimizer of a run."""

import keras

from ssl_keras import optim
from ssl_keras.config import Config
from ssl_keras.errors import UserError


def build_optimizer(config: Config, method: keras.Model, steps: int) -> keras.optimizers.Optimizer:
    """The optimizer of the settings, its schedule in steps of the whole run."""
    rate = optim.schedule(
        config.schedule,
        config.learning_rate,
        config.batch_size,
        config.epochs * steps,
        round(config.warmup_epochs * steps),
        config.lr_scaling,
        config.final_lr,
        _numbers(config.milestones, "--milestones"),
        config.lr_drop,
    )
    return optim.build_optimizer(
        config.optimizer,
        rate,
        config.weight_decay,
        config.momentum,
        nesterov=config.nesterov,
        exclude_1d=config.exclude_1d,
        lr_multipliers=_multipliers(config.lr_multiplier),
        constant_lr_paths=method.constant_lr,
        held=method.held,
        beta_2=config.beta_2,
        clipnorm=config.clipnorm,
        final_weight_decay=config.final_weight_decay,
    )


def _numbers(text: str, where: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"{where}={text} must be numbers, separated by commas") from error


def _multipliers(items: tuple[str, ...]) -> dict[str, float]:
    """`--lr_multiplier=PATTERN=FACTOR` as {pattern: factor}."""
    multipliers = {}
    for item in items:
        pattern, equals, factor = item.rpartition("=")
        if not (equals and pattern):
            raise UserError(f"--lr_multiplier={item} must have the form PATTERN=FACTOR")
        (multipliers[pattern],) = _numbers(factor, f"--lr_multiplier={pattern}")
    return multipliers
