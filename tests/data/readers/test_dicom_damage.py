"""DICOM that is damaged, forged, or not an image: a sentence, soon, and no memory for what is only claimed."""

import struct
import time
import tracemalloc

import numpy as np
import pytest

from ssl_keras.data.readers import dicom
from ssl_keras.data.readers.contract import NoPictureError, ReadOptions
from ssl_keras.errors import UserError
from tests.data.readers.dicoms import made, numbers

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed: pip install -r requirements-imaging.txt")

OPTIONS = ReadOptions()


@pytest.mark.parametrize(
    "head",
    [b"", b"\x08\0", b"II*\0\x08\0\0\0" * 9, b"\x89PNG\r\n\x1a\n" * 9, b"\x93NUMPY" * 20, bytes(4096), b"\x08\0" * 2048,
     b"\x02\0\0\0" * 999, b"BM" + bytes(200), b"GIF89a" + bytes(200), b"\x5c\x01\0\0" + bytes(400)],
)  # fmt: skip
def test_what_is_no_dicom(tmp_path, head):
    assert not dicom.is_one(head)
    (tmp_path / "a.dcm").write_bytes(head)
    with pytest.raises(UserError, match="does not begin as DICOM does"):
        dicom.facts(tmp_path / "a.dcm", OPTIONS)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"Rows": 65535, "Columns": 65535}, "^too large: its header claims 65535 x 65535 x 1 values, 8,192 MiB"),
        ({"Rows": 9000, "Columns": 9000}, "^its header claims 154 MiB of pixels, and the file has 60 bytes"),
        ({"NumberOfFrames": 2_000_000}, "^damaged DICOM: cut off, 120,000,000 bytes of pixels expected, 60 found"),
        ({"Rows": 0}, "^damaged DICOM: it claims no pixels"),
        ({"Rows": 2}, "^damaged DICOM: it has more pixels than its header claims"),
        ({"NumberOfFrames": -3}, "^damaged DICOM: it claims no pixels"),
        ({"HighBit": 14}, "^DICOM whose numbers are not in the lowest bits"),
        ({"BitsAllocated": 12}, "^DICOM of 16 bits in 12"),
        ({"BitsAllocated": 1, "BitsStored": 1}, "^DICOM of 1 bit a pixel"),
        ({"SamplesPerPixel": 4}, "^DICOM of 4 samples a pixel, MONOCHROME2"),
        ({"PhotometricInterpretation": "CMYK"}, "^DICOM in colors of CMYK"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "^damaged DICOM: it lacks its palette"),
        ({"RescaleSlope": 0, "RescaleIntercept": 1}, "^damaged DICOM: its rescale slope"),
        ({"RescaleSlope": "1e300", "RescaleIntercept": 1}, "^damaged DICOM: its rescale slope makes values too large"),
        ({"SOPClassUID": "1.2.840.10008.1.3.10"}, "^DICOM, but a DICOMDIR"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1"}, "^DICOM, but an encapsulated document"),
    ],
)
def test_what_is_refused_is_said_why(tmp_path, fields, reason):
    path = made(tmp_path, numbers("uint16"), **fields)
    pydicom.pixels.get_decoder  # noqa: B018 (imports it)
    tracemalloc.start()
    begin = time.perf_counter()
    with pytest.raises(UserError, match=reason):
        dicom.read(path, 0, OPTIONS)
    assert time.perf_counter() - begin < 0.1
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        ("693_J2KR.dcm", {"Rows": 16, "Columns": 16}, "its frame is of 512 x 512 x 1, 14 bits, and its header claims"),
        ("693_J2KR.dcm", {"NumberOfFrames": 2_000_000}, "it claims 2,000,000 frames, in"),
        ("JPEG-LL.dcm", {"Rows": 16, "Columns": 16}, "its frame is of 256 x 1024 x 1, 16 bits, and its header claims"),
        ("MR_small_jpeg_ls_lossless.dcm", {"Rows": 32}, "its frame is of 64 x 64 x 1"),
        ("MR_small_RLE.dcm", {"Rows": 640}, "a segment of its RLE frame is cut off"),
        ("MR_small_RLE.dcm", {"BitsAllocated": 32}, "its RLE frame has not the 4 segments"),
        ("693_J2KR.dcm", {"BitsStored": 8, "HighBit": 7}, "its frame holds numbers of more than the 8 bits it claims"),
        ("693_J2KR.dcm", {"file": "1.2.840.10008.1.2.4.50"}, "its JPEG frame is none"),
        ("693_J2KR.dcm", {"file": "1.2.840.10008.1.2.4.103"}, "DICOM of a transfer syntax that is not read"),
        ("693_J2KR.dcm", {"file": "1.2.840.10008.1.2.4.201"}, "packed as HTJ2K, which needs pylibjpeg"),
    ],
)
def test_a_packed_frame_is_not_decoded_where_its_size_is_another(real_data, tmp_path, name, fields, reason):
    data = pydicom.dcmread(real_data / "dicom" / name)
    for key, value in fields.items():
        if key == "file":
            data.file_meta.TransferSyntaxUID = value
        else:
            setattr(data, key, value)
    data.save_as(tmp_path / "a.dcm")
    with pytest.raises(UserError, match=reason):
        dicom.read(tmp_path / "a.dcm", 0, OPTIONS)


