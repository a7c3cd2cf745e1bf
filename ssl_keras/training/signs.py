"""The signs of collapse and of standing still: how each shows in the numbers of the epochs, its likely cause, a remedy.

Thresholds: complete collapse, SimSiam (arXiv:2011.10566, figure 2); dimensional, Jing et al. (arXiv:2110.09348); codes,
DINO (arXiv:2104.14294, section 5.3). The others are this program's own.
"""

import dataclasses
import math
from collections.abc import Callable

from ssl_keras.training.spread import even_z_std

REPEATS = 2  # epochs running in which a sign must be there
TEACHER_CHECKS = 5


@dataclasses.dataclass(frozen=True)
class Case:
    """What is known of a run, beside its epochs' logs.

    Args:
        images: in the sample of which the rank is taken.
        dimension: of the features.
        z_dim: of the projections; None: there are none.
        chance_loss: loss of a network that says nothing; None: not known.
        labels: whether the method learns from labels, which makes features few on purpose.
        queue_age: steps for which a key stays in the queue; None: there is no queue.
        momentum: of the encoder that makes the keys; None: there is none.
    """

    images: int
    dimension: int
    z_dim: int | None = None
    chance_loss: float | None = None
    labels: bool = False
    queue_age: float | None = None
    momentum: float | None = None


@dataclasses.dataclass(frozen=True)
class Sign:
    """A kind of trouble.

    Args:
        name: its name.
        seen: (case, logs so far, the newest last) -> whether it shows in the newest epoch.
        words: (case, newest logs) -> what is the matter.
        remedy: the likely cause, and what to change.
        collapse: whether the run learns nothing from there on.
        repeats: epochs running in which it must show.
    """

    name: str
    seen: Callable[[Case, list[dict]], bool]
    words: Callable[[Case, dict], str]
    remedy: str
    collapse: bool = False
    repeats: int = REPEATS


def _complete(case, logs):
    z_std = logs[-1].get("z_std")
    collapsed = bool(case.z_dim) and z_std is not None and z_std < 0.2 * even_z_std(case.z_dim)
    before = logs[-2].get("z_std", math.inf) if len(logs) > 1 else math.inf
    if collapsed and z_std > 1.02 * before:
        collapsed = False  # it comes out of a bad start: SupCon's first epochs
    return collapsed or logs[-1].get("effective_rank", math.inf) < 1.5


def _dimensional(case, logs):
    rank = logs[-1].get("effective_rank", math.inf)
    best = max(line.get("effective_rank", 0.0) for line in logs)
    few = rank < max(2.0, 0.05 * min(case.images, case.dimension))
    return not _complete(case, logs) and (few or (bool(case.z_dim) and not case.labels and rank < best / 3))


def _uniform_codes(case, logs):
    return logs[-1].get("code_entropy", 0.0) > 0.98 and logs[-1].get("code_divergence", 1.0) < 0.01


def _one_code(case, logs):
    return logs[-1].get("mean_code_entropy", 1.0) < 0.5 and not _uniform_codes(case, logs)


def _dead_prototypes(case, logs):
    used = [line.get("prototypes_used", 1.0) for line in logs[-2:]]
    rising = len(used) < 2 or used[-1] > 1.05 * used[-2]  # random weights use few, DINO's in its first epochs
    return used[-1] < 0.1 and not rising and not _one_code(case, logs)


def _at_chance(case, logs):
    accuracy, chance = logs[-1].get("accuracy"), logs[-1].get("chance")
    before = [line["loss"] for line in logs[:-1]]
    if before and logs[-1]["loss"] < 0.999 * min(before):
        return False  # it moves: a pretext task may need epochs before its accuracy rises
    if accuracy is not None and chance:
        return accuracy < 1.1 * chance
    return bool(case.chance_loss) and abs(logs[-1]["loss"] - case.chance_loss) < 0.01 * case.chance_loss


def _dead_predictor(case, logs):
    return logs[-1].get("predictor_cosine", 0.0) > 0.9999


def _stale_queue(case, logs):
    return case.queue_age is not None and case.momentum is not None and case.queue_age > 1 / (1 - case.momentum) + 1


def _teacher_behind(case, logs):
    checks = [line for line in logs if "knn_student_top1" in line][-TEACHER_CHECKS:]
    newest = bool(checks) and checks[-1] is logs[-1]
    behind = all(line["knn_top1"] < line["knn_student_top1"] for line in checks)
    return newest and len(checks) == TEACHER_CHECKS and behind


def _shortcut(case, logs):
    scores = [line["knn_top1"] for line in logs if "knn_top1" in line]
    flat = len(scores) >= 3 and "knn_top1" in logs[-1] and scores[-1] - scores[0] < 0.01
    return flat and not case.labels and logs[-1].get("accuracy", 0.0) > 0.9


