"""Small valid image files of every variety, from which the fuzz test starts."""

import functools
import io
import struct
import zlib

import numpy as np
from PIL import Image

NOISE = np.random.default_rng(7).integers(0, 256, (13, 21, 4), dtype=np.uint8)
SMOOTH = np.stack([np.add.outer(9 * np.arange(13), 5 * np.arange(21)) + 20 * k for k in range(4)], -1).astype(np.uint8)


def encoded(image: Image.Image, form: str, **options) -> bytes:
    """An image as a file of a format."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def image(mode: str, pixels: np.ndarray = NOISE) -> Image.Image:
    return Image.fromarray(pixels[..., :3] if mode != "RGBA" else pixels).convert(mode)


def exif(orientation: int, order: str = "<") -> bytes:
    """EXIF's TIFF structure with an orientation, behind the name that JPEG puts before it."""
    found = Image.Exif()
    found.endian = order
    found[0x010F] = "a maker"
    found[0x0112] = orientation
    return found.tobytes()


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(samples: np.ndarray, depth: int, colour: int, chunks: bytes = b"", behind: bytes = b"", adam7=False) -> bytes:
    """A PNG of samples [H, W, C] as they are; `chunks` stand before the pixels, `behind` after them."""
    height, width = samples.shape[:2]

    def packed(part):
        if not part.size:
            return b""
        if depth == 16:
            rows = part.astype(">u2").reshape(len(part), -1).view(np.uint8)
        else:
            bits = np.unpackbits(part.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
            rows = np.packbits(bits.reshape(len(part), -1), axis=1)
        return b"".join(b"\0" + row.tobytes() for row in rows)

    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    parts = [samples[y::dy, x::dx] for y, x, dy, dx in passes] if adam7 else [samples]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(adam7))
    data = zlib.compress(b"".join(map(packed, parts)))
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + chunks
        + png_chunk(b"IDAT", data[: len(data) // 2])
        + png_chunk(b"IDAT", data[len(data) // 2 :])
        + behind
        + png_chunk(b"IEND", b"")
    )


def bmp(body: bytes, width: int, height: int, depth: int, compression=0, size=40, table=b"", masks=(), colours=0):
    """A BMP file around the bytes of its pixels; masks are put where its header has them."""
    if size == 12:
        header = struct.pack("<IHHHH", 12, width, height, 1, depth)
    else:
        header = struct.pack("<IiiHHIIiiII", size, width, height, 1, depth, compression, len(body), 0, 0, colours, 0)
        header += struct.pack(f"<{len(masks)}I", *masks)
        header = header[:size] if size < 40 else header.ljust(size, b"\0")
    start = 14 + len(header) + len(table)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + header + table + body


def rows(samples: np.ndarray, depth: int) -> bytes:
    """The bytes of BMP pixels [H, W], bottom row first, each row filled to four bytes."""
    bits = np.unpackbits(samples.astype("<u4").view(np.uint8).reshape(*samples.shape, 4), axis=-1)
    if depth < 8:
        packed = np.packbits(bits.reshape(*samples.shape, 32)[..., 8 - depth : 8].reshape(len(samples), -1), axis=1)
    else:
        packed = samples.astype("<u4").view(np.uint8).reshape(*samples.shape, 4)[..., : depth // 8]
        packed = packed.reshape(len(samples), -1)
    return b"".join(row.tobytes() + bytes(-len(row) % 4) for row in packed[::-1])


def webp_chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


@functools.cache
def gif_seeds() -> list[bytes]:
    frames = [image("RGB").rotate(90 * k, expand=True).crop((0, 0, 9 + k, 8)) for k in range(3)]
    clear = image("P")
    clear.info["transparency"] = int(np.asarray(clear)[3, 3])
    still = encoded(image("P"), "GIF")
    at = still.index(b",\0\0\0\0")
    offset = still[:6] + struct.pack("<HH", 40, 30) + still[10:at] + b",\x05\0\x07\0" + still[at + 5 :]
    return [
        still,
        offset,
        encoded(image("L"), "GIF", interlace=0),
        encoded(image("P"), "GIF", interlace=1, comment=b"c" * 700),
        encoded(clear, "GIF", transparency=clear.info["transparency"]),
        encoded(image("RGB"), "GIF", save_all=True, append_images=[image("RGB", SMOOTH)], duration=40, loop=0),
        encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], disposal=2),
        encoded(image("1"), "GIF"),
    ]


@functools.cache
def png_seeds() -> list[bytes]:
    clear = png_chunk(b"PLTE", bytes(range(48))) + png_chunk(b"tRNS", bytes([0, 128, 255]))
    found = [encoded(image(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA")]
    found.append(encoded(Image.fromarray(NOISE.view(np.uint16)[..., 0].copy()), "PNG"))
    for depth, colour, channels, chunks in (
        (1, 0, 1, b""),
        (2, 3, 1, clear),
        (4, 3, 1, clear),
        (8, 0, 1, png_chunk(b"tRNS", b"\0\x07")),
        (8, 2, 3, png_chunk(b"gAMA", struct.pack(">I", 45455)) + png_chunk(b"tRNS", b"\0\1\0\2\0\3")),
        (16, 2, 3, png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(300)))),
        (16, 4, 2, png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(300)))),
        (16, 6, 4, png_chunk(b"eXIf", exif(6)[6:])),
    ):
        samples = NOISE[..., :channels].astype(np.uint32) * 257 % 2**depth
        found += [png(samples, depth, colour, chunks, adam7=adam7) for adam7 in (False, True)]
    frames = [image("RGB", SMOOTH), image("RGB")]
    found.append(encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]))
    found.append(png(NOISE[..., :1], 8, 0, behind=png_chunk(b"eXIf", exif(8, ">")[6:])))
    return found


