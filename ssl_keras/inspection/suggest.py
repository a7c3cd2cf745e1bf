"""A flagfile for what was found: each flag with its reason."""

import math
from typing import NamedTuple

from ssl_keras.data import ranges
from ssl_keras.inspection import budget

STEPS, FEWEST_STEPS = 10_000, 2_000  # steps make an encoder, not epochs
NIGHT = 12 * 3600.0  # seconds that a first run may take
BATCH, LARGEST, SMALL = 128, 224, 64
MANY = 50_000  # images that a larger network is worth
USED = 0.25  # images of 8 bits that use less of them are spread
# Of each kind: what it is called, its recipe (None: SimCLR's), what is set in it, and why.
KINDS = {
    "color": ("color images", None, {"crop_area": (0.2, 1.0), "brightness": 0.4, "contrast": 0.4, "saturation": 0.4,
              "hue": 0.1}, "half the paper's strength of color, because color may be what tells your images apart"),
    "gray": ("gray images", None, {"crop_area": (0.2, 1.0), "brightness": 0.4, "contrast": 0.4, "saturation": 0.4,
             "hue": 0.1}, "half the paper's strength; with one channel, saturation is gamma and hue is offset"),
    "measured": ("gray measurements", None, {"crop_area": (0.3, 1.0), "brightness": 0.2, "contrast": 0.2,
                 "saturation": 0.2, "hue": 0.05}, "weak changes of value, because the numbers mean something"),
    "holes": ("gray measurements with holes, such as depth", "depth", {}, "distances that are scaled and moved, more "
              "holes, and no blur, which smears edges over them"),
    "stains": ("images of two channels, such as stains", "fluorescence", {}, "each channel varies by itself"),
    "bands": ("images of several bands", "multispectral", {}, "light varies for all bands together, and bands fail"),
}  # fmt: skip


class Flag(NamedTuple):
    """Lines of a flagfile, and why."""

    lines: tuple[str, ...]
    reason: str


class Needs(NamedTuple):
    """What a suggestion goes by.

    Args:
        images: training images that can be read.
        side: median of the longer sides, px.
        values: see `values.values`.
        unreadable: share of the training images.
        patients: whether files name these, several images having the same.
    """

    images: int
    side: int
    values: dict
    unreadable: float
    patients: bool = False


class Plan(NamedTuple):
    """The size of a run."""

    backbone: str
    image_size: int
    batch_size: int
    epochs: int
    steps: int
    seconds: float


def kind_of(values: dict) -> str:
    """A key of `KINDS`."""
    channels = len(values["channels"])
    if values["invalid"] != "none":
        return "holes"
    if channels not in (1, 3):
        return "stains" if channels == 2 else "bands"
    if channels == 1 or values["gray_in_color"]:
        return "gray" if values["dtype"] == "uint8" else "measured"
    return "color"


