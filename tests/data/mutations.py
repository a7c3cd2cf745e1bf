"""Damaged files: each a function of its format, a seed and a number, so that a finding is made again by its number."""

import gzip
import io
import re
import struct
import zipfile
import zlib

import numpy as np

from tests.data.measured_seeds import MEASURED, is_there, plain_tiff_seeds
from tests.data.seeds import SEEDS as IMAGES
from tests.data.seeds import png_chunk

SEEDS = {
    **{form.lower(): seeds for form, seeds in IMAGES.items()},
    "tiff": plain_tiff_seeds,
    **{form: seeds for form, seeds in MEASURED.items() if is_there(form)},
}
GROUPS = {  # whose formats are taken in turn
    "images": [form.lower() for form in IMAGES],
    "measured": [form for form in MEASURED if is_there(form)],
}
HEADS = {"dicom": 1024, "tiff": 400, "tiff_measured": 600, "nifti": 352, "nifti_gz": 352, "hdf5": 2048, "exr": 400}
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 60_000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
SIDES = (13, 21, 12, 20)  # of the seeds' pictures, and the last row and column
TEXTS = (b"0", b"1", b"-1", b"7", b"99", b"60000", b"999999999")


def mutated(form: str, seed: int, number: int) -> bytes:
    """The damaged file of a number."""
    form = member(form, number)
    rng = np.random.default_rng([seed, number, *form.encode()])
    seeds = SEEDS[form]()
    data = seeds[rng.integers(len(seeds))]
    if form in WITHIN and rng.integers(2):
        return WITHIN[form](data, rng)
    for _ in range(rng.integers(1, 4)):
        data = damaged(data, seeds[rng.integers(len(seeds))], rng, HEADS.get(form, 64))
    return data


def member(form: str, number: int) -> str:
    """The format of a number; of a single format itself."""
    return GROUPS[form][number % len(GROUPS[form])] if form in GROUPS else form


def damaged(data: bytes, other: bytes, rng: np.random.Generator, head: int = 64) -> bytes:
    """A change, half of all within the first `head` bytes: of a byte, a bit, a number, a size; or a part that is left
    out, doubled, cut off, or taken from another file."""
    if len(data) < 8:
        return data
    at = int(rng.integers(min(len(data), head) if rng.integers(2) else len(data)))
    size = int(rng.integers(1, 1 + len(data) // 2))
    kind = rng.integers(9)
    if kind == 0:
        return data[:at] + bytes([rng.integers(256)]) + data[at + 1 :]
    if kind == 1:
        return data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1 :]
    if kind == 2:
        width = int(rng.choice([1, 2, 3, 4]))
        value = int(rng.choice(NUMBERS)) % 256**width
        return data[:at] + value.to_bytes(width, "big" if rng.integers(2) else "little") + data[at + width :]
    if kind in (3, 4):
        return resized(data, rng)
    if kind == 5:
        return data[: len(data) - size]
    if kind == 6:
        return data[:at] + data[at + size :]
    if kind == 7:
        return data[: at + size] + data[at:]
    start = int(rng.integers(len(other)))
    return data[:at] + other[start : start + size] + data[at + (size if rng.integers(2) else 0) :]


def resized(data: bytes, rng: np.random.Generator) -> bytes:
    """Another number where one of the picture's sides stands, as a number of two to eight bytes or as text."""
    side = int(rng.choice(SIDES))
    forms = [struct.pack(form, side) for form in ("<H", ">H", "<I", ">I", "<Q", ">Q")] + [b"%d" % side]
    known = [form for form in forms if form in data]
    if not known:
        return data
    old = known[rng.integers(len(known))]
    places = [found.start() for found in re.finditer(re.escape(old), data)]
    at = places[rng.integers(len(places))]
    value = int(rng.choice(NUMBERS)) % 256 ** len(old)
    if old.isdigit():
        new = TEXTS[rng.integers(len(TEXTS))]
    else:
        new = value.to_bytes(len(old), "little" if old[0] else "big")
    return data[:at] + new + data[at + len(old) :]


def _png(data: bytes, rng: np.random.Generator) -> bytes:
    """Damaged within a chunk, with right checksums: decoders look no further else."""
    chunks = _chunks(data)
    chosen = int(rng.integers(len(chunks)))
    chunks[chosen] = chunks[chosen][0], damaged(chunks[chosen][1], chunks[chosen][1], rng)
    packed = [(name, zlib.compress(body) if name == b"IDAT" else body) for name, body in chunks]
    return data[:8] + b"".join(png_chunk(*chunk) for chunk in packed)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Name and body of each chunk of a whole PNG, its pixels in one and unpacked."""
    chunks, packed, at = [], b"", 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += 12 + size
        if name == b"IDAT":
            packed += body
            chunks = [chunk for chunk in chunks if chunk[0] != b"IDAT"]
            body = zlib.decompressobj().decompress(packed)
        chunks.append((name, body))
    return chunks


def _gzip(data: bytes, rng: np.random.Generator) -> bytes:
    inner = gzip.decompress(data)
    return gzip.compress(damaged(inner, inner, rng, HEADS["nifti"]), mtime=0)


def _zip(data: bytes, rng: np.random.Generator) -> bytes:
    """Damaged within an array, in an archive with right checksums."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w") as new:
        infos = old.infolist()
        chosen = int(rng.integers(len(infos)))
        for k, info in enumerate(infos):
            body = old.read(info)
            new.writestr(info, damaged(body, body, rng, 128) if k == chosen else body)
    return file.getvalue()


WITHIN = {"png": _png, "nifti_gz": _gzip, "npz": _zip}
