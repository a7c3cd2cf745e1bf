"""Flags in, one frozen `Config` out. The only reader of absl's FLAGS, and free of heavy imports.

A run is described by its `Config` alone: `flags.txt` in its folder holds every field as a flag line, so that
`--flagfile=runs/a/flags.txt --workdir=runs/b` repeats it.
"""

import dataclasses
import difflib
import os
import sys
import traceback
import typing
from collections.abc import Callable, Sequence

from absl import app, flags

from ssl_keras import methods
from ssl_keras.data import size
from ssl_keras.files import shown
from ssl_keras.interrupts import AGAIN, Interrupted

PACKAGE = os.path.dirname(os.path.abspath(__file__))
OURS = (PACKAGE + os.sep, os.path.join(os.path.dirname(PACKAGE), "tools") + os.sep)
STRATEGIES = ("default", "mirrored", "multi_worker", "tpu")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that decides what a pretraining run does.

    Fields are flags of the same name. None means that the data or the recipe decide; a run's `flags.txt` holds what
    they decided.
    """

    method: str = "simclr"
    method_arg: tuple[str, ...] = ()
    data: str = "builtin:scenes"
    data_dir: str | None = None
    train_examples: int | None = None
    workdir: str = ""
    backbone: str = "resnet18"
    width: float = 1.0
    stem: str | None = None
    zero_init_last: bool = False
    patch: int | None = None
    pool: str | None = None
    norm: str = "batch"
    views: str | None = None
    views_without: str = ""
    view_arg: tuple[str, ...] = ()
    color: str = "fused"
    image_size: int | None = None
    canvas_size: int | None = None
    channels: int | None = None
    dtype: str | None = None
    epochs: int = 100
    batch_size: int = 256
    micro_batch_size: int | None = None
    seed: int = 0
    optimizer: str = "sgd"
    learning_rate: float = 0.03
    lr_scaling: str = "linear"
    lr_multiplier: tuple[str, ...] = ()
    schedule: str = "cosine"
    warmup_epochs: float = 0.0
    final_lr: float = 0.0
    milestones: str = "0.6,0.8"
    lr_drop: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    beta_2: float = 0.999
    weight_decay: float = 1e-4
    final_weight_decay: float | None = None
    exclude_1d: bool | None = None
    clipnorm: float | None = None
    precision: str = "float32"
    strategy: str = "default"
    num_devices: int | None = None
    tpu: str | None = None
    steps_per_execution: int = 1
    jit_compile: str = "auto"
    skip_nonfinite: int = 0
    knn_every: int = 0
    checkpoint_every: str = "1"
    keep_checkpoints: int = 2
    max_bad_fraction: float = 0.01
    max_megapixels: float = size.LARGEST
    data_service: str | None = None

    def differences(self, other: "Config") -> list[str]:
        """Settings in which this run differs from `other`, as readable lines.

        Where a run lies, on what it runs and what this one leaves open make no difference.
        """
        ignored = {
            "workdir",
            "data_dir",
            "strategy",
            "num_devices",
            "tpu",
            "steps_per_execution",
            "jit_compile",
            "skip_nonfinite",
            "knn_every",
            "checkpoint_every",
            "keep_checkpoints",
            "data_service",
        }
        lines = []
        for field in dataclasses.fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if field.name not in ignored and mine is not None and mine != theirs:
                lines.append(f"--{field.name}: {_shown(theirs)} there, {_shown(mine)} here")
        return lines

    def checkpoint_interval(self) -> tuple[float, str]:
        """`checkpoint_every` as (number, "epochs" or "minutes"); ValueError where it is neither."""
        number, unit = self.checkpoint_every.removesuffix("min"), "epochs"
        if number != self.checkpoint_every:
            unit = "minutes"
        try:
            value = float(number) if unit == "minutes" else int(number)
        except ValueError:
            value = 0
        if not value > 0:
            raise ValueError(
                f"--checkpoint_every must be a number of epochs, such as 1, or of minutes, such as 30min; got "
                f"{self.checkpoint_every!r}"
            )
        return value, unit

    def flag_lines(self) -> str:
        """The run as a flagfile: one line for each field."""
        lines = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                lines += [f"--{field.name}={item}" for item in value]
            elif value is not None:
                lines.append(f"--{field.name}={value}")
        return "\n".join(lines) + "\n"

    @classmethod
    def from_flag_lines(cls, text: str) -> "Config":
        """Reads back what `flag_lines` wrote."""
        kinds = {field.name: _kind(field) for field in dataclasses.fields(cls)}
        values: dict[str, object] = {}
        for line in filter(None, map(str.strip, text.splitlines())):
            name, _, value = line.removeprefix("--").partition("=")
            if name not in kinds:
                raise ValueError(f"this folder's flags.txt has the setting --{name}, which this version does not know")
            if name in _REPEATED:
                values[name] = (*values.get(name, ()), value)
            else:
                values[name] = value.lower() == "true" if kinds[name] is bool else kinds[name](value)
        return cls(**values)


HELP = {
    "method": f"what to train: {', '.join(methods.names())}",
    "method_arg": "NAME=VALUE, a hyper-parameter of the method (its constructor's keyword); may be repeated",
    "data": "builtin:scenes | builtin:depth_scenes | folder:PATH | tfds:NAME[:SPLIT] | npy:PATH | tfrecord:GLOB",
    "data_dir": "where prepared tensorflow-datasets lie",
    "train_examples": "use only so many training images; unset: all",
    "workdir": "the run's folder",
    "backbone": "resnet8 | resnet18 | resnet34 | resnet50 | vit_tiny | vit_small | vit_base",
    "width": "multiplies the backbone's widths",
    "stem": "imagenet (7x7 stride 2, max-pool) or cifar (3x3 stride 1); unset: cifar up to 64 px",
    "zero_init_last": "start each residual block as the identity: its last normalisation's scale is 0",
    "patch": "side of a ViT's patch in pixels; unset: 4 up to 32 px, 8 up to 96, 16 above",
    "pool": "a ViT's representation: class (token) or mean (of the patches); unset: class",
    "norm": "of backbone and heads: batch, or group (32 groups), by which no image's output depends on the others",
    "views": "the views' recipe; unset: the method's own",
    "views_without": "operations to take away from every view: crop, flip, color, jitter, grayscale, blur, solarize",
    "view_arg": "NAME=VALUE, a field of the recipe's policies, such as crop_area=(0.2,1.0); may be repeated",
    "color": "fused: a view's colour operations as one matrix | exact: one by one, clipped after each, as torchvision",
    "image_size": "side of a (large) view in pixels; unset: 224, or the images' own side where that is smaller",
    "canvas_size": "side to which images are squashed when they are decoded; unset: from the data and image_size",
    "channels": "channels of the images; unset: from the data",
    "dtype": "uint8 | uint16 | float32, the canvases' type; unset: from the data",
    "epochs": "passes over the training images",
    "batch_size": "global batch size (images, over all devices)",
    "micro_batch_size": "images, over all devices, that go through the networks at a time: the step of the whole batch "
    "in the memory of this one, for about 1.4 times the time; unset: the whole batch",
    "seed": "of weights, order and views",
    "optimizer": "sgd | lars | lars_simclr | lars_clipped | larc | adamw | muon",
    "learning_rate": "per 256 images (lr_scaling=linear); scaled once by the batch size",
    "lr_scaling": "linear: x batch/256 | sqrt: x sqrt(batch) | none",
    "lr_multiplier": "PATTERN=FACTOR on the learning rate of the parameters in whose path the regular expression "
    "is found; may be repeated, the first found counts",
    "schedule": "cosine | step | constant",
    "warmup_epochs": "linear warm-up",
    "final_lr": "where the cosine ends, as a fraction of the peak",
    "milestones": "where schedule=step lowers the rate, as fractions of the run",
    "lr_drop": "factor on the rate at each milestone",
    "momentum": "of the optimizer; beta_1 of adamw and muon",
    "nesterov": "Nesterov momentum (sgd)",
    "beta_2": "of adamw and muon",
    "weight_decay": "coupled for sgd and lars, as in the papers; decoupled for adamw and muon",
    "final_weight_decay": "where the weight decay ends, going there along a cosine; unset: it stays",
    "exclude_1d": "biases and normalisation's scales go without weight decay (and trust ratio); unset: the "
    "optimizer's habit, false for sgd and larc, else true",
    "clipnorm": "largest norm of each parameter's gradient; unset: none",
    "precision": " | ".join(PRECISIONS),
    "strategy": " | ".join(STRATEGIES),
    "num_devices": "devices (mirrored); unset: all",
    "tpu": "name or address of the TPU (strategy=tpu)",
    "steps_per_execution": "steps between two looks at the loss: more keep an accelerator busy",
    "jit_compile": "auto | true | false: whether XLA compiles the whole step; auto: on a single GPU (TPUs always)",
    "skip_nonfinite": "take back so many steps whose loss is not a finite number before the run ends; 0: end at once",
    "knn_every": "epochs between kNN scores on held-out training images (needs labels); 0: never",
    "checkpoint_every": "between checkpoints: epochs, such as 1, or minutes, such as 30min",
    "keep_checkpoints": "how many of the newest are kept, at least 2",
    "max_bad_fraction": "stop when more than this share of the files cannot be read",
    "max_megapixels": "a larger image counts as unreadable, which bounds the memory that decoding takes; 178 at most",
    "data_service": "grpc://HOST:PORT of tools.data_worker, whose processes decode the images; unset: this one does",
}

_CHOICES = {
    "color": ("fused", "exact"),
    "strategy": STRATEGIES,
    "precision": PRECISIONS,
    "jit_compile": ("auto", "true", "false"),
    "lr_scaling": ("linear", "sqrt", "none"),
    "schedule": ("cosine", "step", "constant"),
    "stem": ("imagenet", "cifar"),
    "pool": ("class", "mean"),
    "norm": ("batch", "group"),
    "dtype": ("uint8", "uint16", "float32"),
}
_REPEATED = ("method_arg", "view_arg", "lr_multiplier")
_POSITIVE = (
    "width",
    "epochs",
    "batch_size",
    "micro_batch_size",
    "learning_rate",
    "steps_per_execution",
    "train_examples",
    "channels",
    "num_devices",
    "patch",
    "clipnorm",
    "max_megapixels",
)
_NOT_NEGATIVE = (
    "warmup_epochs",
    "final_lr",
    "lr_drop",
    "weight_decay",
    "momentum",
    "beta_2",
    "knn_every",
    "skip_nonfinite",
    "max_bad_fraction",
    "seed",
)
_MINIMUM_SIDE = 8


def define(names: Sequence[str] | None = None, **defaults) -> None:
    """Defines the flags of `Config` (all, or the named ones) with other defaults where a tool wants them."""
    for field in dataclasses.fields(Config):
        if names is not None and field.name not in names:
            continue
        default, text = defaults.get(field.name, field.default), HELP[field.name]
        if field.name in _REPEATED:
            flags.DEFINE_multi_string(field.name, [], text)
        elif field.name in _CHOICES:
            flags.DEFINE_enum(field.name, default, _CHOICES[field.name], text)
        else:
            {str: flags.DEFINE_string, int: flags.DEFINE_integer, float: flags.DEFINE_float, bool: flags.DEFINE_bool}[
                _kind(field)
            ](field.name, default, text)


def from_flags() -> Config:
    """The `Config` of this command line, every value checked that can be checked without the data."""
    config = Config(
        **{
            name: flag.value if not isinstance(flag.value, list) else tuple(flag.value)
            for name, flag in _defined().items()
        }
    )
    check(config)
    return config


def given() -> dict[str, object]:
    """Those fields of `Config` that this command line sets itself."""
    return {name: flag.value for name, flag in _defined().items() if flag.present}


def _defined() -> dict[str, flags.Flag]:
    return {field.name: flags.FLAGS[field.name] for field in dataclasses.fields(Config) if field.name in flags.FLAGS}


def check(config: Config) -> None:
    """Raises ValueError on the first setting that no run can have."""
    if config.method not in methods.names():
        raise ValueError(f"unknown method {config.method!r}; known: {', '.join(methods.names())}")
    for name in _POSITIVE:
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise ValueError(f"--{name} must be greater than 0, got {value}")
    for name in _NOT_NEGATIVE:
        if not getattr(config, name) >= 0:
            raise ValueError(f"--{name} must not be negative, got {getattr(config, name)}")
    if config.micro_batch_size is not None:
        check_micro_batches(config.batch_size, config.micro_batch_size, config.num_devices or 1)
    for name in ("image_size", "canvas_size"):
        value = getattr(config, name)
        if value is not None and value < _MINIMUM_SIDE:
            raise ValueError(
                f"--{name} must be at least {_MINIMUM_SIDE} pixels, got {value}; leave it out to take it from the data"
            )
    if config.max_megapixels > size.LARGEST:
        raise ValueError(
            f"--max_megapixels must be at most {size.LARGEST:g}, which is what TensorFlow decodes of a JPEG, got "
            f"{config.max_megapixels:g}: save larger images smaller, or in tiles"
        )
    config.checkpoint_interval()
    if config.keep_checkpoints < 2:
        raise ValueError(f"--keep_checkpoints must be at least 2, got {config.keep_checkpoints}")
    if config.skip_nonfinite and config.steps_per_execution > 1:
        raise ValueError("--skip_nonfinite looks at every step: leave --steps_per_execution at 1")


def check_micro_batches(batch_size: int, micro_batch_size: int, replicas: int) -> None:
    """Raises ValueError where a batch does not go through `replicas` in equal pieces of `micro_batch_size`."""
    if micro_batch_size > batch_size or batch_size % micro_batch_size:
        raise ValueError(
            f"--micro_batch_size={micro_batch_size} must divide --batch_size={batch_size}; leave it out for no pieces"
        )
    if micro_batch_size % replicas:
        raise ValueError(f"--micro_batch_size={micro_batch_size} must be a multiple of the {replicas} replicas")


def read_run(workdir: str) -> Config:
    """The settings of the run in `workdir`; ValueError where there is none."""
    path = os.path.join(workdir, "flags.txt")
    if not os.path.isfile(path):
        raise ValueError(f"{workdir!r} holds no run: {path} is missing; give the --workdir of a tools.pretrain run")
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return Config.from_flag_lines(file.read())


def run(main: Callable[[], object]) -> None:
    """Runs a tool. A user's mistake ends it with one sentence and exit status 1 or 2, never with a traceback."""

    for stream in (sys.stdout, sys.stderr):  # names of files need not be UTF-8
        stream.reconfigure(errors="backslashreplace")

    def guarded(argv):
        if len(argv) > 1:
            _fail(f"unexpected argument {argv[1]!r}: settings are flags, --name=value", 2)
        try:
            main()
        except (ValueError, OSError) as error:
            if not _is_users_mistake(error):
                raise
            _fail(str(error), 1)
        except Interrupted as error:
            _fail(str(error), AGAIN)
        except KeyboardInterrupt:
            _fail("interrupted; the same command goes on from the last checkpoint", AGAIN)

    app.run(guarded, flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        known = sorted(flags.FLAGS.flags_by_module_dict().get("ssl_keras.config", []), key=lambda flag: flag.name)
        names = sorted(
            {flag.name for flag in known} | {flag.name for flag in flags.FLAGS.get_key_flags_for_module(argv[0])}
        )
        close = difflib.get_close_matches(error.flagname, names, n=1)
        hint = f" (did you mean --{close[0]}?)" if close else ""
        _fail(f"unknown flag --{error.flagname}{hint}; known: {', '.join('--' + name for name in names)}", 2)
    except (flags.Error, OSError) as error:
        _fail(str(error), 2)


def _is_users_mistake(error: BaseException) -> bool:
    """An OSError names a file; a ValueError is the user's where this package raised it, a bug where a library did."""
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, OSError) or os.path.abspath(frames[-1].filename).startswith(OURS)


def _fail(message: str, status: int) -> None:
    print(f"error: {shown(message)}", file=sys.stderr)
    sys.exit(status)


def _kind(field: dataclasses.Field) -> type:
    """`int` for a field annotated `int` or `int | None`."""
    return (typing.get_args(field.type) or (field.type,))[0]


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str | tuple) else str(value)
