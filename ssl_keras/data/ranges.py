"""`--normalize`, `--invalid` and `--fill` as a person writes them."""

import math

from ssl_keras.errors import UserError

FORMS = "none, percentile:LOW,HIGH, range:LOW,HIGH, window:CENTER,WIDTH or image:LOW,HIGH"


def parse(text: str, channels: int | None = None) -> tuple[str, tuple[tuple[float, float], ...]]:
    """`--normalize` as (kind, its numbers for each channel): "none", "auto", "percentile", "range" or
    "image".

    Args:
        channels: of the images; None: not known yet.

    Raises:
        UserError: it has another form, or numbers for another number of channels.
    """
    kind, _, rest = text.partition(":")
    if kind in ("none", "auto") and not rest:
        return kind, ()
    try:
        pairs = [tuple(float(number) for number in part.split(",")) for part in rest.split(";")]
        right = all(len(pair) == 2 for pair in pairs)
    except ValueError:
        right = False
    if kind not in ("percentile", "range", "window", "image") or not right:
        raise UserError(f"--normalize={text}: expected auto, {FORMS}; for each channel its own: LOW,HIGH;LOW,HIGH;..")
    if channels and len(pairs) not in (1, channels):
        raise UserError(f"--normalize={text} has numbers for {len(pairs)} channels, and the images have {channels}")
    if kind == "window":  # as radiologists write it
        kind, pairs = "range", [(center - width / 2, center + width / 2) for center, width in pairs]
    for low, high in pairs:
        if not low < high or (kind in ("percentile", "image") and not 0 <= low < high <= 100):
            within = " from 0 to 100" * (kind != "range")
            raise UserError(f"--normalize={text}: expected a lower and a higher number{within}")
    return kind, tuple(pairs) * (channels if channels and len(pairs) == 1 else 1)


def written(ranges: tuple[tuple[float, float], ...], kind: str = "range") -> str:
    """Pairs of numbers as `parse` reads them."""
    pairs = dict.fromkeys(ranges) if len(set(ranges)) == 1 else ranges
    return f"{kind}:" + ";".join(f"{low!r},{high!r}" for low, high in pairs)


def invalid_number(text: str) -> float | None:
    """`--invalid`, but for auto, as a number; None for none.

    Raises:
        UserError: it is something else.
    """
    if text == "none":
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"--invalid={text}: expected auto, none, or the number that says that nothing was measured")
    return number


def fill(text: str, channels: int | None = None) -> tuple[str, tuple[float, ...]]:
    """`--fill` as (kind, its number for each channel): "number", "mean" (not known yet) or "channel".

    Raises:
        UserError: it has another form, or numbers for another number of channels.
    """
    if text in ("mean", "channel"):
        return text, (0.0,) * (channels or 1) if text == "channel" else ()
    try:
        numbers = tuple(float(number) for number in text.split(","))
        right = all(0 <= number <= 1 for number in numbers)
    except ValueError:
        right = False
    if not right:
        raise UserError(
            f"--fill={text}: expected mean, channel, or a number from 0 (the lowest value) to 1 (the highest), or one "
            "for each channel, separated by commas"
        )
    if channels and len(numbers) not in (1, channels):
        raise UserError(f"--fill={text} has numbers for {len(numbers)} channels, and the images have {channels}")
    return "number", numbers * (channels if channels and len(numbers) == 1 else 1)
