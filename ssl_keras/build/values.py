"""`--normalize` and `--invalid` -> what the raw numbers of the images mean, by a look at the training images."""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from ssl_keras.config import Config, read_run
from ssl_keras.data import ranges
from ssl_keras.data.canvases.pipeline import CanvasSpec, decode, from_array
from ssl_keras.data.formats.decode import MAXIMUM
from ssl_keras.data.source import Source
from ssl_keras.data.values import Values, percentiles
from ssl_keras.encoders.contract import Contract
from ssl_keras.errors import UserError
from ssl_keras.nn.images import Gaps
from ssl_keras.progress import Bar

IMAGES, PIXELS = 2000, 4096  # images that are looked at, spread over the data, and pixels of each
NOTHING = 0.01  # a larger share of exact zeros in gray images of 16 bits is no measurement
DEFAULT = "percentile:1,99"
LOOKED_AT = 256  # canvases, for what lies at the ends of the ranges: by `DEFAULT` the share
USUAL = 0.02  # of the training images, and a warning is due where it is larger by
MORE = 0.05
UNITS = {
    1000: "meters, and millimeters then",
    1 / 1000: "millimeters, and meters then",
    257: "8 bits, and 16 bits then",
    1 / 257: "16 bits, and 8 bits then",
    65535: "0 to 1, and 16 bits then",
}


def values_of(config: Config) -> Values | None:
    """What the settings, once they are resolved, say of raw numbers; None: all that the type holds counts."""
    kind, numbers = ranges.parse(config.normalize, config.channels)
    if kind not in ("range", "image"):
        return None
    invalid = ranges.invalid_number(config.invalid)
    marks = None if invalid is None else (invalid,) * len(numbers)
    if kind == "image":
        return Values(((0.0, 1.0),) * len(numbers), marks, of_image=numbers)
    return Values(numbers, marks)


def gaps_of(config: Config) -> Gaps | None:
    """How the network sees pixels without a measurement; None: there are none."""
    values = values_of(config)
    if values is None or not values.has_gaps(config.dtype):
        return None
    kind, numbers = ranges.fill(config.fill, config.channels)
    return Gaps(numbers, kind == "channel")


def with_values(config: Config, source: Source) -> Config:
    """The settings with a range, or none, in the place of percentiles and of "auto", and a line about it.

    It is that of the run in the folder, wherever that goes on.

    Args:
        config: its channels and dtype are known.
        source: the training images.

    Raises:
        UserError: none of them can be read; a channel is constant, or nothing was measured in it.
    """
    if config.normalize == "auto" and config.workdir and os.path.exists(os.path.join(config.workdir, "flags.txt")):
        before = read_run(config.workdir)
        fill = before.fill if config.fill == "mean" else config.fill
        return dataclasses.replace(config, normalize=before.normalize, invalid=before.invalid, fill=fill)
    text, invalid, fill = config.normalize, config.invalid, config.fill
    if text == "auto":
        text = DEFAULT if config.dtype != "uint8" else "none" if invalid in ("auto", "none") else "range:0,255"
    kind, numbers = ranges.parse(text, config.channels)
    if kind == "none":
        if config.dtype not in MAXIMUM:
            raise UserError(f"--normalize=none: pixels of the type {config.dtype} have no range of their own")
        if invalid not in ("auto", "none"):
            raise UserError(f"--invalid={invalid} needs a range of values: leave out --normalize=none")
        return dataclasses.replace(config, normalize="none", invalid="none", fill="0")
    if kind == "image" and fill == "mean":
        raise UserError("--fill=mean needs one range for all images, not --normalize=image: set a number, such as 0.5")
    if kind != "percentile" and invalid != "auto" and fill != "mean":  # a run that goes on, or that is evaluated
        print("\n".join(_told(config, kind, None, numbers, text, invalid)))
        return dataclasses.replace(config, normalize=ranges.written(numbers, kind))
    samples = sampled(source, config)
    if invalid == "auto":
        zeros = (samples == 0).mean() if config.dtype == "uint16" and config.channels == 1 else 0.0
        invalid = "0" if zeros > NOTHING else "none"
    number = ranges.invalid_number(invalid)
    samples = samples if number is None else np.where(samples == number, np.nan, samples)
    if kind == "percentile":
        found = percentiles(samples, numbers)
        kind, numbers = "range", tuple(tuple(float(f"{number:.7g}") for number in pair) for pair in found)
    print("\n".join(_told(config, kind, samples, numbers, text, invalid)))
    if fill == "mean":
        fill = ",".join(f"{number:.4f}" for number in Values(numbers).mean(samples))
    return dataclasses.replace(config, normalize=ranges.written(numbers, kind), invalid=invalid, fill=fill)


