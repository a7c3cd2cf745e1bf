"""Tiles of large images, as images of their own."""

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from ssl_keras import machine
from ssl_keras.data.measured import group_of_file
from ssl_keras.data.source import Source
from ssl_keras.data.tiling import Box, Tile, boxes
from ssl_keras.errors import UserError
from ssl_keras.progress import Bar
from ssl_keras.words import counted

TYPICAL = 95  # percentile of the tiles' spreads that stands for a tile with much on it
MOST_INVALID = 0.5  # a tile of which a larger share was not measured is left out
MEMORY_SHARE, MOST_BYTES = 0.05, 2**30  # for images that were decoded last


class Content(NamedTuple):
    """What is on the tiles of an image.

    Args:
        boxes: where they lie.
        spread: standard deviation in each channel over what was measured, float64 [T, C].
        invalid: share of the numbers that were not measured, float64 [T].
    """

    boxes: list[Box]
    spread: np.ndarray
    invalid: np.ndarray


def tiled(source: Source, tile: Tile, least_spread: float, invalid: float | None) -> Source:
    """The tiles of a source's images that have something on them.

    A tile is empty where the standard deviation of its numbers is, in each channel, below `least_spread` times that of
    tiles with much on them (the 95th percentile of all tiles), or where more than half of it was not measured. Images
    that are not larger than a tile stay whole. To see what is on the tiles, each larger image is decoded once, here.

    Args:
        source: of pixels of any size: it has `arrays` and `shapes`.
        tile: side and stride.
        least_spread: 0 to 1; 0: no tile has too little on it.
        invalid: the number that says that nothing was measured, beside NaN; None: there is none.

    Raises:
        UserError: no image is larger than a tile, or no tile has something on it.
    """
    is_known = source.shapes.min(1) > 0
    is_small = is_known & (source.shapes <= tile.size).all(1)
    if is_small.sum() == is_known.sum() > 0:
        height, width = source.shapes[source.shapes.prod(1).argmax()]
        raise UserError(
            f"--tile={tile.size}: no image of {source.name} is larger than a tile; the largest has {height} x {width} "
            "px: choose a smaller tile, or leave --tile out"
        )
    contents = contents_of(source, np.flatnonzero(~is_small), tile, invalid)
    found = [content for content in contents.values() if content]
    kept, remark = _choice(found, least_spread)
    chosen = dict(zip([i for i, content in contents.items() if content], kept))
    whole = Box(0, 0, 0, 0)
    rows = [(i, box) for i in range(len(source)) for box in chosen.get(i, [whole])]
    if not rows:
        raise UserError(f"--tile={tile.size}: nothing is on any tile of {source.name}: {remark}")
    file = np.array([i for i, _ in rows], np.int64)
    places = np.array([box for _, box in rows], np.int64)
    lost = {i for i, content in contents.items() if content is None}
    latest = Latest(source.read, min(MOST_BYTES, MEMORY_SHARE * machine.memory_bytes()))

    def read(k: int) -> np.ndarray:
        i, (y, x, height, width) = int(file[k]), places[k]
        if i in lost:
            source.read(i)  # says why
            raise UserError("it could not be read when its tiles were looked for")
        return np.ascontiguousarray(latest(i)[y : y + height, x : x + width]) if height else source.read(i)

    def describe(k: int) -> str:
        y, x, height, _ = places[k]
        return source.describe(int(file[k])) + f"[{x},{y}]" * bool(height)

    def group(k: int) -> str:
        """All tiles of an image are of one group, that of the image if it has one."""
        i = int(file[k])
        return (source.group and source.group(i)) or group_of_file(source.describe(i))

    return dataclasses.replace(
        source,
        length=len(rows),
        read=read,
        describe=describe,
        label=source.label and (lambda k: source.label(int(file[k]))),
        group=group,
        shapes=np.where(places[:, 2:] > 0, places[:, 2:], source.shapes[file]),
        remarks=(*source.remarks, *_remarks(tile, len(rows), len(found), int(is_small.sum()), remark)),
    )


def contents_of(source: Source, rows: np.ndarray, tile: Tile, invalid: float | None) -> dict[int, Content | None]:
    """What is on the tiles of the images at some rows, by row; None for one that cannot be read."""

    def look(i: int) -> Content | None:
        try:
            return content_of(source.patient_read(int(i)), tile, invalid)
        except Exception:  # it is counted and named when it is decoded
            return None

    found = {}
    with ThreadPoolExecutor(machine.cores()) as pool, Bar("looking for tiles", len(rows)) as bar:
        for i, content in zip(rows, pool.map(look, rows)):
            found[int(i)] = content
            bar.show(len(found))
    return found


