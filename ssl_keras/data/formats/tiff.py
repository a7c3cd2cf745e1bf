"""Pixels of TIFF files: one page, upright, of whole numbers of up to 16 bits, or a sentence on why not.

TIFF holds pixels of any kind (TIFF 6.0, Adobe 1992; BigTIFF; Adobe's Technical Notes 1 to 3). Two ways lead to ours:

* What is stored as it is or packed without loss is unpacked to bytes, and the bytes become pixels here. libtiff
  unpacks, by way of Pillow, told that they are an 8-bit gray image: Pillow itself drops half of a 16-bit color's bits.
* Fax pages and JPEG tiles are decoded by Pillow, to 8 bits.

Either way libtiff runs in a process of its own, where a crash costs one file.
"""

import io
import struct

import numpy as np
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from ssl_keras.data.apart import pool
from ssl_keras.data.formats import tiff_kind as kinds
from ssl_keras.data.formats.size import check_pixels
from ssl_keras.data.formats.tiff_kind import (
    BITS,
    BLACK_IS_ZERO,
    CMYK,
    COLOUR_MAP,
    COLOURS,
    COMPRESSION,
    FAX,
    FILL_ORDER,
    HEIGHT,
    JPEG,
    ORIENTATION,
    PALETTE,
    PHOTOMETRIC,
    PLANAR,
    PREMULTIPLIED,
    STRIP_BYTES,
    STRIP_HEIGHT,
    STRIPS,
    TILE_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    TILES,
    UNPACKED,
    WHITE_IS_ZERO,
    WIDTH,
)
from ssl_keras.errors import UserError

LARGEST_TILE = 2**26
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def tiff_pixels(encoded: bytes) -> np.ndarray:
    """The only page, upright: uint8 or uint16 [H, W, C], C of 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGB, alpha).

    Values span the dtype's whole range whatever their bits: 4 bits become 8, 12 bits become 16. White is the maximum.

    Raises:
        UserError: it is damaged, too large, or of a kind that would not be read rightly; the message says which.
    """
    if encoded[:4] == b"MM\0+":
        raise UserError("BigTIFF of the big-endian kind, which is not read: save it as little-endian or classic TIFF")
    with kinds.damage_told():
        tags = kinds.read_tags(encoded)
        refusal = kinds.refusal(tags) or kinds.several_pages(encoded, tags)
        height, width = tags[HEIGHT], tags[WIDTH]
    if refusal:
        raise UserError(refusal)
    check_pixels(height * width, kinds.samples(tags) * (1 + (max(tags.get(BITS, (1,))) > 8)))
    with kinds.damage_told():
        if tags.get(COMPRESSION, 1) in (JPEG, *FAX):
            return pool.call(_rendered, encoded, size=height * width * 3)
        return _decoded(encoded, tags)


