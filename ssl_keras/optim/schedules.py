"""Learning-rate schedules: scaled to the batch size once, and pure functions of the optimizer's step."""

import math

import keras
import tensorflow as tf

from ssl_keras.errors import UserError

SCHEDULES = ("cosine", "step", "constant")
SCALINGS = ("linear", "sqrt", "none")


def schedule(
    name,
    base_lr,
    batch_size,
    total_steps,
    warmup_steps=0,
    scaling="linear",
    final_fraction=0.0,
    milestones=(0.6, 0.8),
    decay_factor=0.1,
):
    """The learning rate at every step, scaled to the batch size: the one place where that is done.

    Args:
        name: "cosine": from the peak, at the end of the warm-up, to `final_fraction` of it at `total_steps`;
            "step": times `decay_factor` at each of `milestones`; "constant".
        base_lr: float, the rate before scaling.
        batch_size: int, the *global* batch size in images.
        total_steps: int, optimizer steps of the whole run.
        warmup_steps: int, steps in which the rate rises linearly from 0 to the peak.
        scaling: "linear": base_lr · batch_size / 256 (Goyal et al., 2017); "sqrt": base_lr · √batch_size
            (SimCLR, App. B.1, with base_lr 0.075); "none".
        milestones: fractions of `total_steps`, in order (MoCo: epochs 120 and 160 of 200).

    Raises:
        UserError: unknown name or scaling, sizes that are not positive, a warm-up longer than the run, or
            milestones out of order or outside of the run.
    """
    if scaling not in SCALINGS:
        raise UserError(f"unknown learning-rate scaling {scaling!r}: use one of {', '.join(SCALINGS)}")
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1, not {batch_size}")
    factor = {"linear": batch_size / 256, "sqrt": batch_size**0.5, "none": 1.0}[scaling]
    return WarmupSchedule(name, base_lr * factor, total_steps, warmup_steps, final_fraction, milestones, decay_factor)


def half_cosine(progress):
    """From 1 at progress 0 to 0 at progress 1 along half a cosine; float32 tensor, constant outside of [0, 1]."""
    return (1.0 + tf.cos(math.pi * tf.clip_by_value(progress, 0.0, 1.0))) / 2.0


@keras.saving.register_keras_serializable(package="ssl_keras")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to `peak`, then one of `SCHEDULES`: a pure function of the step. See `schedule`."""

    def __init__(self, name, peak, total_steps, warmup_steps, final_fraction, milestones, decay_factor):
        if name not in SCHEDULES:
            raise UserError(f"unknown learning-rate schedule {name!r}: use one of {', '.join(SCHEDULES)}")
        if total_steps < 1 or not 0 <= warmup_steps <= total_steps:
            raise UserError(
                f"warmup_steps={warmup_steps} must lie between 0 and total_steps={total_steps}, which must "
                "be at least 1: shorten the warm-up or train longer"
            )
        if list(milestones) != sorted(milestones) or any(not 0 < m <= 1 for m in milestones):
            raise UserError(f"milestones={milestones} must be increasing fractions of the run, in (0, 1]")
        self.name, self.peak = name, float(peak)
        self.total_steps, self.warmup_steps = total_steps, warmup_steps
        self.final_fraction, self.decay_factor = final_fraction, decay_factor
        self.milestones = tuple(milestones)

    def __call__(self, step):
        step = tf.cast(step, tf.float32)
        after_warmup = self.peak * self._decay(step)
        if self.warmup_steps == 0:
            return after_warmup
        return tf.where(step < self.warmup_steps, self.peak * step / self.warmup_steps, after_warmup)

    def _decay(self, step):
        """The rate over its peak, after the warm-up."""
        if self.name == "constant":
            return tf.ones_like(step)
        if self.name == "step":
            passed = sum(tf.cast(step >= m * self.total_steps, tf.float32) for m in self.milestones)
            return self.decay_factor**passed
        progress = (step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1)
        return self.final_fraction + (1.0 - self.final_fraction) * half_cosine(progress)

    def get_config(self):
        return {
            "name": self.name,
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "final_fraction": self.final_fraction,
            "milestones": list(self.milestones),
            "decay_factor": self.decay_factor,
        }
