"""The kinds of BMP that TensorFlow takes for others: palettes, run lengths, bit masks, alpha, OS/2 headers.

Layout as in Microsoft's "Bitmap Storage" and "BITMAPV5HEADER", and IBM's OS/2 headers of 12 and 16 bytes. Pillow reads
most of these, but takes 4 or 8 bits for 1 where the palette is black and white, loses blank lines of run-length files,
and knows only some masks.
"""

import struct

import numpy as np

from ssl_keras.data.formats.size import TOO_LARGE, may_hold
from ssl_keras.errors import UserError

PLAIN, RLE8, RLE4, MASKS, ALPHA_MASKS = 0, 1, 2, 3, 6
HEADER_SIZES = (12, 16, 40, 52, 56, 64, 108, 124)
USUAL_MASKS = {16: (0x7C00, 0x3E0, 0x1F, 0), 24: (0xFF0000, 0xFF00, 0xFF, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}
DEPTHS = {
    PLAIN: (1, 2, 4, 8, 16, 24, 32),
    RLE8: (8,),
    RLE4: (4,),
    MASKS: (16, 24, 32),
    ALPHA_MASKS: (16, 24, 32),
}


def is_plain(encoded: bytes) -> bool:
    """Whether TensorFlow alone decodes this BMP rightly, as `headers.sound_bmp` checks in the graph."""
    if len(encoded) < 34:
        return False
    size, depth, compression = struct.unpack("<14xI10xHI", encoded[:34])
    return size >= 40 and depth in (24, 32) and compression == PLAIN


def read_bmp(encoded: bytes) -> np.ndarray:
    """uint8 [H, W, 3], or [H, W, 4] where there is an alpha mask and not every pixel leaves its alpha at 0.

    Pixels that a run-length file leaves out have the first color of its palette.

    Raises:
        UserError: the file is damaged, or of a kind that is not read.
        struct.error: it ends within its header.
    """
    start, size = struct.unpack_from("<10xII", encoded)
    if size not in HEADER_SIZES:
        raise UserError(f"BMP with a header of {size} bytes: expected one of {', '.join(map(str, HEADER_SIZES))}")
    if size == 12:
        width, height, _, depth = struct.unpack_from("<HHHH", encoded, 18)
        compression, colors = PLAIN, 0
    else:
        header = encoded[14 : 14 + size].ljust(124, b"\0")
        width, height, _, depth, compression, colors = struct.unpack_from("<4xiiHHI12xI", header)
    if depth not in DEPTHS.get(compression, ()) or (compression >= MASKS and size in (16, 64)):
        raise UserError(f"BMP of {depth} bits a pixel in compression {compression}: save it as PNG")
    from_top, height = height < 0, abs(height)
    if width < 1 or height < 1 or start < 14 + size or (from_top and compression in (RLE8, RLE4)):
        raise UserError(f"damaged BMP: {width} × {height} pixels at byte {start}")
    if not may_hold(height, width, len(encoded)):
        raise UserError(TOO_LARGE)
    if compression in (RLE8, RLE4):
        stored = _unpacked_runs(encoded[start:], height, width, compression == RLE4)
    else:
        stored = _rows(encoded[start:], height, width, depth)
    if not from_top:
        stored = stored[::-1]
    if depth <= 8:
        return _coloured(stored, encoded[14 + size : start], 3 if size == 12 else 4, colors or 2**depth)
    masks = USUAL_MASKS[depth]
    if compression in (MASKS, ALPHA_MASKS):
        count = 4 if size >= 56 or compression == ALPHA_MASKS else 3
        masks = (*struct.unpack_from(f"<{count}I", encoded, 54), 0)[:4]
    return _masked(stored, masks)


def _rows(body: bytes, height: int, width: int, depth: int) -> np.ndarray:
    """The numbers of uncompressed pixels, uint8 or uint32 [H, W], in the file's order."""
    row = (width * depth + 31) // 32 * 4
    if len(body) < row * height:
        raise UserError(f"truncated BMP: {len(body)} bytes of pixels, expected {row * height}")
    rows = np.frombuffer(body, np.uint8, row * height).reshape(height, row)
    if depth < 8:
        bits = np.unpackbits(rows, axis=1).reshape(height, -1, depth)
        return np.packbits(bits, axis=-1)[:, :width, 0] >> (8 - depth)
    digits = rows[:, : width * depth // 8].reshape(height, width, depth // 8)
    return digits[..., 0] if depth == 8 else sum(digits[..., k].astype(np.uint32) << 8 * k for k in range(depth // 8))


def _unpacked_runs(body: bytes, height: int, width: int, is_half: bool) -> np.ndarray:
    """The color numbers of a run-length file, uint8 [H, W], from the bottom; `is_half`: of four bits each."""
    pixels = np.zeros((height, width), np.uint8)
    x = y = at = 0
    while y < height:
        if at + 2 > len(body):
            if y == height - 1 and x >= width:
                break
            raise UserError("truncated BMP: its runs end early")
        count, value = body[at], body[at + 1]
        at += 2
        if count:  # a run; of half bytes, two colors in turn
            run = np.resize([value >> 4, value & 15] if is_half else [value], count)
        elif value == 0:  # end of the line
            x, y = 0, y + 1
            continue
        elif value == 1:  # end of the image
            break
        elif value == 2:  # a step to the right and up
            if at + 2 > len(body):
                raise UserError("truncated BMP: its runs end early")
            x, y, at = x + body[at], y + body[at + 1], at + 2
            continue
        else:  # pixels one by one, in whole 16-bit words
            size = (value + 1) // 2 if is_half else value
            run = np.frombuffer(body[at : at + size], np.uint8)
            run = np.stack([run >> 4, run & 15], 1).ravel()[:value] if is_half else run
            at += (size + 1) // 2 * 2
        fitting = run[: max(width - x, 0)]
        pixels[y, x : x + len(fitting)] = fitting
        x += len(run)
    return pixels


def _coloured(stored: np.ndarray, table: bytes, entry: int, colors: int) -> np.ndarray:
    """Numbers of colors -> uint8 [H, W, 3]."""
    colors = min(colors, len(table) // entry)
    if stored.max() >= colors:
        raise UserError(f"damaged BMP: a pixel has color {stored.max()} of a palette of {colors}")
    palette = np.frombuffer(table, np.uint8, colors * entry).reshape(colors, entry)
    return palette[:, 2::-1][stored]


def _masked(stored: np.ndarray, masks: tuple[int, ...]) -> np.ndarray:
    """uint32 [H, W] -> uint8 [H, W, 3 or 4]: the bits of each mask, stretched to 0..255."""
    if not any(masks[:3]):
        raise UserError("damaged BMP: its bit masks are empty")
    bands = []
    for mask in masks if masks[3] else masks[:3]:
        shift = (mask & -mask).bit_length() - 1 if mask else 0
        top = max(mask >> shift, 1)
        if top & (top + 1):
            raise UserError(f"BMP with a bit mask that has gaps ({mask:#x}): save it as PNG")
        bands.append((((stored & mask) >> shift).astype(np.uint64) * 255 + top // 2) // top)
    pixels = np.stack(bands, -1).astype(np.uint8)
    return pixels if masks[3] and pixels[..., 3].any() else pixels[..., :3]