def _rendered(encoded: bytes) -> np.ndarray:
    """What Pillow decodes to 8 bits by itself."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded)))
    return np.atleast_3d(np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB")))


def _decoded(encoded: bytes, tags: ImageFileDirectory_v2) -> np.ndarray:
    """Pixels of stored numbers."""
    samples, photometric = _stored(encoded, tags), kinds.photometric(tags)
    bits = max(tags.get(BITS, (1,)))
    colour, alpha = np.split(samples, [COLOURS[photometric]], -1)
    if photometric == PALETTE:
        table = np.array(tags[COLOUR_MAP], np.uint16).reshape(3, 2**bits).T
        colour = (table >> 8 if table.max() > 255 else table).astype(np.uint8)[colour[..., 0]]  # some write 8 bits
        alpha = _spread(alpha, bits) if bits <= 8 else (alpha >> 8).astype(np.uint8)
    else:
        colour, alpha = _spread(colour, bits), _spread(alpha, bits)
    maximum = np.iinfo(colour.dtype).max
    kind = kinds.extra_samples(tags)
    if kind == (PREMULTIPLIED,):
        shares = np.round(colour * (float(maximum) / np.maximum(alpha, 1)))
        colour = np.minimum(shares, maximum).astype(colour.dtype)
    if photometric == WHITE_IS_ZERO:
        colour = maximum - colour
    if photometric == CMYK:
        paper = 1.0 - colour / float(maximum)
        colour = np.round(paper[..., :3] * paper[..., 3:] * maximum).astype(colour.dtype)
    if kind and kind != (0,):
        colour = np.concatenate([colour, alpha], -1)
    return _upright(colour, tags.get(ORIENTATION, 1))


def _spread(samples: np.ndarray, bits: int) -> np.ndarray:
    """Numbers of so many bits over the whole range of their dtype."""
    maximum = np.iinfo(samples.dtype).max
    most = 2**bits - 1
    if maximum == most:
        return samples
    return ((samples * np.uint32(2 * maximum) + np.uint32(most)) // np.uint32(2 * most)).astype(samples.dtype)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _stored(encoded: bytes, tags: ImageFileDirectory_v2) -> np.ndarray:
    """The numbers as stored, uint8 (up to 8 bits) or uint16 [H, W, samples]."""
    count, bits = kinds.samples(tags), max(tags.get(BITS, (1,)))
    height, width = tags[HEIGHT], tags[WIDTH]
    is_tiled = TILES in tags
    if is_tiled:
        block_height, block_width = tags[TILE_HEIGHT], tags[TILE_WIDTH]
    else:
        block_height, block_width = min(tags.get(STRIP_HEIGHT, height), height), width
    if min(block_height, block_width) < 1 or block_height * block_width > max(height * width, LARGEST_TILE):
        raise UserError(f"it has strips or tiles of {block_width} x {block_height}")
    across, down = -(-width // block_width), -(-height // block_height)
    planes = count if tags.get(PLANAR, 1) == 2 else 1
    row_bytes = -(-block_width * (count // planes) * bits // 8)
    # The rows that the blocks hold: of the last strip, only those of the image.
    rows = [block_height] * down if is_tiled else [block_height] * (down - 1) + [height - block_height * (down - 1)]

    number = planes * down * across
    offsets = tags[TILES if is_tiled else STRIPS][:number]
    sizes = tags.get(TILE_BYTES if is_tiled else STRIP_BYTES, ())[:number]
    if tags.get(COMPRESSION, 1) == UNPACKED:  # known without the file's word for it, which some writers get wrong
        sizes = [row_bytes * rows[k // across % down] for k in range(number)]
    if not len(offsets) == len(sizes) == number:
        raise UserError(f"it names {len(offsets)} of its {number} strips or tiles")
    blocks = [_block(encoded, at, size, tags) for at, size in zip(offsets, sizes)]

    found = []
    for plane in range(planes):
        own = blocks[plane * down * across :][: down * across]
        if tags.get(COMPRESSION, 1) == UNPACKED:
            parts = [np.frombuffer(block, np.uint8).reshape(-1, row_bytes) for block in own]
        else:
            parts = _unpacked(own, tags[COMPRESSION], rows, across, row_bytes, is_tiled)
        grid = [np.stack(parts[y * across :][:across], 1) for y in range(down)]
        stored = np.concatenate(grid)  # [rows, blocks across, bytes]
        numbers = _numbers(stored, bits, tags.prefix == b"II", block_width * (count // planes))
        numbers = numbers.reshape(len(stored), across, block_width, count // planes)
        if kinds.predictor(tags) == 2:  # each number is stored as its difference from the one to the left, in its block
            numbers = np.cumsum(numbers, axis=2, dtype=numbers.dtype)
        found.append(numbers.reshape(len(stored), across * block_width, -1)[:height, :width])
    return np.concatenate(found, -1)


def _block(encoded: bytes, at: int, size: int, tags: ImageFileDirectory_v2) -> bytes:
    if at == 0 or size == 0:
        raise UserError("a strip or tile of it is left out")
    if at + size > len(encoded):
        raise UserError("it is cut off")
    block = encoded[at : at + size]
    return block.translate(REVERSED) if tags.get(FILL_ORDER, 1) == 2 else block


def _unpacked(
    blocks: list[bytes], packing: int, rows: list[int], across: int, row_bytes: int, is_tiled: bool
) -> list[np.ndarray]:
    """Packed blocks as uint8 [rows, row_bytes] each: libtiff takes them for an image of one byte a pixel."""
    offsets = np.cumsum([8] + [len(block) for block in blocks])
    fields = {WIDTH: row_bytes * across, HEIGHT: sum(rows), BITS: 8, COMPRESSION: packing, PHOTOMETRIC: BLACK_IS_ZERO}
    if is_tiled:
        fields |= {TILE_WIDTH: row_bytes, TILE_HEIGHT: rows[0], TILES: offsets[:-1], TILE_BYTES: np.diff(offsets)}
    else:
        fields |= {STRIP_HEIGHT: rows[0], STRIPS: offsets[:-1], STRIP_BYTES: np.diff(offsets)}
    file = _file(b"".join(blocks), fields)
    image = pool.call(_by_pillow, file, size=row_bytes * across * sum(rows))
    edges = np.cumsum(rows)[:-1]
    return [part for row in np.split(image, edges) for part in np.split(row, across, 1)]


def _by_pillow(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)))


def _file(body: bytes, fields: dict[int, int | np.ndarray]) -> bytes:
    """A TIFF of a header, what follows it and one directory: 32-bit numbers by tag."""
    body += b"\0" * (len(body) % 2)
    directory, beyond = struct.pack("<H", len(fields)), b""
    start = 8 + len(body) + 2 + 12 * len(fields) + 4
    for tag, values in sorted(fields.items()):
        values = np.atleast_1d(values).astype("<u4").tobytes()
        place = values if len(values) == 4 else struct.pack("<I", start + len(beyond))
        beyond += values if len(values) > 4 else b""
        directory += struct.pack("<HHI", tag, 4, len(values) // 4) + place
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + directory + bytes(4) + beyond


def _numbers(stored: np.ndarray, bits: int, is_little: bool, count: int) -> np.ndarray:
    """uint8 [..., bytes] -> [..., count] numbers of so many bits, packed high bit first unless whole bytes."""
    if bits == 8:
        return stored
    if bits == 16:
        return np.ascontiguousarray(stored).view("<u2" if is_little else ">u2").astype(np.uint16)
    each = np.unpackbits(stored, axis=-1)[..., : count * bits].reshape(*stored.shape[:-1], count, bits)
    if bits == 1:
        return each[..., 0]
    whole = 8 if bits < 8 else 16
    each = np.packbits(np.pad(each, [(0, 0)] * (each.ndim - 1) + [(whole - bits, 0)]), axis=-1)
    return each[..., 0] if whole == 8 else each.view(">u2")[..., 0].astype(np.uint16)