def test_a_false_transfer_syntax_is_told(real_data, tmp_path):
    path = made(tmp_path, numbers("uint16"))
    path.write_bytes(path.read_bytes().replace(b"\x14\x001.2.840.10008.1.2.1\0", b"\x16\x001.2.840.10008.1.2.4.90"))
    with pytest.raises(UserError, match="its pixels are not packed, and its transfer syntax says"):
        dicom.facts(path, OPTIONS)
    packed = (real_data / "dicom" / "693_J2KR.dcm").read_bytes()
    path.write_bytes(packed.replace(b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.1\0\0\0"))
    with pytest.raises(UserError, match="its pixels are packed, and its transfer syntax says"):
        dicom.facts(path, OPTIONS)


def test_deflated_is_not_inflated(tmp_path):
    import zlib

    file = made(tmp_path, numbers("uint16")).read_bytes()
    at = file.index(struct.pack("<HH2s", 8, 0x16, b"UI"))
    meta = file[:at].replace(b"\x14\x001.2.840.10008.1.2.1\0", b"\x18\x001.2.840.10008.1.2.1.99\0\0")
    packer = zlib.compressobj(wbits=-15)
    (tmp_path / "d.dcm").write_bytes(meta + packer.compress(bytes(2**24)) + packer.flush())
    with pytest.raises(UserError, match="deflated"):
        dicom.facts(tmp_path / "d.dcm", OPTIONS)


def test_an_image_without_pixels_is_cut_off_and_a_report_is_none(tmp_path):
    file = made(tmp_path, numbers("uint16")).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(file[: file.index(b"OW") - 4])
    with pytest.raises(UserError, match="it ends before its pixels") as error:
        dicom.facts(tmp_path / "cut.dcm", OPTIONS)
    assert error.type is UserError
    (tmp_path / "none.dcm").write_bytes(file[: file.index(struct.pack("<HH2s", 0x28, 2, b"US"))])
    with pytest.raises(NoPictureError, match="without pixels"):
        dicom.facts(tmp_path / "none.dcm", OPTIONS)
    with pytest.raises(UserError, match="cannot be read"):
        dicom.facts(tmp_path / "missing.dcm", OPTIONS)


def test_a_missing_decoder_is_named(real_data, monkeypatch):
    import importlib.util

    known = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "imagecodecs" else known(name))
    with pytest.raises(UserError, match=r"^DICOM packed as JPEG Lossless, which needs .*pip install imagecodecs$"):
        dicom.facts(real_data / "dicom" / "JPEG-LL.dcm", OPTIONS)


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    path = made(tmp_path, numbers("uint16"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install pydicom"):
        dicom.facts(path, OPTIONS)


def test_headers_that_claim_much_or_have_no_end(tmp_path, monkeypatch):
    monkeypatch.setattr("ssl_keras.data.readers.dicom_file.MOST_READS", 20_000)
    file = made(tmp_path, numbers("uint16")).read_bytes()
    begin = file[: file.index(struct.pack("<HH2s", 0x10, 0x10, b"PN"))]
    sequence = struct.pack("<HH2sHIHHI", 0x10, 0x1002, b"SQ", 0, 2**32 - 1, 0xFFFE, 0xE000, 2**32 - 1)
    for rest, reason in (
        (sequence * 3000, "its header cannot be parsed"),  # one within the other
        (struct.pack("<HH2sHI", 0x28, 0x1201, b"OW", 0, 2**32 - 16) + bytes(100), "it ends before its pixels"),
        (struct.pack("<HH2sHI", 0x28, 0x9999, b"OW", 0, 2**32 - 16) + bytes(100), "it ends before its pixels"),
        (struct.pack("<HH2sH", 0x11, 0x10, b"LO", 0) * 20_000, "its header has no end"),
    ):
        (tmp_path / "b.dcm").write_bytes(begin + rest)
        with pytest.raises(UserError, match=f"^damaged DICOM: {reason}"):
            dicom.facts(tmp_path / "b.dcm", OPTIONS)


FUZZED = (
    *("JPEG-LL.dcm", "JPGExtended.dcm", "CT_small.dcm", "MR_small_RLE.dcm", "MR_small_jpeg_ls_lossless.dcm", "6154"),
    *("JPEG2000.dcm", "emri_small_RLE.dcm", "SC_rgb_small_odd.dcm", "MR_small_implicit.dcm", "mlut_18.dcm"),
    *("eCT_Supplemental.dcm", "OBXXXX1A_rle.dcm"),
)


@pytest.mark.parametrize("name", FUZZED)
def test_damage_is_told_in_a_sentence(real_data, tmp_path, capfd, name):
    whole = (real_data / "dicom" / name).read_bytes()
    data = pydicom.dcmread(real_data / "dicom" / name, specific_tags=["PatientName", "PatientID", "SOPInstanceUID"])
    secrets = [str(element.value) for element in data if len(str(element.value)) > 4]
    rng = np.random.default_rng(len(whole))
    options = ReadOptions(max_bytes=2**22)
    header = whole.rfind(struct.pack("<H", 0x7FE0))
    tracemalloc.start()
    for trial in range(30):
        file = bytearray(whole)
        if trial % 4 == 3:
            file = file[: rng.integers(140, len(file))]
        for at in rng.integers(132, min(header, len(file)) if trial % 2 else len(file), rng.integers(1, 6)):
            file[at] = rng.integers(0, 256)
        path = tmp_path / f"{trial}.dcm"
        path.write_bytes(file)
        try:
            facts = dicom.facts(path, options)
            picture = dicom.read(path, facts.count - 1, options)
            assert (picture.pixels.shape, picture.pixels.dtype) == (facts.shape, facts.dtype)
        except UserError as error:
            assert "\n" not in str(error) and not any(secret in str(error) for secret in secrets)
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()
    assert capfd.readouterr() == ("", "")