def _saturated(case, logs):
    return bool(case.chance_loss) and abs(logs[-1]["loss"]) < 0.01 * case.chance_loss


def _of(log: dict, name: str) -> str:
    return f"{log[name]:.3g}" if name in log else "unknown"


SIGNS = (
    Sign(
        "complete collapse",
        _complete,
        lambda case, log: (
            "the method gives (nearly) the same to every image and learns nothing "
            f"(z_std {_of(log, 'z_std')}, effective rank {_of(log, 'effective_rank')} of {case.dimension})"
        ),
        "A learning rate that is too high for the batch or the views is the most frequent cause: lower "
        "--learning_rate, lengthen --warmup_epochs, use a larger --batch_size. Methods without negatives need their "
        "predictor, momentum encoder or stop-gradient.",
        collapse=True,
    ),
    Sign(
        "dimensional collapse",
        _dimensional,
        lambda case, log: (
            f"the features vary in few directions only (effective rank {_of(log, 'effective_rank')} of "
            f"{min(case.dimension, case.images)} possible); z_std cannot see this"
        ),
        "Views that are too strong, a deep projector, or a network too small for the data: try weaker --views, a lower "
        "--learning_rate or --weight_decay, or another method (vicreg, barlow_twins).",
        collapse=True,
    ),
    Sign(
        "uniform codes",
        _uniform_codes,
        lambda case, log: (
            "every image gets the same, even code over the prototypes "
            f"(entropy {_of(log, 'code_entropy')} of at most 1)"
        ),
        "Sharpen the codes: a lower teacher temperature (--method_arg=teacher_temperature=0.04) or epsilon "
        "(--method_arg=epsilon=0.03); freeze the prototypes longer (--method_arg=freeze_epochs=2).",
        collapse=True,
    ),
    Sign(
        "one code",
        _one_code,
        lambda case, log: (
            "nearly all images get the same code "
            f"(entropy of the mean code {_of(log, 'mean_code_entropy')} of at most 1)"
        ),
        "Centering or balancing does not keep up: lower --learning_rate, check center_momentum, use a larger "
        "--batch_size or a queue.",
        collapse=True,
    ),
    Sign(
        "dead prototypes",
        _dead_prototypes,
        lambda case, log: (
            f"only {100 * log.get('prototypes_used', 0):.0f} % of the prototypes that could be used are"
        ),
        "Use fewer prototypes (--method_arg=prototypes=...), or a lower --learning_rate.",
    ),
    Sign(
        "stuck at chance",
        _at_chance,
        lambda case, log: (
            f"the loss ({_of(log, 'loss')}) is that of a network that says nothing"
            if "accuracy" not in log
            else f"the task is solved no better than by chance (accuracy {_of(log, 'accuracy')})"
        ),
        "Wait for some epochs; then try a higher --learning_rate, a higher temperature, or weaker --views. MoCo: "
        "a lower momentum (0.99) on small data.",
    ),
    Sign(
        "dead predictor",
        _dead_predictor,
        lambda case, log: (
            f"the predictor changes nothing (cosine of input and output {_of(log, 'predictor_cosine')})"
        ),
        "It has become the identity: give it a constant learning rate (--method_arg=predictor_lr=constant), or a "
        "higher --learning_rate.",
    ),
    Sign(
        "stale queue",
        _stale_queue,
        lambda case, log: (
            f"keys stay in the queue for {case.queue_age:.0f} steps, and the encoder that made them is another after "
            f"about {1 / (1 - case.momentum):.0f}"
        ),
        "Use a shorter queue (--method_arg=queue_length=...) or a higher momentum (--method_arg=momentum=0.999).",
        repeats=1,
    ),
    Sign(
        "teacher behind",
        _teacher_behind,
        lambda case, log: (
            f"the momentum encoder scores below its online network in {TEACHER_CHECKS} checks (kNN "
            f"{_of(log, 'knn_top1')} and {_of(log, 'knn_student_top1')})"
        ),
        "Its momentum is too high for so few steps, or the learning rate is: lower --method_arg=momentum=... or "
        "--learning_rate.",
        repeats=1,
    ),
    Sign(
        "shortcut",
        _shortcut,
        lambda case, log: (
            f"the task is solved (accuracy {_of(log, 'accuracy')}) while kNN does not rise ({_of(log, 'knn_top1')}): "
            "the network has found a way around what it should learn"
        ),
        "Take the clue away: color (--view_arg or --method_arg=color=...), edges (gap, jitter), compression.",
        repeats=1,
    ),
    Sign(
        "saturated loss",
        _saturated,
        lambda case, log: (
            f"the loss ({_of(log, 'loss')}) is nearly 0: there is nothing left to learn from these views"
        ),
        "Use stronger --views, a larger --batch_size or more negatives; and judge by kNN, not by the loss.",
    ),
)
