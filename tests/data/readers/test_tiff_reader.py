"""The TIFF reader against tifffile, on real files and on files of every kind."""

import numpy as np
import pytest
from PIL import Image

from ssl_keras.data.formats.tiff import tiff_pixels
from ssl_keras.data.readers import tiff
from ssl_keras.errors import UserError
from tests.data.readers.tiff_files import ANY, bytes_at, only, tifffile, values, written
from tests.data.test_tiff import CMYK, GRAY, LAYOUTS, PALETTE, RGB, WHITE_IS_ZERO, numbers, spread
from tests.data.tiffs import LZW, NONE, PACKBITS, ZIP, ZSTD
from tests.data.tiffs import tiff as tiff_of

ODD = {"int8": np.int16, "float16": np.float32, "float64": np.float32, "uint32": np.int32, "int64": np.int32}
CONTIG = {"photometric": "minisblack", "planarconfig": "contig"}


def test_real_files(real_data):
    paths = [*real_data.glob("satellite/**/*.tif"), *real_data.glob("microscopy/**/*.tif")]
    assert len(paths) > 75
    for path in paths:
        picture = only(path)
        np.testing.assert_array_equal(picture.pixels.squeeze(), tifffile.imread(path))
        if "EuroSAT" in str(path):
            assert picture.pixels.shape == (64, 64, 13)
        if "BigEarthNet-S2" in str(path):
            np.testing.assert_array_equal(picture.valid, picture.pixels[..., 0] != 0)


def test_real_files_as_the_other_reader_has_them(real_data):
    agreeing = 0
    for path in [*real_data.glob("satellite/**/*.tif"), *real_data.glob("microscopy/**/*.tif")]:
        try:
            expected = tiff_pixels(path.read_bytes())
        except UserError:
            continue
        np.testing.assert_array_equal(only(path).pixels, expected)
        agreeing += 1
    assert agreeing > 60


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    "dtype",
    ["uint8", "int8", "uint16", "int16", "int32", "uint32", "int64", "float16", "float32", "float64"],
)
def test_every_dtype(tmp_path, dtype, order):
    array = values(dtype, (33, 47, 5))
    for how in ({}, {"tile": (16, 32)}, {"bigtiff": True}, {"planarconfig": "separate"}, {"rowsperstrip": 7}):
        array_there = np.moveaxis(array, -1, 0) if "planarconfig" in how else array
        path = written(tmp_path / "a.tif", array_there, byteorder=order, **CONTIG | how)
        found = only(path).pixels
        assert found.dtype == ODD.get(dtype, dtype)
        np.testing.assert_array_equal(found, array.astype(found.dtype))


@pytest.mark.parametrize("packing", ["lzw", "zlib", "zstd", "packbits", "lzma", "jpeg2000"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_every_packing(tmp_path, packing, dtype):
    if packing == "jpeg2000" and dtype == "float32":
        pytest.skip("JPEG 2000 has whole numbers")
    predictors = (False, True) if packing in ("lzw", "zlib", "zstd", "lzma") else (False,)
    how = {"compressionargs": {"reversible": True, "level": 0}} if packing == "jpeg2000" else {}
    for count in (1, 3, 13) if packing != "jpeg2000" else (1, 3):
        array = values(dtype, (40, 48, count)[: 2 + (count > 1)])
        for predictor in predictors:
            for tile in ({}, {"tile": (16, 16)}):
                arguments = {"compression": packing, "predictor": predictor, **CONTIG, **tile, **how}
                path = written(tmp_path / "a.tif", array, **arguments)
                np.testing.assert_array_equal(only(path).pixels.squeeze(), array)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8, 10, 12, 14, 16])
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, GRAY])
def test_gray_of_any_bits_is_as_stored(tmp_path, photometric, bits, order):
    samples = numbers(bits)
    for fill_order in (1, 2):
        data = tiff_of(samples, bits, photometric, order, fill_order=fill_order, rows=4)
        found = only(bytes_at(tmp_path / "a.tif", data)).pixels
        np.testing.assert_array_equal(found, samples if photometric == GRAY else 2**bits - 1 - samples)
        np.testing.assert_array_equal(spread(found.astype(int), bits), tiff_pixels(data))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("packing", [NONE, LZW, ZIP, PACKBITS, ZSTD])
def test_layouts_as_the_other_reader_has_them(tmp_path, packing, layout):
    for bits, count in ((8, 3), (16, 3), (4, 1), (12, 3)):
        if packing == ZIP and bits not in (8, 16):
            continue
        data = tiff_of(numbers(bits, count), bits, RGB if count == 3 else GRAY, packing=packing, **LAYOUTS[layout])
        found = only(bytes_at(tmp_path / "a.tif", data)).pixels
        np.testing.assert_array_equal(found, numbers(bits, count))
        np.testing.assert_array_equal(spread(found.astype(int), bits), tiff_pixels(data))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_colour_tables_and_inks_as_the_other_reader_has_them(tmp_path, orientation):
    table = tuple(int(value) for value in np.random.default_rng(0).integers(0, 65536, 3 * 256))
    for data in (
        tiff_of(numbers(16, 3), 16, RGB, t274=(orientation,)),
        tiff_of(numbers(8), 8, PALETTE, t320=table, t274=(orientation,)),
        tiff_of(numbers(8, 4), 8, CMYK, t274=(orientation,)),
        tiff_of(numbers(16, 4), 16, CMYK, t274=(orientation,), packing=LZW),
    ):
        np.testing.assert_array_equal(only(bytes_at(tmp_path / "a.tif", data)).pixels, tiff_pixels(data))


