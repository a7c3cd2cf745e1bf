"""What canvases a source deserves: a look at its images' headers."""

import io
import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ssl_keras.data.reasons import examples, list_bad
from ssl_keras.data.source import Source
from ssl_keras.errors import UserError

GRAY_PNG = (0, 4)  # color types: gray, gray with alpha
LIMIT = 2000
NAMED = 100  # of images that cannot be read, so many are looked at again for different reasons


@dataclass(frozen=True)
class Probe:
    """Channels and dtype for a run's canvases, a remark where the images differ in them, and the sizes found.

    Args:
        channels: the most that an image has.
        dtype: "uint8", "uint16" where an image is deeper, or the array's own.
        note: one sentence for the log, or None.
        sizes: int [M, 2], height and width as stored, px.
    """

    channels: int
    dtype: str
    note: str | None
    sizes: np.ndarray


def probe(source: Source, channels: int | None = None, dtype: str | None = None) -> Probe:
    """The widest depth and the most channels among up to 2,000 evenly spaced images; arguments override.

    Raises:
        UserError: none of them can be read, the message says of some why; or an array's axes are
            in doubt, or `channels` cannot be had.
    """
    sample = np.unique(np.linspace(0, len(source) - 1, min(LIMIT, len(source))).astype(np.int64))
    _check_channels(source, channels)
    if source.arrays:
        sizes = np.array([source.patient_read(0).shape[:2]]) if source.shapes is None else source.shapes[sample]
        sizes = sizes[sizes.min(axis=1) > 0]
        if not len(sizes):
            reasons = examples(list_bad(source, sample[:NAMED]))
            raise UserError(f"{source.name}: none of {len(sample)} images looked at can be read, such as {reasons}")
        return Probe(channels or source.arrays[0], dtype or source.arrays[1], None, sizes)
    headers, unread = [], []
    for i in sample:
        try:
            headers.append(_header(source.patient_read(int(i))))
        except Exception:
            unread.append(i)  # they are counted and named when they are decoded
    if not headers:
        reasons = examples(list_bad(source, unread[:NAMED]))
        raise UserError(f"{source.name}: none of {len(sample)} images looked at can be read, such as {reasons}")
    sizes, found_channels, depths = (np.array(column) for column in zip(*headers))
    chosen = Probe(
        channels or int(found_channels.max()),
        dtype or ("uint16" if depths.max() > 8 else "uint8"),
        _remark(found_channels, depths),
        sizes,
    )
    return chosen


def possible_channels(source: Source) -> set[int]:
    """The numbers of channels that the images of a source can be brought to."""
    given = source.arrays[0] if source.arrays else None
    return {given} if given not in (None, 1, 3) else {1, 3}


def _check_channels(source: Source, channels: int | None) -> None:
    """Refuses a number of channels that the images cannot be brought to, and axes in doubt that it does not settle."""
    given = source.arrays[0] if source.arrays else None
    if source.doubt and channels != given:
        raise UserError(source.doubt)
    possible = possible_channels(source)
    if channels is not None and channels not in possible:
        what = f"images of {given} channel{'s' * (given > 1)}" if given else "encoded images, of 1 or 3 channels"
        advice = f"--channels={' or '.join(map(str, sorted(possible)))}, or leave it out"
        raise UserError(f"{source.name} has {what}, which cannot become {channels}: set {advice}")


def _header(encoded: bytes) -> tuple[tuple[int, int], int, int]:
    """((height, width), channels 1 or 3, bits per channel 8 or 16)."""
    if encoded.startswith(b"\x89PNG"):  # Pillow does not tell the depth of a color PNG
        width, height, depth, colour = struct.unpack(">IIBB", encoded[16:26])
        return (height, width), 1 if colour in GRAY_PNG else 3, 16 if depth == 16 else 8
    image = Image.open(io.BytesIO(encoded))
    return (image.height, image.width), 1 if image.mode in ("1", "L", "LA") else 3, 8


def _remark(channels: np.ndarray, depths: np.ndarray) -> str | None:
    total = len(depths)
    parts = []
    if len(np.unique(depths)) > 1:
        parts.append(f"{(depths > 8).sum()} of {total} images looked at have 16 bits, the others 8")
    if len(np.unique(channels)) > 1:
        parts.append(f"{(channels == 1).sum()} of {total} are gray, the others in color")
    if not parts:
        return None
    return f"mixed images ({'; '.join(parts)}): all become the deepest and widest kind"
