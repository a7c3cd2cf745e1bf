"""OpenEXR against the package of this name, where it is installed; headers without it; and what is refused."""

import importlib.util
import struct

import numpy as np
import pytest

from ssl_keras.data.readers import exr
from ssl_keras.data.readers.contract import ReadOptions
from ssl_keras.errors import UserError
from tests.data.readers.damage import hundreds, refused_at_once

ANY = ReadOptions()
IS_THERE = importlib.util.find_spec("OpenEXR") is not None
needs_package = pytest.mark.skipif(not IS_THERE, reason="the package OpenEXR is not installed")


def attribute(name, kind, value):
    return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value


def exr_of(channels, order=(0, 0), flags=0, sampling=(1, 1), window=None):
    """An uncompressed file by the book, float32 [H, W] by channel."""
    names = sorted(channels)
    height, width = channels[names[0]].shape
    left, top = order
    box = struct.pack("<4i", *(window or (left, top, left + width - 1, top + height - 1)))
    table = b"".join(name.encode() + b"\0" + struct.pack("<iIii", 2, 0, *sampling) for name in names) + b"\0"
    head = b"v/1\x01" + struct.pack("<I", 2 | flags)
    head += attribute("channels", "chlist", table) + attribute("compression", "compression", b"\0")
    head += attribute("dataWindow", "box2i", box) + attribute("displayWindow", "box2i", box)
    head += attribute("lineOrder", "lineOrder", b"\0") + attribute("pixelAspectRatio", "float", struct.pack("<f", 1))
    head += attribute("screenWindowCenter", "v2f", bytes(8))
    head += attribute("screenWindowWidth", "float", struct.pack("<f", 1)) + b"\0"
    lines = [b"".join(channels[name][y].astype("<f4").tobytes() for name in names) for y in range(height)]
    start = len(head) + 8 * height
    places = struct.pack(f"<{height}Q", *(start + k * (8 + len(lines[0])) for k in range(height)))
    return head + places + b"".join(struct.pack("<ii", top + y, len(line)) + line for y, line in enumerate(lines))


def values(*names):
    rng = np.random.default_rng(len(names))
    return {name: rng.normal(0, 10, (20, 30)).astype(np.float32) for name in names}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("BGR", "RGB"),
        ("Z", "Z"),
        ("Y", "Y"),
        ("ABGRZ", "RGBZ"),
        (("B", "G", "NX", "R", "ir"), ("R", "G", "B", "NX", "ir")),
    ],
)
def test_headers_and_the_order_of_channels(tmp_path, names, expected):
    data = exr_of(values(*names), order=(-5, 7))
    (tmp_path / "a.exr").write_bytes(data)
    assert exr.is_one(data[:4096])
    found = exr.facts(str(tmp_path / "a.exr"), ANY)
    assert (found.count, found.shape, found.dtype) == (1, (20, 30, len(expected)), "float32")
    assert found.remark == f"channels {', '.join(expected)}"
    if not IS_THERE:
        with pytest.raises(UserError, match="this needs the package OpenEXR: pip install OpenEXR"):
            exr.read(str(tmp_path / "a.exr"), 0, ANY)


@needs_package
def test_pixels(tmp_path):
    channels = values("A", "B", "G", "R", "Z")
    channels["A"] = (channels["A"] > 0).astype(np.float32)
    (tmp_path / "a.exr").write_bytes(exr_of(channels, order=(3, -4)))
    picture = exr.read(str(tmp_path / "a.exr"), 0, ANY)
    np.testing.assert_array_equal(picture.pixels, np.stack([channels[name] for name in "RGBZ"], -1))
    np.testing.assert_array_equal(picture.valid, channels["A"] > 0)


@needs_package
def test_what_the_package_writes(tmp_path):
    import OpenEXR

    rng = np.random.default_rng(0)
    for packing in (OpenEXR.NO_COMPRESSION, OpenEXR.ZIP_COMPRESSION, OpenEXR.PIZ_COMPRESSION, OpenEXR.RLE_COMPRESSION):
        header = {"compression": packing, "type": OpenEXR.scanlineimage}
        colour, depth = rng.normal(0, 1, (40, 50, 3)).astype(np.float16), rng.normal(0, 1, (40, 50)).astype(np.float32)
        OpenEXR.File(header, {"RGB": colour, "Z": depth}).write(str(tmp_path / "a.exr"))
        picture = exr.read(str(tmp_path / "a.exr"), 0, ANY)
        np.testing.assert_array_equal(picture.pixels, np.concatenate([colour, depth[..., None]], -1).astype(np.float32))
        assert picture.valid is None
        whole = rng.integers(0, 2**31, (40, 50)).astype(np.uint32)
        OpenEXR.File(header, {"id": whole}).write(str(tmp_path / "b.exr"))
        picture = exr.read(str(tmp_path / "b.exr"), 0, ANY)
        assert picture.pixels.dtype == np.int32
        np.testing.assert_array_equal(picture.pixels[..., 0], whole)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (exr_of(values("Z"), flags=0x800), "of deep pixels"),
        (exr_of(values("Z"), flags=0x1000), "of several parts"),
        (exr_of(values("Z"), sampling=(2, 2)), "its channel Z is of lower resolution"),
        (exr_of(values("A")), "pixels of 0 channels"),
        (exr_of(values("Z"), window=(0, 0, -1, 5)), "it claims 0 x 6 pixels"),
        (exr_of(values("Z"))[:100], "damaged OpenEXR file"),
        (b"", "does not begin like one"),
    ],
)
def test_what_is_not_read_is_said_why(tmp_path, data, reason):
    (tmp_path / "a.exr").write_bytes(data)
    with pytest.raises(UserError, match=reason):
        exr.facts(str(tmp_path / "a.exr"), ANY)


@pytest.mark.parametrize(
    "window", [(0, 0, 59_999, 59_999), (-(2**31), -(2**31), 2**31 - 1, 2**31 - 1), (0, 0, 9, 2**24)]
)
def test_forged_windows_are_refused_at_once(tmp_path, window):
    (tmp_path / "a.exr").write_bytes(exr_of(values("Z"), window=window))
    refused_at_once(exr, tmp_path / "a.exr")


@needs_package
def test_damaged_files_are_read_or_refused(tmp_path):
    counts = hundreds(exr, [exr_of(values("Z")), exr_of(values("R", "G", "B"))], tmp_path / "a.exr", 300)
    assert counts["refused"] > 50


def test_damaged_headers_are_refused(tmp_path):
    data = exr_of(values("R", "G", "B"))
    for end in range(0, data.index(b"screenWindowWidth") + 30, 3):
        (tmp_path / "a.exr").write_bytes(data[:end])
        with pytest.raises(UserError):
            exr.facts(str(tmp_path / "a.exr"), ANY)
