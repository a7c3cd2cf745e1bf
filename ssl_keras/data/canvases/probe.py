"""What canvases a source deserves: a look at its images' headers."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from ssl_keras.data.formats.decode import decode
from ssl_keras.data.formats.look import Header, are_gray, header
from ssl_keras.data.reasons import examples, list_bad
from ssl_keras.data.source import Source
from ssl_keras.errors import UserError

LIMIT = 2000
DECODED = 100  # of images in color, so many are looked at for being gray, as long as none is not
NAMED = 100  # of images that cannot be read, so many are looked at again for different reasons


@dataclass(frozen=True)
class Probe:
    """Channels and dtype for a run's canvases, a remark where the images differ in them, and the sizes found.

    Args:
        channels: the most that an image has; 1 where those that are stored in color are gray.
        dtype: "uint8", "uint16" where an image is deeper, or the array's own.
        note: one sentence for the log, or None.
        sizes: int [M, 2], height and width as stored, px.
        stored: channels of the images as they are stored, the most.
    """

    channels: int
    dtype: str
    note: str | None
    sizes: np.ndarray
    stored: int


def probe(source: Source, channels: int | None = None, dtype: str | None = None) -> Probe:
    """The widest depth and the most channels among up to 2,000 evenly spaced images; arguments override.

    Gray images are often stored in color, such as X-rays as RGB JPEG. Where all that are looked at are gray, up to 100
    of those in color, one channel holds all that there is; an image in color among the others becomes gray by its luma.

    Raises:
        UserError: none of them can be read, the message says of some why; or an array's axes are
            in doubt, or `channels` cannot be had.
    """
    sample = np.unique(np.linspace(0, len(source) - 1, min(LIMIT, len(source))).astype(np.int64))
    _check_channels(source, channels)
    if source.packed:
        given, raw = source.arrays[0], source.packed.settings["dtype"]
        return Probe(channels or given, dtype or raw, None, source.packed.sizes[sample], given)
    if source.arrays:
        sizes = np.array([source.patient_read(0).shape[:2]]) if source.shapes is None else source.shapes[sample]
        sizes = sizes[sizes.min(axis=1) > 0]
        if not len(sizes):
            reasons = examples(list_bad(source, sample[:NAMED]))
            raise UserError(f"{source.name}: none of {len(sample)} images looked at can be read, such as {reasons}")
        return Probe(channels or source.arrays[0], dtype or source.arrays[1], None, sizes, source.arrays[0])
    headers, read, unread = [], [], []
    for i in sample:
        try:
            headers.append(header(io.BytesIO(source.patient_read(int(i)))))
            read.append(int(i))
        except Exception:
            unread.append(i)  # they are counted and named when they are decoded
    if not headers:
        reasons = examples(list_bad(source, unread[:NAMED]))
        raise UserError(f"{source.name}: none of {len(sample)} images looked at can be read, such as {reasons}")
    sizes, found_channels, bits, modes = (np.array(column) for column in zip(*headers))
    stored = int(found_channels.max())
    in_color = [(i, known) for i, known in zip(read, headers) if known.channels == 3]
    looked_at = in_color[:: -(-len(in_color) // DECODED)] if channels is None and in_color else []
    gray = None
    if are_gray(_pixels(source, looked_at)):
        kinds = " and ".join(sorted(set(modes[found_channels == 3].tolist())))
        of = f", by a look at {len(looked_at)} of {len(in_color)}" if len(looked_at) < len(in_color) else ""
        gray = f"gray images saved as {kinds}{of}: 1 channel (--channels=3 keeps three)"
        channels, found_channels = 1, np.ones_like(found_channels)
    note = "; ".join(filter(None, [gray, _remark(found_channels, bits)])) or None
    return Probe(channels or stored, dtype or ("uint16" if bits.max() > 8 else "uint8"), note, sizes, stored)


def _pixels(source: Source, images: list[tuple[int, Header]]) -> Iterator[np.ndarray]:
    """Some images, by number and header, in color; those that cannot be decoded are missing."""
    for i, found in images:
        try:
            with tf.device("CPU"):
                yield decode(source.patient_read(i), 3, "uint16" if found.bits == 16 else "uint8").numpy()
        except Exception:
            continue


def possible_channels(source: Source) -> set[int]:
    """The numbers of channels that the images of a source can be brought to."""
    given = source.arrays[0] if source.arrays else None
    has_codes = source.packed is not None and source.packed.values is not None
    return {given} if given not in (None, 1, 3) or has_codes else {1, 3}


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
