"""A look at each image: what file it is, what numbers are in it, and two sums by which it is known again."""

import functools
import hashlib
import io
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from PIL import Image

from ssl_keras import machine
from ssl_keras.data import reasons
from ssl_keras.data.formats.decode import decode
from ssl_keras.data.formats.tiff_kind import is_tiff
from ssl_keras.data.readers import REGISTRY, guarded
from ssl_keras.data.readers.contract import Facts, ReadOptions
from ssl_keras.data.source import Source
from ssl_keras.data.stacks import ordinary_or_measured
from ssl_keras.progress import Bar

TRAIN, TEST = 0, 1
AT_ONCE = 64  # images between two looks at the clock
SAMPLES = 2**25  # numbers that are kept in all for percentiles
GRAY = ("1", "L", "LA", "I;16", "I", "F")


@dataclass(frozen=True)
class Kind:
    """What an image is stored as: the format's name, height, width and channels, and type of the numbers."""

    format: str
    shape: tuple[int, int, int]
    dtype: str


@dataclass(frozen=True)
class Look:
    """An image that could be read.

    Args:
        part, index: TRAIN or TEST, and its number there.
        kind: as it is stored; None: not known.
        numbers: of each channel, float64 [6, C]: minimum, minimum without zeros, maximum, how many are at the maximum,
            how many are 0, and how many are finite.
        pixels: in each channel.
        gray: whether three channels are the same.
        digest: a hash of the pixels, their shape and type.
        outline: a 64-bit difference hash: images that look alike have hashes that differ in few bits.
        small: a gray copy of 16 x 16 pixels, of which the darkest is 0 and the brightest 255: uint8 [256].
        samples: some of the numbers, float32 [K, C]; what is not finite was not measured. None: not kept.
    """

    part: int
    index: int
    kind: Kind | None
    numbers: np.ndarray
    pixels: int
    gray: bool
    digest: bytes
    outline: int
    small: np.ndarray
    samples: np.ndarray | None = None

    @property
    def constant(self) -> bool:
        """Whether each channel has one number throughout, or nothing that was measured."""
        minimum, _, maximum, _, _, finite = self.numbers
        return bool(((minimum == maximum) | (finite == 0)).all())


class Reader:
    """Images of a source as numbers, in the channels and the type that a run would read them in.

    Args:
        channels, dtype: of all, for encoded images; see `probe`.
        options: what is asked of the readers of measurements.
    """

    def __init__(self, source: Source, channels: int, dtype: str, options: ReadOptions):
        self.source, self._options = source, options
        self._decode = tf.function(
            lambda encoded: decode(encoded, channels, dtype),
            input_signature=[tf.TensorSpec([], tf.string)],
            autograph=False,
        )

    def pixels(self, i: int) -> tuple[np.ndarray, Kind | None]:
        """[H, W, C], and what it is stored as."""
        raw = self.source.patient_read(i)
        if not self.source.arrays:
            return self._decode(raw).numpy(), self._stored(i, raw)
        if self.source.shapes is None:
            return raw, Kind("array", raw.shape, str(raw.dtype))
        return raw, self._of_reader(i, raw) or Kind("several files", raw.shape, str(raw.dtype))

    def _stored(self, i: int, encoded: bytes) -> Kind:
        """Of an encoded image. Pillow does not tell the depth of a color PNG; its header does."""
        image = Image.open(io.BytesIO(encoded))
        name, deep = image.format, encoded[24] == 16 if image.format == "PNG" else False
        places = self.source.places
        if name == "PNG" and places is not None and places.spans is None:  # other formats are handed on as PNG
            with open(places.paths[places.file[i]], "rb") as file:
                name = _format(file.read(16)) or name
        channels = 1 if image.mode in GRAY else 3
        return Kind(name, (image.height, image.width, channels), "uint16" if deep else "uint8")

    def _of_reader(self, i: int, raw: np.ndarray) -> Kind | None:
        """Of an image that a reader of files read, or of a tile of one; None where several files are an image."""
        path = re.sub(r"(\[\d+\])?(\[\d+,\d+\])?$", "", self.source.describe(i))
        found = _facts(path, self._options)
        shape = found and (*raw.shape[:2], found.shape[2])
        return found and Kind(_format_of(path), shape, found.dtype)


@functools.lru_cache(4096)
def _facts(path: str, options: ReadOptions) -> Facts | None:
    """What the header of a file of measurements says; None: not known by that name."""
    try:
        return guarded.facts(REGISTRY.load(ordinary_or_measured(path)), path, options)
    except (ValueError, OSError):
        return None


def _format_of(path: str) -> str:
    """The name of a file's format; that of an ordinary image is in its first bytes."""
    name = ordinary_or_measured(path)
    if name != "picture":
        return name.upper()
    with Image.open(path) as image:
        return image.format