def plan(needs: Needs, on: budget.Machine) -> Plan:
    """The largest of some sizes of run that fits into a night; the last one is cut to it."""
    batch = BATCH if needs.images >= 3 * BATCH else 2 ** int(math.log2(max(2, needs.images // 3)))
    per_epoch = max(1, needs.images // batch)
    side = max(8, min(LARGEST, needs.side))
    sizes = [("resnet50", side)] if on.gpu and needs.images >= MANY else []
    if side <= SMALL:
        sizes += [("resnet18", side), ("resnet8", side), ("resnet8", min(side, 32))]
    else:
        smaller = [size for size in (side, 128, 96) if size <= side]
        sizes += [("resnet18", size) for size in dict.fromkeys(smaller)] + [("resnet8", min(side, 96))]
    for backbone, size in sizes:
        speed = budget.images_per_second(backbone, size, on)
        if STEPS * batch / speed <= NIGHT:
            break
    steps = int(min(STEPS, max(FEWEST_STEPS, NIGHT * speed / batch)))
    epochs = max(1, math.ceil(steps / per_epoch))
    return Plan(backbone, size, batch, epochs, epochs * per_epoch, epochs * per_epoch * batch / speed)


def suggest(data: str, needs: Needs, on: budget.Machine, given: dict[str, object]) -> tuple[list[Flag], Plan]:
    """The flags, in the order of the file.

    Args:
        data: as --data takes it.
        given: flags of reading that the user gave, which stay.
    """
    chosen, kind, values = plan(needs, on), kind_of(needs.values), needs.values
    called, recipe, changes, why = KINDS[kind]
    flags = [Flag((f"--data={data}",), f"{needs.images} training images that can be read: {called}.")]
    if given:
        flags.append(Flag(tuple(f"--{name}={value}" for name, value in given.items()), "As you gave it."))
    if needs.patients:
        flags.append(Flag(("--group_by=auto",), "Images of a patient, or of a volume, stay on one side of a split."))
    gray = values["gray_in_color"]
    channels = 1 if gray else len(values["channels"])
    flags.append(
        Flag((f"--channels={channels}",), "All three channels are the same: one is enough." if gray else "As found.")
    )
    flags += _range_flags(values)
    recipe = recipe or ("simclr_cifar" if chosen.image_size <= SMALL else "simclr")
    lines = [f"--views={recipe}", *(f"--view_arg={name}={value}".replace(" ", "") for name, value in changes.items())]
    more = " If you know what they are, see the recipes by kind in docs/views.md." if kind != "color" else ""
    flags.append(Flag(tuple(lines), f"For {called}: {why}. Look at them with tools.preview_views.{more}"))
    flags.append(
        Flag(("--method=simclr", "--method_arg=temperature=0.2", "--method_arg=hidden_dim=1024"),
             "Needs no labels, no queue and no second network, and starts fast (docs/methods.md).")
    )  # fmt: skip
    flags += _size_flags(needs, chosen, on)
    flags.append(
        Flag(("--optimizer=muon", "--learning_rate=0.008", "--momentum=0.95", "--beta_2=0.95", "--weight_decay=0.01"),
             "Learned faster than AdamW in short runs (docs/results.md).")
    )  # fmt: skip
    if needs.unreadable > 0.01:
        allowed = math.ceil(100 * needs.unreadable + 1) / 100
        reason = f"{needs.unreadable:.1%} of the files cannot be read. Look at them first: they may be worth mending."
        flags.append(Flag((f"--max_bad_fraction={min(allowed, 1.0):g}",), reason))
    flags.append(Flag(("--checkpoint_every=10min",), "A run that is killed loses ten minutes at most."))
    return flags, chosen


def _range_flags(values: dict) -> list[Flag]:
    channels = values["channels"]
    used = [channel["used"] for channel in channels if channel["used"] is not None]
    lost = [n for n, channel in enumerate(channels, 1) if channel["minimum"] == channel["maximum"]]
    if values["dtype"] == "uint8" and (lost or max(used, default=1.0) >= USED):
        return [Flag(("--normalize=none",), f"Images of 8 bits that use {max(used, default=0.0):.0%} of them.")]
    if lost:  # percentiles of a constant channel are no range
        which = ", ".join(map(str, lost[:5])) + ", .." * (len(lost) > 5)
        pairs = tuple(_pair(channel) for channel in channels)
        why = f"1 % to 99 % of the values; channel {which} is constant."
        flag = Flag((f"--normalize={ranges.written(pairs)}",), why)
    else:
        share = f": they use {max(used):.1%} of what {values['dtype']} can hold" if used else ""
        flag = Flag(("--normalize=percentile:1,99",), f"1 % to 99 % of the values become 0 to 1{share}.")
    if values["invalid"] == "none":
        return [flag, Flag(("--invalid=none",), "No number says that nothing was measured; NaN does so by itself.")]
    share = max(channel["not_measured"] for channel in channels)
    return [flag, Flag((f"--invalid={values['invalid']}",), f"{share:.1%} of the pixels are exactly 0: not measured.")]


def _pair(channel: dict) -> tuple[float, float]:
    low, high = channel["p1"], channel["p99"]
    if low is None:
        return 0.0, 1.0
    if not low < high:
        low, high = channel["minimum"], channel["maximum"]
    return (low, high) if low < high else (low, low + 1.0)


def _size_flags(needs: Needs, chosen: Plan, on: budget.Machine) -> list[Flag]:
    smaller = chosen.image_size < min(needs.side, LARGEST)
    size = f"The longer side has {needs.side} px (median)."
    if smaller:
        size += f" Smaller views fit into a night on {on}; take larger ones if small things matter."
    elif needs.side > LARGEST:
        size += f" Views of {LARGEST} px are enough to start with."
    few = " This is few: expect little." if needs.images < 500 else ""
    return [
        Flag((f"--image_size={chosen.image_size}",), size),
        Flag((f"--backbone={chosen.backbone}",), f"The largest tried that takes a night at most on {on}."),
        Flag((f"--batch_size={chosen.batch_size}",),
             f"{needs.images} images make {needs.images // chosen.batch_size} steps an epoch."),
        Flag((f"--epochs={chosen.epochs}", "--schedule=cosine"),
             f"{chosen.steps:,} steps; {STEPS:,} are a good start.{few} {estimated(chosen, on)}"),
    ]  # fmt: skip


def estimated(chosen: Plan, on: budget.Machine) -> str:
    """The time of the run, and how it was computed."""
    work = budget.operations_per_image(chosen.backbone, chosen.image_size)
    rate = on.share * on.operations
    return (
        f"Estimate: {_time(chosen.seconds)} = {chosen.steps:,} steps x {chosen.batch_size} images x {work / 1e9:.2g} "
        f"GFLOP / {rate / 1e9:.3g} GFLOP/s, {on.share:.0%} of a matrix product's speed here, measured now. Rough: by a "
        "factor of two."
    )


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def flagfile(title: str, flags: list[Flag]) -> str:
    """The text of the file: each flag below its reason."""
    parts = [title]
    for flag in flags:
        parts += [f"# {flag.reason}", *flag.lines]
    return "\n".join(parts) + "\n"
