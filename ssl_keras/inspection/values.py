"""The numbers in the images, over all that were looked at."""

import numpy as np

from ssl_keras.build.values import NOTHING
from ssl_keras.inspection.looks import Look

SHARES = (1.0, 50.0, 99.0)  # percentiles
WIDTHS = {"uint8": 255.0, "uint16": 65535.0, "int16": 65535.0}  # from the lowest to the highest that the type holds


def values(looks: list[Look], dtype: str) -> dict:
    """Of each channel the minimum, percentiles and maximum of what was measured, and shares of special numbers.

    Args:
        looks: at training images.
        dtype: of the stored numbers.

    Returns:
        {"channels": [{"minimum", "p1", "p50", "p99", "maximum", "used", ..}, ..], "invalid": "0" or "none", ..}: what
        is "used" is p99 - p1 as a share of what the type can hold, None where that has no width.
    """
    numbers = np.stack([look.numbers for look in looks])  # [images, 6, channels]
    sampled = [look.samples for look in looks if look.samples is not None]
    samples = np.concatenate(sampled)
    pixels = sum(look.pixels for look in looks)
    low, above, high, at_high, zeros, finite = np.moveaxis(numbers, 1, 0)
    gray_deep = dtype == "uint16" and numbers.shape[2] == 1
    invalid = "0" if gray_deep and zeros.sum() > NOTHING * pixels else "none"
    if invalid == "0":
        samples, low, finite = np.where(samples == 0, np.nan, samples), above, finite - zeros
    channels = []
    for channel in range(numbers.shape[2]):
        own = samples[:, channel]
        own = own[np.isfinite(own)]
        highest, measured = float(high[:, channel].max()), float(finite[:, channel].sum())
        if not own.size or not np.isfinite(highest):
            channels.append({"minimum": None, "p1": None, "p50": None, "p99": None, "maximum": None, "used": None,
                             "zeros": 0.0, "not_measured": 1.0, "at_maximum": 0.0})  # fmt: skip
            continue
        p1, p50, p99 = (float(number) for number in np.percentile(own, SHARES))
        top = high[:, channel] == highest
        channels.append(
            {
                "minimum": float(low[:, channel].min()),
                "p1": p1,
                "p50": p50,
                "p99": p99,
                "maximum": highest,
                "used": (p99 - p1) / WIDTHS[dtype] if dtype in WIDTHS else None,
                "zeros": float(zeros[:, channel].sum() / pixels),
                "not_measured": float(1.0 - measured / pixels),
                "at_maximum": float(at_high[top, channel].sum() / max(measured, 1.0)),
            }
        )
    return {
        "dtype": dtype,
        "images": len(looks),
        "images_of_percentiles": len(sampled),
        "invalid": invalid,
        "gray_in_color": numbers.shape[2] == 3 and all(look.gray for look in looks),
        "channels": channels,
    }