def _format(head: bytes) -> str | None:
    return "TIFF" if is_tiff(head) else "BMP" if head[:2] == b"BM" else "WEBP" if head[8:12] == b"WEBP" else None


class Looker:
    """Looks at images in a fixed random order, so that what the time allows is a fair part of all.

    Args:
        readers: of the training images, and of the test images where there are some.
        sampled: of so many training images numbers are kept.
        seconds: after which no other image is begun.

    Attributes:
        unreadable: (part, description, reason) of each image that cannot be read.
    """

    def __init__(self, readers: list[Reader], sampled: int, seconds: float):
        self.readers, self._seconds = readers, seconds
        self.unreadable: list[tuple[int, str, str]] = []
        self._sampled = sampled

    def look(self, most: int | None) -> Iterator[Look]:
        """Looks at `most` images (None: all) or at as many as the time allows."""
        rows = [(part, i) for part, reader in enumerate(self.readers) for i in range(len(reader.source))]
        order = np.random.Generator(np.random.Philox(key=[0, 2])).permutation(len(rows))[:most]
        sampled = {int(n) for n in [n for n in order if rows[n][0] == TRAIN][: self._sampled]}
        kept = max(16, SAMPLES // max(1, len(sampled)))
        until = time.monotonic() + self._seconds
        with ThreadPoolExecutor(machine.cores()) as pool, Bar("looking at images", len(order)) as bar:
            for first in range(0, len(order), AT_ONCE):
                chunk = [int(n) for n in order[first : first + AT_ONCE]]
                wanted = [(*rows[n], kept if n in sampled else 0) for n in chunk]
                yield from filter(None, pool.map(lambda row: self._one(*row), wanted))
                bar.show(first + len(chunk))
                if time.monotonic() > until:
                    break

    def _one(self, part: int, i: int, kept: int) -> Look | None:
        reader = self.readers[part]
        try:
            pixels, kind = reader.pixels(i)
            return look_at(pixels, kind, part, i, kept)
        except Exception as error:  # whatever is wrong with an image, it is counted and named
            ((name, reason),) = reasons.list_bad(reader.source, [i]) if not reader.source.arrays else [(None, None)]
            name, reason = name or reader.source.describe(i), reason or str(error) or type(error).__name__
            self.unreadable.append((part, name, reason))
            return None


def look_at(pixels: np.ndarray, kind: Kind | None = None, part: int = TRAIN, index: int = 0, kept: int = 0) -> Look:
    """Looks at an image [H, W, C]; `kept`: so many of its numbers, over all channels, are kept."""
    flat = pixels.reshape(-1, pixels.shape[2])
    if pixels.dtype.kind == "f":
        finite = np.isfinite(flat)
        low, high = np.where(finite, flat, np.inf).min(0), np.where(finite, flat, -np.inf).max(0)
        count = finite.sum(0)
    else:
        low, high, count = flat.min(0), flat.max(0), np.full(flat.shape[1], len(flat))
    zero = flat == 0
    above = low
    if zero.any():
        above = np.where(zero | ~np.isfinite(flat), np.inf, flat).min(0)
    numbers = np.array([low, above, high, (flat == high).sum(0), zero.sum(0), count], np.float64)
    samples = None
    if kept:
        step = max(1, -(-flat.size // kept))
        samples = flat[step // 2 :: step].astype(np.float32)
    gray = flat.shape[1] == 3 and bool((flat[:, 0] == flat[:, 1]).all() and (flat[:, 0] == flat[:, 2]).all())
    digest = hashlib.blake2b(np.ascontiguousarray(pixels), digest_size=16)
    digest.update(repr((pixels.shape, str(pixels.dtype))).encode())
    return Look(part, index, kind, numbers, len(flat), gray, digest.digest(), *outline(pixels), samples)


def outline(pixels: np.ndarray) -> tuple[int, np.ndarray]:
    """The difference hash of an image [H, W, C], 64 bits: where its gray image of 8 x 9 pixels becomes brighter from
    left to right; and `Look.small`."""
    gray = pixels.astype(np.float32).mean(2)
    if not np.isfinite(gray).all():
        finite = gray[np.isfinite(gray)]
        gray = np.where(np.isfinite(gray), gray, finite.min() if finite.size else 0.0).astype(np.float32)
    picture = Image.fromarray(gray)
    nine = np.asarray(picture.resize((9, 8), Image.Resampling.BOX))
    small = np.asarray(picture.resize((16, 16), Image.Resampling.BOX)).ravel()
    low, high = small.min(), small.max()
    bits = int.from_bytes(np.packbits(nine[:, 1:] > nine[:, :-1]).tobytes(), "big")
    return bits, np.rint(255 * (small - low) / max(high - low, 1e-30)).astype(np.uint8)
