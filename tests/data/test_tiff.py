"""TIFF of every kind: the right pixels, or the reason why not."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from ssl_keras.data.formats.decode import decode
from ssl_keras.data.formats.tiff import tiff_pixels
from ssl_keras.data.formats.transcode import decodable
from ssl_keras.data.sources import open_source
from tests.data.tiffs import LZW, NONE, PACKBITS, ZIP, ZSTD, file_of, tiff

WHITE_IS_ZERO, GRAY, RGB, PALETTE, CMYK = 0, 1, 2, 3, 5
LAYOUTS = {
    "strip": {},
    "strips": {"rows": 5},
    "tiles": {"tile": (16, 32)},
    "planes": {"planar": True, "rows": 7},
    "planes of tiles": {"planar": True, "tile": (32, 16)},
}


def without(data, tag):
    """The file with 0 as the value of a tag."""
    at = data.rindex(struct.pack("<HHI", tag, 3, 1)) + 8
    return data[:at] + b"\0\0" + data[at + 2 :]


def numbers(bits, count=1, height=21, width=37):
    return np.random.default_rng(bits).integers(0, 2**bits, (height, width, count))


def spread(samples, bits):
    most, dtype = (255, np.uint8) if bits <= 8 else (65535, np.uint16)
    return np.round(samples * most / (2**bits - 1)).astype(dtype)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8, 10, 12, 14, 16])
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, GRAY])
def test_gray_of_any_bits(photometric, bits, order):
    samples = numbers(bits)
    expected = spread(samples if photometric == GRAY else 2**bits - 1 - samples, bits)
    for fill_order in (1, 2):
        found = tiff_pixels(tiff(samples, bits, photometric, order, fill_order=fill_order, rows=4))
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("packing", [NONE, LZW, ZIP, PACKBITS, ZSTD])
@pytest.mark.parametrize("bits", [8, 16])
def test_colour_in_any_layout(bits, packing, layout):
    samples = numbers(bits, 3)
    for order in "<>":
        for predictor in (1, 2) if packing in (LZW, ZIP, ZSTD) else (1,):
            data = tiff(samples, bits, RGB, order, packing, predictor, **LAYOUTS[layout])
            np.testing.assert_array_equal(tiff_pixels(data), samples.astype(f"u{bits // 8}"))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("bits", "count"), [(1, 1), (4, 1), (12, 3)])
def test_bits_that_fill_no_bytes_in_any_layout(bits, count, layout):
    samples = numbers(bits, count)
    for packing in (NONE, LZW, PACKBITS):
        data = tiff(samples, bits, RGB if count == 3 else GRAY, packing=packing, **LAYOUTS[layout])
        np.testing.assert_array_equal(tiff_pixels(data), spread(samples, bits))


def test_bigtiff_and_reversed_bits_of_packed_data():
    samples = numbers(16, 3)
    np.testing.assert_array_equal(tiff_pixels(tiff(samples, 16, RGB, packing=LZW, predictor=2, big=True)), samples)
    for packing in (LZW, PACKBITS, ZIP):
        np.testing.assert_array_equal(tiff_pixels(tiff(samples, 16, RGB, packing=packing, fill_order=2)), samples)
    with pytest.raises(ValueError, match="BigTIFF of the big-endian kind"):
        tiff_pixels(tiff(samples, 16, RGB, ">", big=True))


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("factor", [257, 256, 1])
def test_palette_of_sixteen_bit_colours(bits, factor):
    samples = numbers(bits)
    table = np.random.default_rng(0).integers(0, 256, (2**bits, 3))
    table[0] = 255
    data = tiff(samples, bits, PALETTE, t320=tuple(int(v) for v in (table * factor).T.ravel()))
    np.testing.assert_array_equal(tiff_pixels(data), table[samples[..., 0]])


@pytest.mark.parametrize("bits", [8, 16])
def test_inks(bits):
    samples = numbers(bits, 4)
    paper = 1 - samples / (2**bits - 1)
    expected = np.round(paper[..., :3] * paper[..., 3:] * (2**bits - 1))
    np.testing.assert_array_equal(tiff_pixels(tiff(samples, bits, CMYK, packing=LZW)), expected)
    with pytest.raises(ValueError, match="not CMYK"):
        tiff_pixels(tiff(samples, bits, CMYK, t332=(2,)))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, GRAY, RGB])
def test_alpha_is_over_white(photometric, bits):
    most = 2**bits - 1
    straight = numbers(bits, 4 if photometric == RGB else 2)
    colour, alpha = straight[..., :-1], straight[..., -1:] / most
    shown = most - colour if photometric == WHITE_IS_ZERO else colour
    expected = np.broadcast_to(most + (shown - most) * alpha, (21, 37, colour.shape[-1]))
    multiplied = np.concatenate([np.round(colour * alpha).astype(int), straight[..., -1:]], -1)
    for samples, kind in ((straight, 2), (multiplied, 1)):
        png = decodable(tiff(samples, bits, photometric, t338=(kind,)))
        found = decode(png, colour.shape[-1], f"uint{bits}").numpy().astype(float)
        assert np.abs(found - expected).max() <= 1.5
    if photometric == RGB:
        np.testing.assert_array_equal(tiff_pixels(tiff(straight, bits, RGB)), straight)  # alpha, without a word
        np.testing.assert_array_equal(tiff_pixels(tiff(straight, bits, RGB, t338=(0,))), colour)  # of no known kind


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_holds_for_every_kind(orientation):
    samples = numbers(16, 3)
    upright = ImageOps.exif_transpose(tagged(Image.fromarray((samples >> 8).astype(np.uint8)), orientation))
    for extra in ({}, {"tile": (16, 16), "packing": LZW}, {"planar": True}):
        found = tiff_pixels(tiff(samples, 16, RGB, t274=(orientation,), **extra))
        np.testing.assert_array_equal(found >> 8, np.asarray(upright))
    np.testing.assert_array_equal(tiff_pixels(tiff(samples >> 8, 8, RGB, t274=(orientation,))), np.asarray(upright))
    page = Image.fromarray(samples[..., 0] > 30000)
    expected = np.asarray(ImageOps.exif_transpose(tagged(page, orientation)).convert("L"))
    for packing in ("group3", "group4", "tiff_ccitt"):
        found = tiff_pixels(written(page, packing, {274: orientation}))
        np.testing.assert_array_equal(found[..., 0], expected)
    smooth = Image.fromarray(np.linspace(0, 255, 40 * 24 * 3).reshape(24, 40, 3).astype(np.uint8))
    found = tiff_pixels(written(smooth, "jpeg", {274: orientation})).astype(int)
    assert np.abs(found - np.asarray(ImageOps.exif_transpose(tagged(smooth, orientation)))).max() < 12


def tagged(image, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    return Image.open(buffer)


def written(image, packing, tags=None):
    buffer = io.BytesIO()
    image.save(buffer, "TIFF", compression=packing, tiffinfo=tags or {})
    return buffer.getvalue()


@pytest.mark.parametrize("packing", ["group3", "group4", "tiff_ccitt", None])
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, GRAY])
def test_fax_pages(photometric, packing):
    page = Image.fromarray(numbers(1)[..., 0] > 0)
    data = written(page, packing, {262: photometric})
    np.testing.assert_array_equal(tiff_pixels(data)[..., 0], np.asarray(page.convert("L")))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1"])
def test_what_pillow_writes(tmp_path, mode):
    image = Image.fromarray(numbers(8, 3).astype(np.uint8)).convert(mode)
    image.save(tmp_path / "a.tif")
    found = decode(open_source(f"folder:{tmp_path}").read(0), 3, "uint8")
    np.testing.assert_array_equal(found, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "YCbCr"])
def test_jpeg_within_tiff(mode):
    y, x = np.mgrid[0:32, 0:48]
    image = Image.fromarray(np.stack([4 * x, 7 * y, 200 - 3 * x], -1).astype(np.uint8)).convert(mode)
    found = tiff_pixels(written(image, "jpeg")).astype(int)
    expected = np.asarray(image.convert("L" if mode == "L" else "RGB")).reshape(32, 48, -1)
    assert np.abs(found - expected).mean() < 3


def test_several_pages_are_refused_and_a_smaller_copy_is_none():
    pages = [Image.new("L", (4, 3), value) for value in (10, 20, 30)]
    buffer = io.BytesIO()
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match="TIFF of 3 pages: set --pages=channels, images or first"):
        tiff_pixels(buffer.getvalue())
    buffer = io.BytesIO()
    for page in pages[1:]:
        page.encoderinfo = {"tiffinfo": {254: 1}}
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    assert (tiff_pixels(buffer.getvalue()) == 10).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tiff(numbers(8), 32, GRAY, t339=(3,)), "TIFF of 32-bit floats: expected whole numbers of 1 to 16 bits"),
        (tiff(numbers(8), 16, GRAY, t339=(3,)), "TIFF of 16-bit floats"),
        (tiff(numbers(8), 16, GRAY, t339=(2,)), "TIFF of 16-bit signed whole numbers: .*save it as .npy"),
        (tiff(numbers(8), 8, GRAY, t339=(2,)), "TIFF of 8-bit signed"),
        (tiff(numbers(8), 32, GRAY), "TIFF of 32-bit whole numbers"),
        (tiff(numbers(16, 5), 16, GRAY), r"TIFF of 5 bands.*\[N, H, W, 5\]"),
        (tiff(numbers(8, 5), 8, RGB, t338=(0, 0)), "TIFF of 5 bands"),
        (tiff(numbers(8, 13), 8, GRAY, planar=True), "TIFF of 13 bands"),
        (tiff(numbers(8, 2), 8, GRAY, t338=(0,)), "TIFF of 2 bands"),
        (tiff(numbers(8, 3), 8, 8), "TIFF in CIELab colors"),
        (tiff(numbers(8, 3), 8, 6), "TIFF in YCbCr colors"),
        (tiff(numbers(8, 3), 8, RGB, t259=(34676,)), "TIFF of the packing 34676"),
        (tiff(numbers(8, 3), 8, RGB, t258=(5, 6, 5)), "TIFF of 5 and 6 bits"),
        (tiff(numbers(8), 8, GRAY, t317=(3,), packing=ZIP), "TIFF of 8 bits with the predictor 3"),
        (tiff(numbers(8), 8, GRAY, t256=(0,)), "damaged TIFF: it does not say its size"),
        (tiff(numbers(8), 8, GRAY)[:300], "damaged TIFF"),
        (tiff(numbers(8), 8, GRAY, t257=(600,), rows=600), "damaged TIFF: it is cut off"),
        (tiff(numbers(8), 8, GRAY, t257=(60000,), t256=(3000,)), "too large: 180.0 megapixels.*--max_megapixels=178"),
        (tiff(numbers(8), 8, GRAY, packing=LZW).replace(b"\x80", b"\xff"), "damaged TIFF"),
        (tiff(numbers(8), 8, PALETTE), "damaged TIFF: it lacks the tag 320"),
        (file_of(b"", {256: (4,), 257: (4,), 258: (8,)}, {}), "damaged TIFF: it lacks the tag 273"),
        (without(tiff(numbers(8), 8, GRAY), 278), r"damaged TIFF: it has strips or tiles of \d+ x 0"),
        (without(tiff(numbers(8), 8, GRAY, tile=(16, 16)), 322), "damaged TIFF: it has strips or tiles of 0 x 16"),
        (b"II*\0\x08\0\0\0", "damaged TIFF"),
        (b"II*\0", "damaged TIFF"),
    ],
)
def test_what_is_not_read_is_said_why(data, reason):
    with pytest.raises(ValueError, match=f"^{reason}") as error:
        tiff_pixels(data)
    assert "\n" not in str(error.value) and "\t" not in str(error.value)


def test_pixels_reach_the_canvas(tmp_path):
    samples = numbers(16)
    found = decode(decodable(tiff(samples, 16, WHITE_IS_ZERO, ">")), 1, "uint16")
    np.testing.assert_array_equal(found, 65535 - samples)
    assert found.dtype == tf.uint16
