"""Images that are there more than once: the same bytes of a file, or the same pixels.

Constant images do not count: nothing can be seen in them, and many a volume begins and ends with black slices.
"""

import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from ssl_keras import machine
from ssl_keras.data.source import Source
from ssl_keras.progress import Bar

AT_ONCE = 1024
COMPARED = 200  # images with a known checksum in common that are compared byte by byte


def digests(sources: Sequence[Source]) -> list[bytes | None]:
    """A hash of each image of some sources, one after another; None: it is constant, or cannot be read.

    Every image is read once.
    """
    rows = [(source, i) for source in sources for i in range(len(source))]
    found: list[bytes | None] = []
    with ThreadPoolExecutor(machine.cores()) as pool, Bar("looking for copies", len(rows)) as bar:
        for first in range(0, len(rows), AT_ONCE):
            found += pool.map(lambda row: _digest(*row), rows[first : first + AT_ONCE])
            bar.show(len(found))
    times = Counter(found)
    constant = {}
    for (source, i), digest in zip(rows, found):
        if digest is not None and times[digest] > 1 and digest not in constant:
            constant[digest] = is_constant(source.patient_read(i))
    return [None if constant.get(digest) else digest for digest in found]


def joined(groups: np.ndarray, digests: Sequence[bytes | None]) -> tuple[np.ndarray, int]:
    """Groups int [N], those that hold the same image made one and numbered anew; and how many images have a copy."""
    from scipy.sparse import coo_array  # slow to import, and training does without
    from scipy.sparse.csgraph import connected_components

    times = Counter(digest for digest in digests if digest is not None)
    number = {digest: n for n, (digest, count) in enumerate(times.items()) if count > 1}
    rows = np.array([i for i, digest in enumerate(digests) if digest in number], np.int64)
    count = int(groups.max()) + 1
    ends = groups[rows], count + np.array([number[digests[i]] for i in rows], np.int64)
    graph = coo_array((np.ones(len(rows), bool), ends), shape=(count + len(times),) * 2)
    together = connected_components(graph, directed=False)[1][groups]
    return np.unique(together, return_inverse=True)[1], len(rows)


def shared(source: Source, other: Source) -> list[int]:
    """Those images of `other` that are in `source` too, by the checksums of what has been read of both so far.

    Checksums of 32 bits agree by chance in large data: the first few are compared byte by byte.
    """
    known = {int(checksum): i for i, checksum in enumerate(source.checksums) if checksum}
    pairs = [(known[int(c)], j) for j, c in enumerate(other.checksums) if c and int(c) in known]
    return [j for n, (i, j) in enumerate(pairs) if n >= COMPARED or _same(source, i, other, j)]


def is_constant(image: bytes | np.ndarray) -> bool:
    """Whether an image, encoded or as numbers, has one number throughout in each channel."""
    if isinstance(image, np.ndarray):
        flat = image.reshape(-1, image.shape[-1])
        return bool(((flat == flat[0]) | (flat != flat)).all())  # NaN: not measured
    try:
        ends = Image.open(io.BytesIO(image)).getextrema()
    except Exception:  # whatever is wrong with it, it is not known to be constant
        return False
    return all(low == high for low, high in (ends if isinstance(ends[0], tuple) else (ends,)))


def _digest(source: Source, i: int) -> bytes | None:
    try:
        image = source.patient_read(i)
    except Exception:  # it is named where images are decoded
        return None
    if isinstance(image, bytes):
        return hashlib.blake2b(image, digest_size=16).digest()
    if is_constant(image):
        return None
    digest = hashlib.blake2b(np.ascontiguousarray(image), digest_size=16)
    digest.update(repr((image.shape, str(image.dtype))).encode())
    return digest.digest()


def _same(source: Source, i: int, other: Source, j: int) -> bool:
    try:
        first, second = source.read(i), other.read(j)
    except Exception:
        return False
    return np.array_equal(first, second, equal_nan=not isinstance(first, bytes)) and not is_constant(first)