@pytest.mark.parametrize("packing", ["group3", "group4", "tiff_ccitt", None])
def test_fax_pages(tmp_path, packing):
    page = Image.fromarray(numbers(1)[..., 0] > 0)
    page.save(tmp_path / "a.tif", "TIFF", compression=packing)
    expected = tiff_pixels((tmp_path / "a.tif").read_bytes())
    np.testing.assert_array_equal(spread(only(tmp_path / "a.tif").pixels.astype(int), 1), expected)


@pytest.mark.parametrize("mode", ["L", "RGB", "YCbCr"])
def test_jpeg_within_tiff(tmp_path, mode):
    y, x = np.mgrid[0:32, 0:48]
    image = Image.fromarray(np.stack([4 * x, 7 * y, 200 - 3 * x], -1).astype(np.uint8)).convert(mode)
    image.save(tmp_path / "a.tif", "TIFF", compression="jpeg")
    found = only(tmp_path / "a.tif").pixels.astype(int)
    assert np.abs(found - tiff_pixels((tmp_path / "a.tif").read_bytes())).max() <= 2


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, GRAY, RGB])
def test_alpha_is_over_white_and_tells_what_is_there(tmp_path, photometric, bits):
    most = 2**bits - 1
    straight = numbers(bits, 4 if photometric == RGB else 2)
    straight[:5, ..., -1] = 0
    colour, alpha = straight[..., :-1], straight[..., -1:] / most
    shown = most - colour if photometric == WHITE_IS_ZERO else colour
    multiplied = np.concatenate([np.round(colour * alpha).astype(int), straight[..., -1:]], -1)
    for samples, kind in ((straight, 2), (multiplied, 1)):
        path = bytes_at(tmp_path / "a.tif", tiff_of(samples, bits, photometric, t338=(kind,)))
        picture = only(path)
        assert np.abs(picture.pixels - (most + (shown - most) * alpha)).max() <= 1
        np.testing.assert_array_equal(picture.valid, straight[..., -1] > 0)
    straight[..., -1] = most
    for more in ({"t338": (2,)}, {} if photometric == RGB else {"t338": (1,)}):
        picture = only(bytes_at(tmp_path / "a.tif", tiff_of(straight, bits, photometric, **more)))
        np.testing.assert_array_equal(picture.pixels, shown)
        assert picture.valid is None


def test_a_fourth_sample_that_may_be_a_band_is_refused(tmp_path):
    path = bytes_at(tmp_path / "a.tif", tiff_of(numbers(16, 4), 16, RGB))
    with pytest.raises(UserError, match="transparency or a band"):
        tiff.read(str(path), 0, ANY)
    bands = bytes_at(tmp_path / "b.tif", tiff_of(numbers(16, 4), 16, RGB, t338=(0,)))
    np.testing.assert_array_equal(only(bands).pixels, numbers(16, 4))


@pytest.mark.parametrize(
    ("dtype", "nodata", "value"),
    [
        ("uint16", "0", 0),
        ("int16", "-9999", -9999),
        ("float32", "nan", np.nan),
        ("float32", "-3.4028234663852886e+38", -3.4028234663852886e38),
        ("float64", "-1.7976931348623157e+308", -1.7976931348623157e308),
        ("float32", "-9999,5", -9999.5),
        ("int32", "-2147483648", -(2**31)),
    ],
)
def test_nodata(tmp_path, dtype, nodata, value):
    array = values(dtype, (20, 30, 2))
    array[:4, :7] = value
    array[8, 8, 0] = value  # in one band alone: measured
    tag = [(42113, "s", 0, nodata, True)]
    picture = only(written(tmp_path / "a.tif", array, extratags=tag, **CONTIG))
    expected = np.ones((20, 30), bool)
    expected[:4, :7] = False
    if nodata == "nan":  # which says so by itself
        assert picture.valid is None
    else:
        np.testing.assert_array_equal(picture.valid, expected)
    for odd in ("none", "1e99", "70000.5", "-1"):
        array = values("uint16")
        tag = [(42113, "s", 0, odd, True)]
        picture = only(written(tmp_path / "b.tif", array, extratags=tag))
        np.testing.assert_array_equal(picture.pixels[..., 0], array)
        assert picture.valid is None or picture.valid.all()


def test_georeference_gives_the_spacing(tmp_path):
    path = written(tmp_path / "a.tif", values("uint16"), extratags=[(33550, "d", 3, (10.0, 20.0, 0.0), True)])
    assert tiff.facts(str(path), ANY).spacing == (20.0, 10.0)


def test_numbers_that_do_not_fit(tmp_path):
    array = np.array([[2**31]], np.uint32)
    with pytest.raises(UserError, match="it holds uint32 from 2147483648"):
        tiff.read(str(written(tmp_path / "a.tif", array)), 0, ANY)
    with pytest.raises(UserError, match="float64 beyond"):
        tiff.read(str(written(tmp_path / "a.tif", np.full((3, 3), 1e300))), 0, ANY)
    with pytest.raises(UserError, match="which is not read"):
        tiff.read(str(written(tmp_path / "a.tif", np.ones((3, 3), np.complex64))), 0, ANY)


def test_a_file_that_changes_is_read_anew(tmp_path):
    for height in (20, 30):
        path = written(tmp_path / "a.tif", values("uint16", (height, 40)))
        assert tiff.facts(str(path), ANY).shape == (height, 40, 1)
