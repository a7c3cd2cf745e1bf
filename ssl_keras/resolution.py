"""`--resolution_schedule`: smaller views in the early epochs of a run (FixRes, arXiv:1906.06423; FastDINOv2,
arXiv:2507.03779, which trains 75 % of its epochs at half the resolution)."""

from typing import NamedTuple

from ssl_keras.errors import UserError


class Phase(NamedTuple):
    """A stretch of a run: its share of the epochs, and the share of their full side that views have in it."""

    epochs: float
    side: float


def parse(text: str) -> tuple[Phase, ...]:
    """The phases of a text such as "0.75:0.5,0.25:1"; () of an empty one.

    Raises:
        UserError: it has another form, shares of the epochs that do not add up to 1, or no full size at the end.
    """
    if not text:
        return ()
    form = f"--resolution_schedule={text}: expected SHARE_OF_EPOCHS:SHARE_OF_SIDE,... such as 0.75:0.5,0.25:1"
    try:
        phases = tuple(Phase(*map(float, part.split(":"))) for part in text.split(","))
    except (ValueError, TypeError) as error:
        raise UserError(form) from error
    if not all(phase.epochs > 0 and 0 < phase.side <= 1 for phase in phases):
        raise UserError(f"{form}, all above 0, no side above 1")
    if abs(sum(phase.epochs for phase in phases) - 1) > 1e-6:
        raise UserError(f"{form}; the shares of the epochs must add up to 1")
    if phases[-1].side != 1:
        raise UserError(f"{form}; the last side must be 1: that is the size for which the encoder is shipped")
    return phases


def side(phases: tuple[Phase, ...], epoch: int, epochs: int) -> float:
    """The share of the side in an epoch, counted from 0; a phase begins with a whole epoch, the nearest."""
    end = 0.0
    for phase in phases:
        end += phase.epochs
        if epoch < round(end * epochs):
            return phase.side
    return 1.0
