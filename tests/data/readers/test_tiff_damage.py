"""TIFF files that are damaged, forged or of a kind that is not read: a sentence, at once."""

import importlib.util
import io
import struct

import numpy as np
import pytest

from ssl_keras.data.readers import tiff
from ssl_keras.data.readers.contract import ReadOptions
from ssl_keras.errors import UserError
from tests.data.readers.damage import hundreds, refused_at_once
from tests.data.readers.tiff_files import ANY, bytes_at, only, tifffile, values, written
from tests.data.test_tiff import GRAY, PALETTE, RGB, numbers
from tests.data.tiffs import LZW, NONE, PACKBITS, ZIP, ZSTD
from tests.data.tiffs import tiff as tiff_of


def test_parts_that_were_never_written(tmp_path):
    array = values("uint16", (64, 64))
    array[:32, :32] = 0
    for tag, is_read in (([(42113, "s", 0, "0", True)], True), ([], False)):
        path = written(tmp_path / "a.tif", array, tile=(32, 32), extratags=tag, metadata=None)
        data = bytearray(path.read_bytes())
        with tifffile.TiffFile(path) as file:
            for code in (324, 325):
                at = file.pages[0].tags[code].valueoffset
                size = 4 if file.pages[0].tags[code].dtype == 4 else 2
                data[at : at + size] = bytes(size)
        bytes_at(tmp_path / "b.tif", bytes(data))
        if is_read:
            picture = only(tmp_path / "b.tif")
            np.testing.assert_array_equal(picture.pixels[..., 0], array)
            assert not picture.valid[:32, :32].any()
        else:
            with pytest.raises(UserError, match="left out"):
                tiff.facts(str(tmp_path / "b.tif"), ANY)


def patched(data, tag, value):
    """A little-endian classic TIFF with another number in a tag of its first directory."""
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    data = bytearray(data)
    for k in range(count):
        code, kind = struct.unpack_from("<HH", data, at + 2 + 12 * k)
        if code == tag:
            struct.pack_into("<I" if kind == 4 else "<H", data, at + 2 + 12 * k + 8, value)
            return bytes(data)
    raise KeyError(tag)


@pytest.mark.parametrize(
    "tags", [{256: 60000, 257: 60000}, {256: 65535, 257: 900}, {277: 60000}, {258: 64, 257: 60000}]
)
@pytest.mark.parametrize("packing", [NONE, LZW, ZIP])
def test_forged_sizes_are_refused_at_once(tmp_path, tags, packing):
    data = tiff_of(numbers(16), 16, GRAY, packing=packing)
    for tag, value in tags.items():
        data = patched(data, tag, value)
    path = bytes_at(tmp_path / "a.tif", data)
    refused_at_once(tiff, path, ReadOptions(max_bytes=2**36))
    refused_at_once(tiff, path)


def test_forged_tiles_circles_and_counts_are_refused_at_once(tmp_path):
    tiles = tiff_of(numbers(16), 16, GRAY, packing=LZW, tile=(32, 48))
    forged = bytes_at(tmp_path / "a.tif", patched(patched(tiles, 322, 65520), 323, 65520))
    refused_at_once(tiff, forged)
    data = tiff_of(numbers(16), 16, GRAY)
    (at,) = struct.unpack_from("<I", data, 4)
    assert "circle" in refused_at_once(tiff, bytes_at(tmp_path / "a.tif", data[:-4] + struct.pack("<I", at)))
    ring, size = b"", 18
    for k in range(500):  # a circle that begins behind page 200
        after = 8 + size * (k + 1) if k < 499 else 8 + size * 200
        ring += struct.pack("<HHHIII", 1, 256, 4, 1, 4, after)
    assert "circle" in refused_at_once(tiff, bytes_at(tmp_path / "a.tif", b"II*\0\x08\0\0\0" + ring))
    many = b"II*\0\x08\0\0\0" + struct.pack("<H", 4000)
    for _ in range(4000):  # each of which names the same megabyte
        many += struct.pack("<HHII", 273, 4, 2**18, 100)
    many += bytes(4 + 2**20)
    assert "overlap" in refused_at_once(tiff, bytes_at(tmp_path / "a.tif", many))


