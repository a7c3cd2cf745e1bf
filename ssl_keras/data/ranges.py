"""`--normalize` and `--invalid` as a person writes them."""

import math

from ssl_keras.errors import UserError

FORMS = "none, percentile:LOW,HIGH, range:LOW,HIGH or window:CENTER,WIDTH"


def parse(text: str, channels: int | None = None) -> tuple[str, tuple[tuple[float, float], ...]]:
    """`--normalize` as (kind, its numbers for each channel): "none", "auto", "percentile" or "range".

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
    if kind not in ("percentile", "range", "window") or not right:
        raise UserError(f"--normalize={text}: expected auto, {FORMS}; for each channel its own: LOW,HIGH;LOW,HIGH;..")
    if channels and len(pairs) not in (1, channels):
        raise UserError(f"--normalize={text} has numbers for {len(pairs)} channels, and the images have {channels}")
    if kind == "window":  # as radiologists write it
        kind, pairs = "range", [(center - width / 2, center + width / 2) for center, width in pairs]
    for low, high in pairs:
        if not low < high or (kind == "percentile" and not 0 <= low < high <= 100):
            within = " from 0 to 100" * (kind == "percentile")
            raise UserError(f"--normalize={text}: expected a lower and a higher number{within}")
    return kind, tuple(pairs) * (channels if channels and len(pairs) == 1 else 1)


def written(ranges: tuple[tuple[float, float], ...]) -> str:
    """Ranges as `parse` reads them."""
    pairs = dict.fromkeys(ranges) if len(set(ranges)) == 1 else ranges
    return "range:" + ";".join(f"{low!r},{high!r}" for low, high in pairs)


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