@functools.cache
def jpeg_seeds() -> list[bytes]:
    found = [
        encoded(image("RGB", SMOOTH), "JPEG", progressive=progressive, subsampling=subsampling, restart_marker_blocks=k)
        for progressive in (False, True)
        for subsampling in (0, 1, 2)
        for k in (0, 1)
    ]
    found += [encoded(image(mode), "JPEG", quality=40) for mode in ("L", "RGB", "CMYK")]
    found.append(encoded(image("CMYK"), "JPEG", progressive=True))
    found.append(encoded(image("RGB"), "JPEG", exif=exif(6, ">"), icc_profile=bytes(500), comment=b"text"))
    found.append(encoded(image("RGB"), "JPEG", exif=exif(3), keep_rgb=True))
    found.append(encoded(image("RGB"), "MPO", save_all=True, append_images=[image("RGB", SMOOTH)]))
    return found


@functools.cache
def webp_seeds() -> list[bytes]:
    found = [
        encoded(image(mode, pixels), "WEBP", **options)
        for mode in ("RGB", "RGBA")
        for pixels in (NOISE, SMOOTH)
        for options in (
            {"lossless": True},
            {"quality": 30},
            {"quality": 60, "exif": exif(6), "xmp": b"<x/>", "icc_profile": bytes(80)},
        )
    ]
    for mode in ("RGB", "RGBA"):
        frames = [image(mode), image(mode, SMOOTH), image(mode).rotate(180)]
        found.append(encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))
        found.append(encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], quality=30, exif=exif(6)))
    still = webp_chunk(
        b"ANMF", bytes(6) + struct.pack("<I", 20)[:3] + struct.pack("<I", 12)[:3] + bytes(4) + found[0][12:]
    )
    canvas = struct.pack("<I", 2) + struct.pack("<I", 20)[:3] + struct.pack("<I", 12)[:3]
    body = b"WEBP" + webp_chunk(b"VP8X", canvas) + webp_chunk(b"ANIM", bytes(6)) + still
    found.append(webp_chunk(b"RIFF", body))  # an animation of one frame
    return found


@functools.cache
def bmp_seeds() -> list[bytes]:
    plane = NOISE[..., 0].astype(np.uint32)
    wide = NOISE.view(np.uint32)[..., 0]
    palette = np.random.default_rng(8).integers(0, 256, 1024, dtype=np.uint8).tobytes()
    runs = b"\x05\x07\x00\x03abc\0\x00\x02\x01\x01\x04\x09\0\0\0\0\x03\x02\0\1"
    found = [encoded(image(mode), "BMP") for mode in ("1", "L", "P", "RGB", "RGBA")]
    for depth in (1, 2, 4, 8):
        table = palette[: 4 * 2**depth]
        found.append(bmp(rows(plane % 2**depth, depth), 21, 13, depth, table=table))
        if depth != 2:
            found.append(bmp(rows(plane % 2**depth, depth), 21, 13, depth, size=12, table=table[: 3 * 2**depth]))
    found.append(bmp(runs, 21, 13, 8, 1, table=palette))
    found.append(bmp(runs, 21, 13, 4, 2, table=palette[:64]))
    found.append(bmp(rows(wide, 24), 21, -13, 24))
    found.append(bmp(rows(wide, 32), 21, 13, 32, size=108))
    found.append(bmp(rows(wide % 2**16, 16), 21, 13, 16))
    found.append(bmp(rows(wide % 2**16, 16), 21, 13, 16, 3, masks=(0xF800, 0x7E0, 0x1F), table=bytes(12)))
    masks = (0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    found += [
        bmp(rows(wide, 32), 21, height, 32, 3, size=size, masks=masks) for size in (56, 124) for height in (13, -13)
    ]
    return found


SEEDS = {"JPEG": jpeg_seeds, "PNG": png_seeds, "GIF": gif_seeds, "WebP": webp_seeds, "BMP": bmp_seeds}
