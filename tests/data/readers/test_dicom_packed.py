"""Packed frames of DICOM: every bit and color that went in comes out."""

import io

import numpy as np
import pytest
from PIL import Image

from ssl_keras.data.readers import dicom
from ssl_keras.data.readers.contract import ReadOptions
from ssl_keras.errors import UserError
from tests.data.readers.dicoms import made, numbers

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed: pip install -r requirements-imaging.txt")

OPTIONS = ReadOptions()


@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "YBR_FULL", "RGB"])
@pytest.mark.parametrize("kind", ["JFIF", "Adobe"])
def test_jpeg_is_turned_into_rgb_once(tmp_path, kind, photometric):
    y, x = np.mgrid[0:32, 0:48]
    rgb = np.stack([5 * x, 7 * y, 250 - 3 * x - 2 * y], -1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=95, subsampling=0)
    frame = buffer.getvalue()
    if kind == "Adobe":
        frame = frame[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0\x01" + frame[20:]
    path = made(tmp_path, rgb, frame=frame, syntax="1.2.840.10008.1.2.4.50", PhotometricInterpretation=photometric)
    assert np.abs(dicom.read(path, 0, OPTIONS).pixels.astype(int) - rgb).mean() < 2


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("sign", "ui")
def test_lossless_jpeg_of_any_bits(tmp_path, bits, sign):
    imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    raw = np.random.default_rng(bits).integers(0, 2**bits, (40, 30), "u2")
    frame = imagecodecs.jpeg8_encode(raw.astype("u1" if bits == 8 else "u2"), lossless=True, bitspersample=bits)
    expected = raw.astype(int) - (2**bits * (raw >= 2 ** (bits - 1)) if sign == "i" else 0)
    fields = {"frame": frame, "syntax": "1.2.840.10008.1.2.4.70", "BitsStored": bits}
    path = made(tmp_path, raw.view(sign + "2"), **fields)
    np.testing.assert_array_equal(dicom.read(path, 0, OPTIONS).pixels[..., 0], expected)
    fields["frame"] = frame[: len(frame) // 2]
    with pytest.raises(UserError, match="its JPEG Lossless frame is cut off"):
        dicom.read(made(tmp_path, raw.view(sign + "2"), "b.dcm", **fields), 0, OPTIONS)


@pytest.mark.parametrize("kind", ["jpeg2k", "lossless"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_packed_colours_keep_their_bits(tmp_path, dtype, kind):
    imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    rgb = numbers(dtype, (20, 24, 3))
    if kind == "jpeg2k":
        frame, syntax = imagecodecs.jpeg2k_encode(rgb, level=0, codecformat="j2k"), "1.2.840.10008.1.2.4.90"
    else:
        frame, syntax = imagecodecs.jpeg8_encode(rgb, lossless=True), "1.2.840.10008.1.2.4.70"
    path = made(tmp_path, rgb, frame=frame, syntax=syntax)
    np.testing.assert_array_equal(dicom.read(path, 0, OPTIONS).pixels, rgb)
