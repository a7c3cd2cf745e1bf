"""What a setting says of itself: its default, help, group, choices and range, and whether it changes the result."""

import dataclasses
import math
import typing

from ssl_keras.errors import UserError

GROUPS = {
    "run": "what is trained, and where it is kept",
    "data": "the images",
    "network": "the encoder and its heads",
    "views": "augmentation: what is made of each image",
    "optimizer": "how weights are changed",
    "hardware": "where and how it is computed",
    "saving": "checkpoints, scores on the way, and what a run bears",
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a field of `Config` says of itself.

    Args:
        group: of `GROUPS`.
        text: help, in plain words.
        choices: the values it may have; () for any.
        least, above, most: its smallest value, what it must be greater than, its largest value; or None.
        changes_result: whether a run with another value is another run. What only moves it to another place or machine
            does not.
        path: whether it names a file or folder.
    """

    group: str
    text: str
    choices: tuple[str, ...] = ()
    least: float | None = None
    above: float | None = None
    most: float | None = None
    changes_result: bool = True
    path: bool = False

    def check(self, name: str, value: object) -> None:
        """Raises UserError for a value that the setting called `name` cannot have; None is left to the data."""
        if value is None:
            return
        unset = self.text.partition("unset: ")[2]
        hint = f" (left out: {unset})" if unset else ""
        if self.choices and value not in self.choices:
            raise UserError(f"--{name}={value}: expected one of {', '.join(self.choices)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"--{name} must be a finite number, got {value}")
        if self.above is not None and not value > self.above:
            raise UserError(f"--{name} must be greater than {self.above}, got {value}{hint}")
        if self.least is not None and not value >= self.least:
            raise UserError(f"--{name} must be at least {self.least}, got {value}{hint}")
        if self.most is not None and not value <= self.most:
            raise UserError(f"--{name} must be at most {self.most}, got {value}{hint}")


def setting(default: object, group: str, text: str, **more) -> typing.Any:
    """A field with its default and its `Setting`."""
    return dataclasses.field(default=default, metadata={"setting": Setting(group, text, **more)})


def kind_of(field: dataclasses.Field) -> type:
    """str, int, float, bool, or tuple for one that may be given several times; `int` for `int | None` too."""
    kind = typing.get_args(field.type)[0] if type(None) in typing.get_args(field.type) else field.type
    return typing.get_origin(kind) or kind


def check_micro_batches(batch_size: int, micro_batch_size: int, replicas: int) -> None:
    """Raises UserError where a batch does not go through `replicas` in equal pieces of `micro_batch_size`."""
    if micro_batch_size > batch_size or batch_size % micro_batch_size:
        raise UserError(
            f"--micro_batch_size={micro_batch_size} must divide --batch_size={batch_size}; leave it out for no pieces"
        )
    if micro_batch_size % replicas:
        raise UserError(f"--micro_batch_size={micro_batch_size} must be a multiple of the {replicas} replicas")
