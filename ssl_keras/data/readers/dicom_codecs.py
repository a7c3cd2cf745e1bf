"""Packed frames of DICOM: JPEG of five kinds, each by a decoder that holds out against damaged frames (PS3.5 A.4).

Pillow and pyjpegls decode by way of pydicom's plugins. JPEG Lossless and 12-bit JPEG are imagecodecs' (libjpeg-turbo):
GDCM, which pydicom would take, ends the process over a damaged frame, and its other choice for 12 bits is GPL.
"""

import importlib.util
import math
import struct
from typing import NamedTuple

import numpy as np

from ssl_keras.data.readers.dicom_file import damage_told
from ssl_keras.data.readers.dicom_header import Header
from ssl_keras.errors import UserError


class Packing(NamedTuple):
    """How frames are packed.

    Args:
        name: for messages.
        decoder: a plugin of pydicom, or "imagecodecs".
        install: what pip installs for it.
        marker: that a JPEG frame of this kind has before its size (ISO 10918-1 B.1.1.3, 14495-1).
    """

    name: str
    decoder: str
    install: str
    marker: tuple[int, ...] = ()


RLE = Packing("RLE", "", "")
HTJ2K = Packing("HTJ2K", "pylibjpeg", "pylibjpeg pylibjpeg-openjpeg")
JPEG_LS = Packing("JPEG-LS", "pyjpegls", "pyjpegls", (0xF7,))
JPEG_2000 = Packing("JPEG 2000", "pillow", "pillow")
DEEP_JPEG_2000 = Packing("JPEG 2000", "imagecodecs", "imagecodecs")  # of colors that Pillow would halve to 8 bits
LOSSLESS = Packing("JPEG Lossless", "imagecodecs", "imagecodecs", (0xC3,))
PACKINGS = {  # by transfer syntax
    "1.2.840.10008.1.2.5": RLE,
    "1.2.840.10008.1.2.4.50": Packing("JPEG", "pillow", "pillow", (0xC0,)),
    "1.2.840.10008.1.2.4.51": Packing("JPEG Extended (12 bits)", "imagecodecs", "imagecodecs", (0xC0, 0xC1)),
    "1.2.840.10008.1.2.4.57": LOSSLESS,
    "1.2.840.10008.1.2.4.70": LOSSLESS,
    "1.2.840.10008.1.2.4.80": JPEG_LS,
    "1.2.840.10008.1.2.4.81": JPEG_LS,
    "1.2.840.10008.1.2.4.90": JPEG_2000,
    "1.2.840.10008.1.2.4.91": JPEG_2000,
    "1.2.840.10008.1.2.4.201": HTJ2K,
    "1.2.840.10008.1.2.4.202": HTJ2K,
    "1.2.840.10008.1.2.4.203": HTJ2K,
}


def needs(header: Header, precision: int) -> Packing:
    """How frames of so many bits are packed, by what decodes them.

    Raises:
        UserError: that is not installed.
    """
    from pydicom.pixels import get_decoder

    packing = PACKINGS[header.syntax]
    if packing is JPEG_2000 and header.samples > 1 and precision > 8:
        packing = DEEP_JPEG_2000
    if packing.decoder == "imagecodecs":
        is_there = importlib.util.find_spec("imagecodecs") is not None
    else:
        is_there = packing is RLE or packing.decoder in get_decoder(header.syntax).available_plugins
    if not is_there:
        raise UserError(f"DICOM packed as {packing.name}, which needs {packing.install}: pip install {packing.install}")
    return packing


def decoded(frame: bytes, header: Header) -> np.ndarray:
    """The numbers of a packed frame, [H, W] or, of colors, RGB [H, W, 3], once its own size has been found right.

    Raises:
        UserError: it is damaged, or of another size than its header's.
    """
    packing = PACKINGS[header.syntax]
    with damage_told(f"its {packing.name} frame says no size"):
        if packing.marker:
            height, width, samples, precision = _jpeg_size(frame, packing)
        else:
            frame = _codestream(frame)
            height, width, samples, precision = _jpeg2000_size(frame)
    if (height, width, samples) != (header.rows, header.columns, header.samples) or precision > header.bits:
        raise UserError(
            f"damaged DICOM: its frame is of {width} x {height} x {samples}, {precision} bits, and its header claims "
            f"{header.columns} x {header.rows} x {header.samples}, {header.bits} bits"
        )
    if b"\xff\xd9" not in frame.rstrip(b"\0")[-12:]:  # some decoders would not mind
        raise UserError(f"damaged DICOM: its {packing.name} frame is cut off")
    packing = needs(header, precision)
    with damage_told(f"its {packing.name} frame cannot be decoded"):
        if packing.decoder == "imagecodecs":
            pixels = _by_imagecodecs(frame, header, packing)
        else:
            pixels = _by_pydicom(frame, header, packing)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _by_imagecodecs(frame: bytes, header: Header, packing: Packing) -> np.ndarray:
    import imagecodecs

    shape = (header.rows, header.columns, 3)[: 2 if header.samples == 1 else 3]
    if packing is DEEP_JPEG_2000:
        return imagecodecs.jpeg2k_decode(frame).reshape(shape)  # which undoes YBR_RCT and YBR_ICT itself
    kept = {} if header.samples == 1 else {"colorspace": "RGB", "outcolorspace": "RGB"}  # not turned into RGB
    found = imagecodecs.jpeg8_decode(frame, **kept).reshape(shape).astype(f"u{header.bits // 8}")
    return rgb(found.view(f"{'i' if header.is_signed else 'u'}{header.bits // 8}"), header)


