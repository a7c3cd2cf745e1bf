"""`--tile`: where the tiles of an image lie. A function of sizes alone."""

from typing import NamedTuple

from ssl_keras.errors import UserError

LEAST = 8  # px, the smallest view


class Tile(NamedTuple):
    """The side of a tile, and the way from one to the next, px."""

    size: int
    stride: int

    @property
    def has_gaps(self) -> bool:
        """Whether pixels between the tiles belong to none."""
        return self.stride > self.size


class Box(NamedTuple):
    """A part of an image, px."""

    y: int
    x: int
    height: int
    width: int


def parse(text: str) -> Tile:
    """SIZE or SIZE:STRIDE.

    Raises:
        UserError: it has another form, or a number is too small.
    """
    parts = text.split(":")
    numbers = [int(part) for part in parts if part.isdecimal()]
    if len(numbers) != len(parts) or len(parts) > 2 or numbers[0] < LEAST or numbers[-1] < 1:
        raise UserError(
            f"--tile={text}: expected SIZE, of {LEAST} px or more, or SIZE:STRIDE, such as 128 or 128:64"
        )
    return Tile(numbers[0], numbers[-1])


def boxes(height: int, width: int, tile: Tile) -> list[Box]:
    """The tiles of an image, row by row; one, all of it, where it is not larger than a tile.

    The last tile of a row or column is moved inward to the edge, so that nothing is lost. A side that is shorter than
    a tile is not cut: such a tile is no square.
    """
    sides = min(height, tile.size), min(width, tile.size)
    return [Box(y, x, *sides) for y in _starts(height, tile) for x in _starts(width, tile)]


def _starts(length: int, tile: Tile) -> list[int]:
    last = max(0, length - tile.size)
    return [*range(0, last, tile.stride), last]
