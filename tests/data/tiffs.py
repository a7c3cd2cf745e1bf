"""A writer of TIFF files of every kind, by the book (TIFF 6.0) and without the code under test."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

NONE, LZW, ZIP, PACKBITS, ZSTD = 1, 5, 8, 32773, 50000
BY_PILLOW = {LZW: "tiff_lzw", PACKBITS: "packbits", ZSTD: "zstd"}


def tiff(
    samples,
    bits,
    photometric,
    order="<",
    packing=NONE,
    predictor=1,
    tile=None,
    rows=None,
    planar=False,
    fill_order=1,
    big=False,
    **tags,
):
    """Samples, integers [H, W, C], as a TIFF.

    Args:
        bits: of each sample.
        order: "<" (little endian) or ">".
        tile: (height, width) of tiles, or None for strips of `rows` rows (default: one strip).
        planar: each sample's plane by itself.
        tags: further ones, as t338=(1,) (SHORTs).
    """
    height, width, count = samples.shape
    planes = [samples[..., k : k + 1] for k in range(count)] if planar else [samples]
    blocks = []
    for plane in planes:
        block_height, block_width = tile or (rows or height, width)
        for y in range(0, height, block_height):
            for x in range(0, width, block_width):
                part = plane[y : y + block_height, x : x + block_width]
                if tile:
                    part = np.pad(
                        part, [(0, block_height - part.shape[0]), (0, block_width - part.shape[1]), (0, 0)], "edge"
                    )
                blocks.append(packed(part, bits, order, packing, predictor))
    if fill_order == 2:
        blocks = [bytes(int(f"{byte:08b}"[::-1], 2) for byte in block) for block in blocks]
    fields = {256: (width,), 257: (height,), 258: (bits,) * count, 259: (packing,), 262: (photometric,), 277: (count,)}
    fields |= {284: (2 if planar else 1,), 266: (fill_order,), 317: (predictor,)}
    fields |= {int(name[1:]): value for name, value in tags.items()}
    start = 16 if big else 8
    offsets = np.cumsum([start] + [len(block) for block in blocks])
    longs = {325 if tile else 279: tuple(map(len, blocks)), 324 if tile else 273: tuple(map(int, offsets[:-1]))}
    fields |= {322: (tile[1],), 323: (tile[0],)} if tile else {278: (rows or height,)}
    return file_of(b"".join(blocks), fields, longs, order, big)


def file_of(body, shorts, longs, order="<", big=False):
    """Header, body, one directory."""
    start, entry = (16, 20) if big else (8, 12)
    body += b"\0" * (len(body) % 2)
    at = start + len(body)
    fields = sorted([(tag, "H", values) for tag, values in shorts.items()] + [(t, "I", v) for t, v in longs.items()])
    beyond = at + (8 if big else 2) + entry * len(fields) + (8 if big else 4)
    directory, tail = struct.pack(order + ("Q" if big else "H"), len(fields)), b""
    for tag, kind, values in fields:
        value = struct.pack(f"{order}{len(values)}{kind}", *values)
        room = 8 if big else 4
        directory += struct.pack(order + ("HHQ" if big else "HHI"), tag, 3 if kind == "H" else 4, len(values))
        if len(value) > room:
            directory += struct.pack(order + ("Q" if big else "I"), beyond + len(tail))
            tail += value + b"\0" * (len(value) % 2)
        else:
            directory += value.ljust(room, b"\0")
    directory += b"\0" * (8 if big else 4)
    name = b"II" if order == "<" else b"MM"
    head = struct.pack(order + "HHHQ", 43, 8, 0, at) if big else struct.pack(order + "HI", 42, at)
    return name + head + body + directory + tail


def packed(part, bits, order, packing, predictor):
    if predictor == 2:
        part = np.diff(part.astype(np.int64), axis=1, prepend=0) % 2**bits
    row = part.reshape(len(part), -1)
    if bits in (8, 16, 32):
        data = row.astype(f"{order}u{bits // 8}").tobytes()
    else:
        digits = (row[..., None] >> np.arange(bits)[::-1]) & 1
        data = np.packbits(digits.reshape(len(row), -1).astype(np.uint8), axis=1).tobytes()
    if packing == ZIP:
        return zlib.compress(data)
    if packing in BY_PILLOW:  # of bytes it writes what we give it
        buffer = io.BytesIO()
        pixels = np.frombuffer(data, np.uint8).reshape(len(row), -1)
        Image.fromarray(pixels).save(buffer, "TIFF", compression=BY_PILLOW[packing], strip_size=2**30)
        tags = Image.open(buffer).tag_v2
        (at,), (size,) = tags[273], tags[279]
        return buffer.getvalue()[at : at + size]
    return data