def _by_pydicom(frame: bytes, header: Header, packing: Packing) -> np.ndarray:
    from pydicom.encaps import encapsulate
    from pydicom.pixels import get_decoder

    about = {
        **{"rows": header.rows, "columns": header.columns, "samples_per_pixel": header.samples, "number_of_frames": 1},
        **{"bits_allocated": header.bits, "bits_stored": header.stored, "pixel_representation": int(header.is_signed)},
        **{"photometric_interpretation": header.photometric, "planar_configuration": 0, "pixel_keyword": "PixelData"},
    }
    if packing.name == "JPEG":
        about["correct_unused_bits"] = False  # the picture's maker does so
        frame = frame if header.photometric == "RGB" else _without_adobe(frame)
    decoder = get_decoder(header.syntax)
    pixels, found = decoder.as_array(encapsulate([frame]), index=0, decoding_plugin=packing.decoder, **about)
    if header.samples == 3 and found["photometric_interpretation"] != "RGB":
        raise UserError(f"damaged DICOM: {header.photometric} in {packing.name}")
    return pixels


def rgb(found: np.ndarray, header: Header) -> np.ndarray:
    """Colors as they are stored, as RGB; gray as it is."""
    if header.samples == 1 or header.photometric == "RGB":
        return found
    if header.photometric not in ("YBR_FULL", "YBR_FULL_422"):
        raise UserError(f"damaged DICOM: {header.photometric}, but not in JPEG 2000")
    from pydicom.pixels import convert_color_space

    return convert_color_space(np.ascontiguousarray(found), "YBR_FULL", "RGB")


def _jpeg_size(frame: bytes, packing: Packing) -> tuple[int, int, int, int]:
    """Height, width, samples and bits that a JPEG says before its first scan; it may say so once."""
    if frame[:2] != b"\xff\xd8":
        raise UserError(f"damaged DICOM: its {packing.name} frame is none")
    at, found = 2, None
    while frame[at + 1] != 0xDA:
        if frame[at] != 0xFF:
            raise UserError(f"damaged DICOM: its {packing.name} frame has no scan")
        marker = frame[at + 1]
        if marker == 0xFF:  # filling
            at += 1
            continue
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            if found or marker not in packing.marker:
                raise UserError(f"damaged DICOM: its frame is a JPEG, but no {packing.name}")
            precision, height, width, samples = struct.unpack_from(">BHHB", frame, at + 4)
            found = height, width, samples, precision
        at += 2 + max(struct.unpack_from(">H", frame, at + 2)[0], 2)
    if found is None:
        raise UserError(f"damaged DICOM: its {packing.name} frame says no size")
    return found


def _without_adobe(frame: bytes) -> bytes:
    """A JPEG in YBR without Adobe's word that it is: Pillow would make RGB of it, and pydicom would do so again."""
    at = frame.find(b"\xff\xee\x00\x0eAdobe", 0, frame.find(b"\xff\xda"))
    return frame if at < 0 or frame[at + 15] != 1 else frame[:at] + frame[at + 16 :]


def _codestream(frame: bytes) -> bytes:
    """A JPEG 2000 without the boxes of a file, which would say its size a second time."""
    at = 0
    while frame[at : at + 2] != b"\xff\x4f":
        length, kind = struct.unpack_from(">I4s", frame, at)
        at += 8 if kind == b"jp2c" else max(length, 8)
    return frame[at:]


def _jpeg2000_size(frame: bytes) -> tuple[int, int, int, int]:
    """Height, width, samples and bits, of the marker SIZ (ISO 15444-1 A.5.1)."""
    marker, _, _, x1, y1, x0, y0, tile_x, tile_y, _, _, samples = struct.unpack_from(">HHH8IH", frame, 2)
    parts = [struct.unpack_from("BBB", frame, 42 + 3 * k) for k in range(min(samples, 4))]
    tiles = math.ceil(x1 / max(tile_x, 1)) * math.ceil(y1 / max(tile_y, 1))
    if marker != 0xFF51 or tiles > 65535 or len({part[0] for part in parts}) != 1 or {p[1:] for p in parts} != {(1, 1)}:
        raise UserError("damaged DICOM: its JPEG 2000 frame is of an unknown kind")
    return y1 - y0, x1 - x0, samples, (parts[0][0] & 0x7F) + 1
