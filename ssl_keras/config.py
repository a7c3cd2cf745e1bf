"""The settings of a run: one frozen `Config`, a field of which carries all that is to be known of it.

A run is described by its `Config` alone: `flags.txt` in its folder holds every field as a flag line, so that
`--flagfile=runs/a/flags.txt --workdir=runs/b` repeats it. Nothing heavy is imported here.
"""

import dataclasses
import os

from ssl_keras import methods, resolution
from ssl_keras.data import ranges, sources, tiling
from ssl_keras.data.folders import channel_files
from ssl_keras.data.groups import names as group_names
from ssl_keras.errors import UserError
from ssl_keras.settings import Setting, check_micro_batches, kind_of, setting


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that decides what a pretraining run does.

    Fields are flags of the same name. None means that the data or the recipe decide; a run's `flags.txt` holds what
    they decided.
    """

    # fmt: off
    method: str = setting("simclr", "run", f"what to train: {', '.join(methods.names())}")
    method_arg: tuple[str, ...] = setting((), "run",
        "NAME=VALUE, an argument of the method; may be given several times. --method=NAME --help lists them")
    workdir: str = setting("", "run", "folder of the run", changes_result=False, path=True)
    epochs: int = setting(100, "run", "passes over the training images", least=1)
    batch_size: int = setting(256, "run", "images in a step, over all devices", least=1)
    seed: int = setting(0, "run", "random seed of weights, data order and augmentations", least=0)

    data: str = setting("builtin:scenes", "data",
        " | ".join(sources.forms()))
    data_dir: str | None = setting(None, "data", "folder of prepared tensorflow-datasets",
        changes_result=False, path=True)
    train_examples: int | None = setting(None, "data", "use only so many training images; unset: all", least=1)
    image_size: int | None = setting(None, "data",
        "side of a (large) view in pixels; unset: 224, or the images' own side where that is smaller", least=8)
    canvas_size: int | None = setting(None, "data",
        "side in pixels to which each image is resized when it is read; unset: from the data and image_size", least=8)
    channels: int | None = setting(None, "data", "channels of the images; unset: from the data", least=1)
    dtype: str | None = setting(None, "data", "type of the pixels; unset: from the data",
        choices=("uint8", "uint16", "int16", "int32", "float32"))
    normalize: str = setting("auto", "data",
        "which raw values count: none: all that the type can hold | percentile:1,99 of the training images | "
        "range:LOW,HIGH | window:CENTER,WIDTH | image:1,99: percentiles of each image by itself; for each channel its "
        "own: LOW,HIGH;LOW,HIGH;.. | auto: none for 8 bits, else percentile:1,99")
    invalid: str = setting("auto", "data",
        "raw value that says that nothing was measured, such as 0 | none | auto: 0 where more than 1 % of the pixels "
        "of gray images of 16 bits have it")
    fill: str = setting("0", "data",
        "what the encoder sees where nothing was measured: a number from 0, the lowest value, to 1, the highest | mean "
        "of each channel | channel: 0, and one channel more says where that is")
    pages: str | None = setting(None, "data",
        "what the pages of a TIFF are, or the fourth axis of a NIfTI volume: channels of one image, images, or first "
        "(the others are left out); unset: as the file says, and where it does not, it counts as unreadable",
        choices=("channels", "images", "first"))
    slices: str = setting("axial", "data",
        "which slices of a NIfTI volume are the images: axial, coronal or sagittal; axial:4 takes each fourth")
    channels_from: str = setting("", "data",
        "files of folder: data that are the channels of one image: a pattern for each, separated by commas, such as "
        "{}_B02.tif,{}_B03.tif; {} is what their names have in common, * any other text; unset: each file is an image")
    tile: str = setting("", "data",
        "SIZE or SIZE:STRIDE, px: cut the larger images of folder: data into square tiles; unset: whole images")
    tile_spread: float = setting(0.05, "data",
        "leave out tiles with nothing on them: whose spread is below this share of that of tiles with much; 0: none",
        least=0, most=1)
    max_image_bytes: int = setting(2**30, "data",
        "an image whose header claims more bytes of pixels counts as unreadable, before it is decoded",
        least=1)
    group_by: str | None = setting(None, "data",
        "which images belong together, such as those of a patient, and are never on both sides of a split: auto: as "
        "tools.inspect_data sees them | dicom:patient | folder:N: the first N folders below --data; folder:-1: all "
        "folders down to the file, folder:-2: all but the last one | a regular expression on the path below --data, "
        "such as 'patient_[0-9]+' | none; copies join; unset: none, with a warning where groups are seen")
    positives: str = setting("self", "data",
        "which views attract each other: self: views of an image | group: every second view is of another image of its "
        "group (--group_by), drawn anew in each epoch", choices=("self", "group"))
    max_bad_fraction: float = setting(0.01, "data", "stop when more than this share of the files cannot be read",
        least=0)
    max_megapixels: float = setting(178.0, "data",
        "a larger image counts as unreadable, which bounds the memory that decoding takes; TensorFlow decodes 178",
        above=0, most=178)
    data_service: str | None = setting(None, "data",
        "grpc://HOST:PORT of tools.data_worker, whose processes decode the images; unset: this one does",
        changes_result=False)

    backbone: str = setting("resnet18", "network",
        "resnet8 | resnet18 | resnet34 | resnet50 | vit_tiny | vit_small | vit_base")
    width: float = setting(1.0, "network", "factor on the widths of the backbone", above=0)
    stem: str | None = setting(None, "network",
        "imagenet (7x7 stride 2, max-pool) or cifar (3x3 stride 1); unset: cifar up to 64 px",
        choices=("imagenet", "cifar"))
    zero_init_last: bool = setting(False, "network",
        "start each residual block as the identity: its last normalization has scale 0")
    patch: int | None = setting(None, "network",
        "side of a ViT's patch in pixels; unset: 4 up to 32 px, 8 up to 96, 16 above", least=1)
    pool: str | None = setting(None, "network",
        "representation of a ViT: class (the token) or mean (of the patches); unset: class", choices=("class", "mean"))
    norm: str = setting("batch", "network",
        "normalization in backbone and heads: batch, or group (32 groups), by which images do not affect one another",
        choices=("batch", "group"))

    views: str | None = setting(None, "views", "name of the recipe; unset: the method's own")
    views_without: str = setting("", "views",
        "operations to leave out, separated by commas: crop, flip, color, jitter, grayscale, blur, solarize, turns, "
        "gain, shift, gamma, bias_field, channels, noise, holes, erosion")
    view_arg: tuple[str, ...] = setting((), "views",
        "NAME=VALUE, changes a number of the recipe, such as crop_area=(0.2,1.0); may be given several times")
    resolution_schedule: str = setting("", "views",
        "smaller views in early epochs, as SHARE_OF_EPOCHS:SHARE_OF_SIDE,... such as 0.75:0.5,0.25:1; unset: full size "
        "always")
    color: str = setting("fused", "views",
        "fused: all color operations as one matrix (fast) | exact: one by one, clipped after each, as torchvision does",
        choices=("fused", "exact"))

    optimizer: str = setting("sgd", "optimizer", "sgd | lars | lars_simclr | lars_clipped | larc | adamw | muon")
    learning_rate: float = setting(0.03, "optimizer", "at the peak, per 256 images (see lr_scaling)", above=0)
    lr_scaling: str = setting("linear", "optimizer",
        "how the rate grows with the batch: linear: x batch/256 | sqrt: x sqrt(batch) | none",
        choices=("linear", "sqrt", "none"))
    lr_multiplier: tuple[str, ...] = setting((), "optimizer",
        "PATTERN=FACTOR, a factor on the rate of the weights in whose path the regular expression is found; may be "
        "given several times, the first found counts")
    schedule: str = setting("cosine", "optimizer", "course of the rate after the warm-up",
        choices=("cosine", "step", "constant"))
    warmup_epochs: float = setting(0.0, "optimizer", "epochs in which the rate rises from 0 to its peak", least=0)
    final_lr: float = setting(0.0, "optimizer", "rate at the end of the cosine, as a fraction of the peak", least=0)
    milestones: str = setting("0.6,0.8", "optimizer",
        "where schedule=step lowers the rate, as fractions of the run, separated by commas")
    lr_drop: float = setting(0.1, "optimizer", "factor on the rate at each milestone", least=0)
    momentum: float = setting(0.9, "optimizer", "momentum of sgd and lars; beta_1 of adamw and muon", least=0)
    nesterov: bool = setting(False, "optimizer", "use Nesterov momentum (sgd)")
    beta_2: float = setting(0.999, "optimizer", "beta_2 of adamw and muon", least=0)
    weight_decay: float = setting(1e-4, "optimizer",
        "strength of weight decay; sgd and lars add it to the gradient, as the papers do, adamw and muon do not",
        least=0)
    final_weight_decay: float | None = setting(None, "optimizer",
        "weight decay at the end of the run, reached along a cosine; unset: it stays the same", least=0)
    exclude_1d: bool | None = setting(None, "optimizer",
        "no weight decay (and no trust ratio) for biases and scales; unset: false for sgd and larc, else true")
    clipnorm: float | None = setting(None, "optimizer", "largest norm of each weight's gradient; unset: any", above=0)

    strategy: str = setting("default", "hardware",
        "default: one device | mirrored: all GPUs of this host | multi_worker: several hosts | tpu",
        choices=("default", "mirrored", "multi_worker", "tpu"), changes_result=False)
    num_devices: int | None = setting(None, "hardware", "devices of strategy=mirrored; unset: all", least=1,
        changes_result=False)
    tpu: str | None = setting(None, "hardware", "name or address of the TPU (strategy=tpu); unset: the local one",
        changes_result=False)
    precision: str = setting("auto", "hardware",
        "type in which the networks compute; auto: bfloat16 where the processor multiplies it faster, else float32",
        choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"))
    micro_batch_size: int | None = setting(None, "hardware",
        "images, over all devices, that go through the networks at a time: the step of the whole batch in the memory "
        "of this one, for about 1.4 times the time; unset: the whole batch", least=1)
    cpus: int | None = setting(None, "hardware",
        "processor cores that the run uses, such as its share where several runs go beside each other; unset: all",
        least=1, changes_result=False)
    steps_per_execution: int = setting(1, "hardware", "steps between two looks at the loss: more keep a GPU busy",
        least=1, changes_result=False)
    jit_compile: str = setting("auto", "hardware",
        "whether XLA compiles the whole step; auto: on a single GPU (on TPUs always)",
        choices=("auto", "true", "false"), changes_result=False)

    checkpoint_every: str = setting("1", "saving", "between checkpoints: epochs, such as 1, or minutes, such as 30min",
        changes_result=False)
    keep_checkpoints: int = setting(2, "saving", "how many of the newest checkpoints are kept", least=2,
        changes_result=False)
    stop_on_collapse: bool = setting(False, "saving",
        "end the run, with status 1, as soon as its representations have collapsed; else it is only said",
        changes_result=False)
    knn_every: int = setting(0, "saving",
        "epochs between kNN scores on held-out training images (needs labels); 0: never", least=0, changes_result=False)
    probe_data: tuple[str, ...] = setting((), "saving",
        "DATA, labeled images apart from --data on which the encoder is scored while it trains, by kNN and by ridge "
        "regression; its test images are not looked at; may be given several times", changes_result=False)
    probe_every: int = setting(1, "saving", "epochs between scores on --probe_data", least=1, changes_result=False)
    skip_nonfinite: int = setting(0, "saving",
        "take back up to so many steps whose loss is not a finite number, before the run ends; 0: end at once", least=0,
        changes_result=False)
    # fmt: on

    def __post_init__(self):
        check(self)

    def differences(self, other: "Config") -> list[str]:
        """Settings in which this run differs from `other`, as readable lines.

        Where a run lies, on what it runs, how a path is spelled and what this one leaves open make no difference. More
        epochs do not either: they continue the run.
        """
        lines = []
        for name, known in settings().items():
            mine, theirs = getattr(self, name), getattr(other, name)
            is_open = mine in (None, "auto") and name != "group_by"  # which the data does not decide
            if not known.changes_result or is_open or mine == theirs:
                continue
            if name == "data":
                same = sources.real(mine) == sources.real(theirs)
            else:
                same = name == "epochs" and mine > theirs
            if not same:
                lines.append(f"--{name}: {_shown(theirs)} there, {_shown(mine)} here")
        return lines

    def with_data(self, data: str, **changes) -> "Config":
        """The same settings for other data; how a folder's files become images is left out where it is no folder."""
        plain = {} if data.startswith("folder:") else {"channels_from": "", "tile": ""}
        return dataclasses.replace(self, data=data, **plain | changes)

    def checkpoint_interval(self) -> tuple[float, str]:
        """`checkpoint_every` as (number, "epochs" or "minutes"); UserError where it is neither."""
        number, unit = self.checkpoint_every.removesuffix("min"), "epochs"
        if number != self.checkpoint_every:
            unit = "minutes"
        try:
            value = float(number) if unit == "minutes" else int(number)
        except ValueError:
            value = 0
        if not value > 0:
            raise UserError(
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
        kinds = {field.name: kind_of(field) for field in dataclasses.fields(cls)}
        values: dict[str, object] = {}
        for line in filter(None, map(str.strip, text.splitlines())):
            name, _, value = line.removeprefix("--").partition("=")
            if name not in kinds:
                raise UserError(f"this folder's flags.txt has the setting --{name}, which this version does not know")
            if kinds[name] is tuple:
                values[name] = (*values.get(name, ()), value)
            else:
                values[name] = value.lower() == "true" if kinds[name] is bool else kinds[name](value)
        return cls(**values)


def settings() -> dict[str, Setting]:
    """The fields of `Config` in their order, with what they say of themselves."""
    return {field.name: field.metadata["setting"] for field in dataclasses.fields(Config)}


def check(config: Config) -> None:
    """Raises UserError on the first setting that no run can have."""
    methods.check_name(config.method)
    for name, known in settings().items():
        known.check(name, getattr(config, name))
    if config.micro_batch_size is not None:
        check_micro_batches(config.batch_size, config.micro_batch_size, config.num_devices or 1)
    config.checkpoint_interval()
    ranges.parse(config.normalize)
    if config.invalid != "auto":
        ranges.invalid_number(config.invalid)
    ranges.fill(config.fill)
    for name, parse in (("channels_from", channel_files.parse), ("tile", tiling.parse)):
        if getattr(config, name):
            parse(getattr(config, name))
            if not config.data.startswith("folder:"):
                raise UserError(f"--{name} is for --data=folder:PATH, and the data is {config.data}: leave it out")
    resolution.parse(config.resolution_schedule)
    group_names.check(config.group_by, config.positives == "group", config.data_service)
    if config.skip_nonfinite and config.steps_per_execution > 1:
        raise UserError("--skip_nonfinite looks at every step: leave --steps_per_execution at 1")


def read_run(workdir: str) -> Config:
    """The settings of the run in `workdir`; UserError where there is none."""
    path = os.path.join(workdir, "flags.txt")
    if not os.path.isfile(path):
        raise UserError(f"{workdir!r} holds no run: {path} is missing; give the --workdir of a tools.pretrain run")
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        text = file.read()
    if "--normalize=" not in text:  # of an earlier version, for which pixels were what their type can hold
        text += "--normalize=none\n--invalid=none\n"
    return Config.from_flag_lines(text)


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str | tuple) else str(value)