def sampled(source: Source, config: Config, images: int = IMAGES) -> np.ndarray:
    """Raw numbers, float32 [N, C]: `PIXELS` of each of some images, spread evenly over both."""
    spec = CanvasSpec(1, config.channels, "uint16", Values(((0.0, 1.0),) * config.channels), config.dtype)
    rows = np.unique(np.linspace(0, len(source) - 1, min(images, len(source))).astype(np.int64))
    signature = [tf.TensorSpec([], tf.string)]
    read = tf.function(lambda encoded: decode(encoded, spec), input_signature=signature, autograph=False)
    found = []
    with Bar("looking at values", len(rows)) as bar:
        for number, i in enumerate(rows, 1):
            try:
                raw = source.patient_read(int(i))
                if source.packed is not None and source.packed.values is not None:
                    raw = source.packed.values.of_codes(raw)
                pixels = from_array(tf.constant(raw), spec) if source.arrays else read(raw)
            except Exception:  # whatever is wrong with an image, it is counted and named when it is decoded
                continue
            pixels = pixels.numpy().reshape(-1, config.channels)
            found.append(pixels[:: max(1, len(pixels) // PIXELS)].astype(np.float32))
            bar.show(number)
    if not found:
        raise UserError(f"{source.name}: none of {len(rows)} images looked at can be read")
    return np.concatenate(found)


def clipped(canvases) -> float | None:
    """The share of what was measured that lies at the ends of the ranges or beyond them; None without ranges."""
    if canvases.spec.values is None:
        return None
    codes = canvases.sample(LOOKED_AT)
    measured = max(1, np.isfinite(codes).sum())
    return float(((codes <= 1 / 65535) | (codes >= 1)).sum() / measured)


def beyond(source: Source, config: Config, canvases, contract: Contract) -> str | None:
    """A warning where far more values lie beyond an encoder's ranges than when it was trained; None: all is well.

    Args:
        source, canvases: the images, as they are and as the encoder takes them.
        config: of the evaluation.
    """
    values, share = contract.values, clipped(canvases)
    if values is None or values.of_image or share <= (contract.clipped or USUAL) + MORE:
        return None
    spread = np.nanpercentile(sampled(source, config, 50), [1, 99])
    low, high = min(low for low, _ in values.ranges), max(high for _, high in values.ranges)
    guess = ""
    for factor, words in UNITS.items():
        if 0.5 < factor * spread[1] / high < 2:
            guess = f": {words}?"
    these = f"{spread[0]:g} to {spread[1]:g}"
    return (
        f"warning: {share:.0%} of the values of {source.name} lie at the ends of the range that the encoder was "
        f"trained with, or beyond it. It was trained on {low:g} to {high:g}; these are {these}{guess}"
    )


def _told(config: Config, kind: str, samples: np.ndarray | None, found, text: str, invalid: str) -> list[str]:
    """What is to be said of the values.

    Args:
        found: the numbers of "range", or of "image".
    """
    if kind == "image":
        lines = [
            f"values: become 0 to 1 in each image by itself (--normalize={text}). The SavedModel does that; "
            "encoder.keras takes images in which it is done"
        ]
    else:
        whole = MAXIMUM.get(config.dtype) if config.dtype != "float32" else None
        shown = [f"{low:.6g} to {high:.6g}" for low, high in dict.fromkeys(found)]
        listed = ", ".join(shown[:4]) + (f", .. ({len(shown)} channels)" if len(shown) > 4 else "")
        used = max(high - low for low, high in found)
        share = f" ({used / whole:.1%} of what {config.dtype} can hold)" if whole else ""
        lines = [f"values: {listed}{share} become 0 to 1 (--normalize={text})"]
    if invalid != "none":
        share = "" if samples is None else f", {1.0 - np.isfinite(samples).mean():.1%} of all"
        lines.append(f"not measured: pixels of the value {invalid}{share} (--invalid={invalid})")
    return lines