def test_a_tile_that_calls_itself_larger_is_not_decoded(tmp_path):
    for packing in ("jpeg", "jpeg2000"):
        array = values("uint8", (64, 64))
        data = written(tmp_path / "a.tif", array, compression=packing, tile=(64, 64), metadata=None).read_bytes()
        mark, at, size = (b"\xff\xc0\0\x0b\x08", 5, 2) if packing == "jpeg" else (b"\xff\x4f\xff\x51", 8, 4)
        place = data.index(mark)
        forged = data[: place + at] + (30000).to_bytes(size, "big") + data[place + at + size :]
        path = bytes_at(tmp_path / "b.tif", forged)
        with pytest.raises(UserError, match=r"a tile of 64 x 64, .* that holds"):
            tiff.read(str(path), 0, ANY)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tiff_of(numbers(8, 3), 8, 8), "TIFF in CIELab colors"),
        (tiff_of(numbers(8, 3), 8, RGB, t259=(34676,)), "TIFF of the packing 34676"),
        (tiff_of(numbers(8, 3), 8, RGB, t258=(5, 6, 5)), "TIFF of .5, 6, 5. bits"),
        (tiff_of(numbers(8), 8, GRAY, t256=(0,)), "damaged TIFF: it does not say its size"),
        (tiff_of(numbers(8), 8, GRAY)[:300], "damaged TIFF: it is cut off"),
        (tiff_of(numbers(8), 8, GRAY, t257=(600,), rows=600), "damaged TIFF: it is cut off"),
        (tiff_of(numbers(8), 8, PALETTE), "damaged TIFF: it lacks its color table"),
        (tiff_of(numbers(8), 8, GRAY, packing=LZW).replace(b"\x80", b"\xff"), "damaged TIFF"),
        (tiff_of(numbers(8), 8, GRAY, t32997=(3,)), "TIFF of a volume"),
        (b"II*\0\x08\0\0\0", "damaged TIFF: it is cut off"),
        (b"II*\0", "damaged TIFF"),
        (b"II+\0", "damaged TIFF"),
        (b"", "damaged TIFF: it does not begin like one"),
    ],
)
def test_what_is_not_read_is_said_why(tmp_path, data, reason):
    path = bytes_at(tmp_path / "a.tif", data)
    with pytest.raises(UserError, match=f"^{reason}") as error:
        tiff.read(str(path), 0, ANY)
    assert "\n" not in str(error.value)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match="it cannot be opened: No such file"):
        tiff.facts(str(tmp_path / "none.tif"), ANY)
    with pytest.raises(UserError, match="it cannot be opened: Is a directory"):
        tiff.facts(str(tmp_path), ANY)


def test_too_large_for_the_user(tmp_path):
    path = str(written(tmp_path / "a.tif", values("uint16", (100, 100))))
    with pytest.raises(UserError, match=r"^too large.*--max_image_bytes=19999"):
        tiff.facts(path, ReadOptions(max_bytes=19_999))
    assert tiff.facts(path, ReadOptions(max_bytes=20_000)).shape == (100, 100, 1)


def test_missing_packages_are_named(tmp_path, monkeypatch):
    path = str(written(tmp_path / "a.tif", values("uint16"), compression="lzw"))
    find = importlib.util.find_spec
    for name in tiff.PACKAGES:
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda asked, name=name: None if asked == name else find(asked)
        )
        with pytest.raises(UserError, match=f"this needs the package {name}: pip install {name}"):
            tiff.facts(path, ANY)


def seeds():
    found = [
        tiff_of(numbers(16, 3), 16, RGB, packing=LZW, predictor=2, tile=(16, 16)),
        tiff_of(numbers(12, 3), 12, RGB, packing=PACKBITS, rows=5, planar=True),
        tiff_of(numbers(8), 8, PALETTE, ">", t320=tuple(range(768))),
        tiff_of(numbers(16, 2), 16, GRAY, packing=ZSTD, t338=(2,), big=True),
    ]
    array = values("uint16", (2, 3, 20, 30))
    for how in (
        {"ome": True, "metadata": {"axes": "ZCYX"}},
        {"imagej": True, "metadata": {"axes": "ZCYX"}},
        {"truncate": True, "metadata": {"axes": "ZCYX"}, "photometric": "minisblack"},
        {"compression": "jpeg2000", "metadata": {"axes": "ZCYX"}, "photometric": "minisblack"},
    ):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, array, **how)
        found.append(buffer.getvalue())
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values("uint8", (32, 48, 3)), compression="jpeg", photometric="rgb")
    found.append(buffer.getvalue())
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer, values("float32"), compression="zlib", predictor=True, extratags=[(42113, "s", 0, "-1", True)]
    )
    return [*found, buffer.getvalue()]


def test_damaged_files_are_read_or_refused(tmp_path):
    counts = hundreds(tiff, seeds(), tmp_path / "a.tif", 400)
    assert counts["read"] > 20 and counts["refused"] > 100


def test_what_a_file_begins_with():
    for data in seeds():
        assert tiff.is_one(data[:4096])
    assert not tiff.is_one(b"\x89PNG\r\n\x1a\n") and not tiff.is_one(b"")
