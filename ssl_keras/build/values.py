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
from ssl_keras.errors import UserError
from ssl_keras.progress import Bar

IMAGES, PIXELS = 2000, 4096  # images that are looked at, spread over the data, and pixels of each
NOTHING = 0.01  # a larger share of exact zeros in gray images of 16 bits is no measurement
DEFAULT = "percentile:1,99"


def values_of(config: Config) -> Values | None:
    """What the settings, once they are resolved, say of raw numbers; None: all that the type holds counts."""
    kind, numbers = ranges.parse(config.normalize, config.channels)
    if kind != "range":
        return None
    invalid = ranges.invalid_number(config.invalid)
    return Values(numbers, None if invalid is None else (invalid,) * len(numbers))


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
        return dataclasses.replace(config, normalize=before.normalize, invalid=before.invalid)
    text = config.normalize
    if text == "auto":
        text = "none" if config.dtype == "uint8" else DEFAULT
    kind, numbers = ranges.parse(text, config.channels)
    if kind == "none":
        if config.dtype not in MAXIMUM:
            raise UserError(f"--normalize=none: pixels of the type {config.dtype} have no range of their own")
        return dataclasses.replace(config, normalize="none", invalid="none")
    invalid = config.invalid
    if kind == "range" and invalid != "auto":  # nothing is to be found: a run that goes on, or that is evaluated
        print("\n".join(_told(config, None, numbers, text, invalid)))
        return dataclasses.replace(config, normalize=ranges.written(numbers))
    samples = sampled(source, config)
    if invalid == "auto":
        zeros = (samples == 0).mean() if config.dtype == "uint16" and config.channels == 1 else 0.0
        invalid = "0" if zeros > NOTHING else "none"
    number = ranges.invalid_number(invalid)
    samples = samples if number is None else np.where(samples == number, np.nan, samples)
    found = numbers
    if kind == "percentile":
        found = tuple(tuple(float(f"{number:.7g}") for number in pair) for pair in percentiles(samples, numbers))
    for line in _told(config, samples, found, text, invalid):
        print(line)
    return dataclasses.replace(config, normalize=ranges.written(found), invalid=invalid)


def sampled(source: Source, config: Config) -> np.ndarray:
    """Raw numbers of training images, float32 [N, C]: `PIXELS` of each of `IMAGES`, spread evenly over both."""
    spec = CanvasSpec(1, config.channels, "uint16", Values(((0.0, 1.0),) * config.channels), config.dtype)
    rows = np.unique(np.linspace(0, len(source) - 1, min(IMAGES, len(source))).astype(np.int64))
    read = tf.function(lambda encoded: decode(encoded, spec), input_signature=[tf.TensorSpec([], tf.string)])
    found = []
    with Bar("looking at values", len(rows)) as bar:
        for number, i in enumerate(rows, 1):
            try:
                raw = source.patient_read(int(i))
                pixels = from_array(tf.constant(raw), spec) if source.arrays else read(raw)
            except Exception:  # whatever is wrong with an image, it is counted and named when it is decoded
                continue
            pixels = pixels.numpy().reshape(-1, config.channels)
            found.append(pixels[:: max(1, len(pixels) // PIXELS)].astype(np.float32))
            bar.show(number)
    if not found:
        raise UserError(f"{source.name}: none of {len(rows)} images looked at can be read")
    return np.concatenate(found)


def _told(config: Config, samples: np.ndarray | None, found, text: str, invalid: str) -> list[str]:
    """What is to be said of the values."""
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