def content_of(pixels: np.ndarray, tile: Tile, invalid: float | None) -> Content:
    """What is on the tiles of an image [H, W, C]."""
    places = boxes(*pixels.shape[:2], tile)
    measured = np.isfinite(pixels) if pixels.dtype.kind == "f" else None
    if invalid is not None:
        measured = pixels != invalid if measured is None else measured & (pixels != invalid)
    columns = np.array([(box.x, box.x + box.width) for box in places if box.y == 0])
    rows = [_moments(pixels, measured, box.y, box.y + box.height, columns) for box in places if box.x == 0]
    count, total, squares = np.concatenate(rows, axis=1)  # of each tile: [T, C]
    count_or_one = np.maximum(count, 1.0)
    variance = squares / count_or_one - (total / count_or_one) ** 2
    area = np.array([[box.height * box.width] for box in places])
    return Content(places, np.sqrt(np.maximum(variance, 0.0)), 1.0 - (count / area).mean(1))


def _moments(
    pixels: np.ndarray, measured: np.ndarray | None, top: int, bottom: int, columns: np.ndarray
) -> np.ndarray:
    """How many numbers were measured, their sum and that of their squares, in each tile of a row of tiles: float64
    [3, tiles, C]. Sums along one axis after the other, so that what tiles share is added once.

    Args:
        columns: int [tiles, 2], where each begins and ends.
    """
    band = pixels[top:bottom].astype(np.float64)
    if measured is None:
        count = np.full(band.shape[1:], float(bottom - top))
    else:
        count = measured[top:bottom].sum(0, dtype=np.float64)
        band[~measured[top:bottom]] = 0.0
    sums = np.stack([count, band.sum(0), np.einsum("hwc,hwc->wc", band, band)])  # [3, W, C]
    before = np.concatenate([np.zeros_like(sums[:, :1]), sums.cumsum(1)], axis=1)
    return before[:, columns[:, 1]] - before[:, columns[:, 0]]


def _choice(contents: list[Content], least_spread: float) -> tuple[list[list[Box]], str]:
    """The boxes of each image that have something on them, and how many have not."""
    if not contents:
        return [], ""
    spread, share = (np.concatenate([getattr(content, of) for content in contents]) for of in ("spread", "invalid"))
    is_void = share > MOST_INVALID
    typical = np.percentile(spread[~is_void], TYPICAL, axis=0) if not is_void.all() else np.zeros(spread.shape[1])
    # Where no channel has anything on it anywhere, there is nothing to tell empty tiles by.
    is_empty = (spread < least_spread * typical).all(1) & ~is_void
    if not (typical > 0).any():
        is_empty[:] = False
    kept, at = [], 0
    for content in contents:
        keep = ~(is_void | is_empty)[at : at + len(content.boxes)]
        kept.append([box for box, is_kept in zip(content.boxes, keep) if is_kept])
        at += len(content.boxes)
    said = []
    if is_empty.any():
        said.append(
            f"{counted(int(is_empty.sum()), 'tile')} left out with nothing on them, as their numbers spread less than "
            f"{least_spread:g} of those of others (--tile_spread=0 keeps them)"
        )
    if is_void.any():
        said.append(f"{counted(int(is_void.sum()), 'tile')} left out of which more than half was not measured")
    return kept, "; ".join(said)


def _remarks(tile: Tile, tiles: int, images: int, small: int, left_out: str) -> list[str]:
    said = f"tiles of {tile.size} px" + f", every {tile.stride} px" * (tile.stride != tile.size)
    said += f": {tiles - small} of {counted(images, 'image')}"
    remarks = [said, *filter(None, [left_out])]
    if tile.has_gaps:
        remarks.append(f"between tiles lie gaps of {tile.stride - tile.size} px, which are not read")
    if small:
        remarks.append(f"{counted(small, 'image')} not larger than a tile: read whole")
    return remarks


class Latest:
    """Images that were decoded last, so that the tiles of one decode it once, also if threads ask for them together.

    Args:
        read: number -> pixels.
        most_bytes: how much is kept, beside the newest.
    """

    def __init__(self, read: Callable[[int], np.ndarray], most_bytes: float):
        self._read, self._most_bytes = read, most_bytes
        self._lock = threading.Lock()
        self._images: OrderedDict[int, Future] = OrderedDict()  # the newest last

    def __call__(self, i: int) -> np.ndarray:
        with self._lock:
            is_new = i not in self._images
            future = self._images.setdefault(i, Future())
            self._images.move_to_end(i)
        if is_new:
            try:
                future.set_result(self._read(i))
            except BaseException as error:
                with self._lock:
                    self._images.pop(i, None)  # the next one that asks tries again
                future.set_exception(error)
            self._forget()
        return future.result()

    def _forget(self) -> None:
        with self._lock:
            done = {i: future.result().nbytes for i, future in self._images.items() if _is_there(future)}
            total = sum(done.values())
            for i, size in list(done.items())[:-1]:
                if total > self._most_bytes:
                    del self._images[i]
                    total -= size


def _is_there(future: Future) -> bool:
    return future.done() and future.exception() is None
