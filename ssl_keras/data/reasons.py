"""What to say of an image that cannot be read: one line, of damage only where there is some."""

import io
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from ssl_keras.data.apart import pool
from ssl_keras.data.formats.size import claimed
from ssl_keras.data.source import Source
from ssl_keras.words import shown

READ = ((b"\xff\xd8\xff", "JPEG"), (b"\x89PNG", "PNG"), (b"GIF8", "GIF"), (b"BM", "BMP"), (b"RIFF", "WebP"))
ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82", "GIF": b";"}
AS_PNG = "convert it to JPEG or PNG"
# (where, bytes there, what that is, what to do)
OTHERS = (
    *((4, b"ftyp" + brand, "a HEIC image", AS_PNG) for brand in (b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1")),
    *((4, b"ftyp" + brand, "an AVIF image", AS_PNG) for brand in (b"avif", b"avis")),
    (4, b"ftypcrx", "a raw photo of a Canon camera", AS_PNG),
    (4, b"ftyp", "a video", "save its frames as JPEG or PNG"),
    (0, b"\x1aE\xdf\xa3", "a video", "save its frames as JPEG or PNG"),
    (0, b"\xff\x0a", "a JPEG XL image", AS_PNG),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL image", AS_PNG),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 image", AS_PNG),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image", AS_PNG),
    (0, b"8BPS", "a Photoshop file (PSD)", AS_PNG),
    (0, b"%PDF", "a PDF document", "save its pages as PNG"),
    (0, b"%!PS", "a PostScript file", "save its pages as PNG"),
    (128, b"DICM", "a DICOM file", "save its pixels as 16-bit PNG or .npy"),
    (344, b"n+1\0", "a NIfTI volume", "save its slices as 16-bit PNG or .npy"),
    (344, b"ni1\0", "the header of a NIfTI volume", "save its slices as 16-bit PNG or .npy"),
    (4, b"n+2\0", "a NIfTI volume", "save its slices as 16-bit PNG or .npy"),
    (0, b"\x89HDF", "an HDF5 file", "save its images as .npy, [N, H, W, C]"),
    (0, b"CDF", "a NetCDF file", "save its images as .npy, [N, H, W, C]"),
    (0, b"MATLAB 5", "a MATLAB file", "save its images as .npy, [N, H, W, C]"),
    (0, b"\x93NUMPY", "a numpy array", "read it with --data=npy:PATH"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR image", "save it as .npy, float32 from 0 to 1"),
    (0, b"#?RADIANCE", "a Radiance HDR image", "save it as .npy, float32 from 0 to 1"),
    (0, b"SIMPLE  =", "a FITS image", "save it as .npy, float32 from 0 to 1"),
    (0, b"\0\0\1\0", "an icon (ICO)", AS_PNG),
    (0, b"qoif", "a QOI image", AS_PNG),
    (0, b"DDS ", "a DDS texture", AS_PNG),
    *((0, b"P%d" % kind, "a PNM image", AS_PNG) for kind in range(1, 8)),
    (0, b"PK\3\4", "a ZIP archive", "unpack it"),
    (0, b"\x1f\x8b", "a gzip archive", "unpack it"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive", "unpack it"),
    (0, b"Rar!", "a RAR archive", "unpack it"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself", "run `git lfs pull`"),
)
JPEG_KINDS = {0xC3: "lossless", 0xCB: "lossless"} | dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "hierarchical")


def list_bad(source: Source, indices: Iterable[int]) -> list[tuple[str, str]]:
    """(description, reason) of each image that cannot be read, both of one line."""
    return [(source.describe(int(i)), shown(_reason(source, int(i)))) for i in indices]


def examples(bad: Sequence[tuple[str, str]], count: int = 3) -> str:
    """The first few of a list of `list_bad` in words, each of another reason as far as there are others."""
    first: dict[str, tuple[str, str]] = {}
    for pair in bad:
        first.setdefault(pair[1], pair)
    chosen = list(first.values())
    chosen += [pair for pair in bad[: 2 * count] if pair not in chosen]
    return "; ".join(f"{name}: {reason}" for name, reason in chosen[:count])


def _reason(source: Source, i: int) -> str:
    try:
        raw = source.patient_read(i)
    except Exception as error:
        return str(error) or type(error).__name__
    if source.arrays and source.shapes is None:
        finite = raw[np.isfinite(raw)]
        span = f"values from {finite.min():g} to {finite.max():g}" if finite.size else "no finite value"
        also = "" if finite.size == raw.size else ", and some not finite"
        return f"{span}{also}: float32 images need finite values from 0 to 1"
    return encoded_reason(raw)


def encoded_reason(encoded: bytes) -> str:
    """Why these bytes, of which no image was decoded, are none."""
    if not encoded:
        return "empty file"
    name = next((name for magic, name in READ if encoded.startswith(magic)), None)
    if name == "WebP" and encoded[8:12] != b"WEBP":
        name = None
    if name:
        return _why_not(name, encoded)
    for at, magic, what, advice in OTHERS:
        if encoded[at : at + len(magic)] == magic:
            return f"{what}, which is not read: {advice}"
    if not encoded.strip(b"\0"):
        return "nothing but zero bytes: copy it again"
    return _text_reason(encoded[:1000]) or "not an image (unknown format)"


def _why_not(name: str, encoded: bytes) -> str:
    """Of a format that is read: whether the file is cut off, damaged, or whole and of an unusual kind."""
    kind = _jpeg_kind(encoded) if name == "JPEG" else None
    if kind:
        return f"{kind}, which is not read: save it as an 8-bit JPEG or as PNG"
    if name in ENDS and not encoded.rstrip(b"\0").endswith(ENDS[name]):
        return f"truncated {name}"
    try:
        height, width, _ = claimed(encoded)
        pool.call(_load, encoded, size=4 * height * width)
    except Exception:
        return f"damaged {name}"
    return f"{name} of a kind that TensorFlow does not decode: save it as PNG"


def _load(encoded: bytes) -> None:
    """Decodes an image, or raises whatever Pillow does."""
    Image.open(io.BytesIO(encoded)).load()


def _jpeg_kind(encoded: bytes) -> str | None:
    """What is unusual in a JPEG's frame header, or None."""
    at = 2
    while at + 5 < len(encoded) and encoded[at] == 0xFF:
        marker = encoded[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits = encoded[at + 4]
            if marker in JPEG_KINDS:
                return f"JPEG of the {JPEG_KINDS[marker]} kind"
            return f"JPEG of {bits} bits" if bits != 8 else None
        at += 2 + int.from_bytes(encoded[at + 2 : at + 4], "big")
    return None


def _text_reason(head: bytes) -> str | None:
    try:
        text = head.decode("utf-8", "strict" if len(head) < 1000 else "ignore").lstrip("\ufeff \t\r\n").lower()
    except UnicodeDecodeError:
        return None
    if text.startswith("<svg") or (text.startswith("<?xml") and "<svg" in text):
        return f"an SVG drawing, which is not read: {AS_PNG}"
    if text.startswith(("<!doctype html", "<html")):
        return "a web page (HTML), not an image: download the image itself"
    is_text = all(char.isprintable() or char in "\t\r\n" for char in text)
    return "a text file, not an image" if is_text else None
