"""Pixels from every kind of file, against Pillow and against known values."""

import functools
import io
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from ssl_keras.data.formats.decode import convert, decode, from_array, to_canvas
from tests.data.odd_folder import BROKEN

RNG = np.random.default_rng(0)


def encoded(pixels, form, **options):
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, form, **options)
    return buffer.getvalue()


def smooth(height=24, width=40):
    """A picture that JPEG keeps well and that looks different from every side: uint8 [H, W, 3]."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([4 * x, 8 * y, 100 + x - y], -1).clip(0, 255).astype(np.uint8)


@functools.cache
def traced(channels, dtype):
    signature = [tf.TensorSpec([], tf.string)]
    return tf.function(lambda data: decode(data, channels, dtype), input_signature=signature)


def in_graph(data, channels, dtype):
    """Through a traced function, as in training and in an exported model."""
    return traced(channels, dtype)(data).numpy()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_orientation_is_applied_as_pillow_does(orientation, order):
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F] = "a maker"
    exif[0x0112] = orientation
    data = encoded(smooth(), "JPEG", exif=exif.tobytes(), quality=95)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    found = in_graph(data, 3, "uint8")
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 3


def test_exif_is_found_behind_other_segments():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(smooth(24, 40), "JPEG", exif=exif.tobytes())
    comment = b"\xff\xfe" + (302).to_bytes(2, "big") + b"Exif" + bytes(296)
    profile = b"\xff\xe2" + (65535).to_bytes(2, "big") + b"ICC_PROFILE\0" + bytes(65521)
    assert in_graph(data[:2] + comment + profile + data[2:], 3, "uint8").shape == (40, 24, 3)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"MM",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0",
    ],
    ids=["nothing", "half", "beyond the end", "too many entries", "orientation 9"],
)
def test_damaged_exif_leaves_the_image_as_stored(body):
    data = encoded(smooth(), "JPEG")
    segment = b"\xff\xe1" + (len(body) + 8).to_bytes(2, "big") + b"Exif\0\0" + body
    assert in_graph(data[:2] + segment + data[2:], 3, "uint8").shape == (24, 40, 3)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1"])
def test_png_equals_pillow_over_white(mode):
    image = Image.fromarray(RNG.integers(0, 256, (9, 7, 4), dtype=np.uint8)).convert(mode)
    rgba = np.asarray(image.convert("RGBA")).astype(float)
    expected = 255 + (rgba[..., :3] - 255) * rgba[..., 3:] / 255
    found = in_graph(encoded(image, "PNG"), 3, "uint8")
    assert np.abs(found - expected).max() <= 0.51


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("palette", [False, True])
def test_png_of_few_bits_spans_the_whole_range(bits, palette):
    levels = RNG.integers(0, 2**bits, (5, 8), dtype=np.uint8)
    image = Image.fromarray(levels, "P")
    image.putpalette([value * 255 // (2**bits - 1) for value in range(2**bits) for _ in range(3)])
    data = encoded(image, "PNG", bits=bits)
    if not palette:  # the same bits, read as gray levels
        packed = data[data.index(b"IDAT") - 4 : data.index(b"IEND") - 4]
        header = b"IHDR" + data[16:25] + b"\0" + data[26:29]
        data = data[:12] + header + zlib.crc32(header).to_bytes(4, "big") + packed + data[data.index(b"IEND") - 4 :]
    expected = levels.astype(int) * 255 // (2**bits - 1)
    for channel in range(3):
        np.testing.assert_array_equal(in_graph(data, 3, "uint8")[..., channel], expected)


def test_transparent_entry_of_a_small_palette_is_white():
    image = Image.fromarray(np.array([[0, 1, 2, 3]], np.uint8), "P")
    image.putpalette([255, 0, 255, 10, 20, 30, 40, 50, 60, 70, 80, 90])
    data = encoded(image, "PNG", bits=2, transparency=0)
    expected = [[(255, 255, 255), (10, 20, 30), (40, 50, 60), (70, 80, 90)]]
    np.testing.assert_array_equal(in_graph(data, 3, "uint8"), expected)


def test_sixteen_bit_png_keeps_its_values():
    gray = RNG.integers(0, 65536, (9, 7), dtype=np.uint16)
    found = in_graph(encoded(gray, "PNG"), 1, "uint16")
    np.testing.assert_array_equal(found[..., 0], gray)
    np.testing.assert_array_equal(in_graph(encoded(gray, "PNG"), 1, "uint8")[..., 0], np.round(gray / 257))

    colour = RNG.integers(0, 65536, (9, 7, 3), dtype=np.uint16)
    data = tf.io.encode_png(colour).numpy()
    np.testing.assert_array_equal(in_graph(data, 3, "uint16"), colour)
    np.testing.assert_allclose(in_graph(data, 3, "float32"), colour / 65535.0, atol=1e-6)


def test_eight_bit_values_span_sixteen_bits():
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(in_graph(encoded(gray, "PNG"), 1, "uint16")[..., 0], gray.astype(np.uint16) * 257)


@pytest.mark.parametrize("form", ["GIF", "BMP", "WEBP"])
def test_other_formats_equal_pillow(form):
    image = Image.fromarray(RNG.integers(0, 256, (9, 7, 3), dtype=np.uint8))
    data = encoded(image, form, **({"lossless": True} if form == "WEBP" else {}))
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(in_graph(data, 3, "uint8"), expected)


def test_transparent_webp_is_over_white():
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :4] = (10, 20, 30, 255)
    found = in_graph(encoded(pixels, "WEBP", lossless=True, exact=True), 3, "uint8")
    assert (found[:, :4] == (10, 20, 30)).all() and (found[:, 4:] == 255).all()


def test_gray_and_colour_become_each_other():
    gray = RNG.integers(0, 256, (9, 7), dtype=np.uint8)
    np.testing.assert_array_equal(in_graph(encoded(gray, "PNG"), 3, "uint8"), np.repeat(gray[..., None], 3, -1))
    colour = smooth()
    luma = np.round(colour @ np.array([0.299, 0.587, 0.114]))
    assert np.abs(in_graph(encoded(colour, "PNG"), 1, "uint8")[..., 0] - luma).max() <= 1
    depth = RNG.integers(0, 65536, (4, 4, 1), dtype=np.uint16)
    np.testing.assert_array_equal(from_array(tf.constant(depth), 3, "uint16"), np.repeat(depth, 3, -1))
    with pytest.raises(ValueError, match="5 channels"):
        convert(tf.zeros([4, 4, 5], tf.uint8), 3, "uint8")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP"])
def test_cut_off_files_fail(form):
    data = encoded(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8), form)
    for part in (data[: len(data) * 6 // 10], data[:12], b"", b"only text"):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(part, 3, "uint8")


def test_canvas_of_its_own_size_is_the_image():
    image = tf.constant(RNG.integers(0, 65536, (8, 8, 2), dtype=np.uint16))
    np.testing.assert_array_equal(to_canvas(image, 8), image)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_canvas_is_squashed_with_antialiasing(dtype):
    # Stripes of one pixel average to gray; without antialiasing they would alias to one of the two colors.
    high = {"uint8": 200, "uint16": 50_000, "float32": 0.8}[dtype]
    image = np.zeros((40, 64, 1), dtype)
    image[:, ::2] = high
    canvas = to_canvas(tf.constant(image), 8).numpy()
    assert canvas.shape == (8, 8, 1) and canvas.dtype == dtype
    # Only at the border is the kernel cut to an odd number of stripes.
    np.testing.assert_allclose(canvas[:, 1:-1] / high, 0.5, atol=0.01)


def test_constant_stays_constant():
    image = tf.fill([1, 3, 3], tf.constant(65535, tf.uint16))
    assert (to_canvas(image, 16).numpy() == 65535).all()


@pytest.mark.parametrize("value", [-0.1, 1.5, np.nan, np.inf])
def test_float_images_outside_the_unit_range_fail(value):
    image = np.full((4, 4, 1), 0.5, np.float32)
    image[2, 2] = value
    with pytest.raises(tf.errors.InvalidArgumentError, match="0 to 1"):
        from_array(tf.constant(image), 1, "float32")


def test_unusual_files(folder_example):
    bad = folder_example / "bad"
    gray = in_graph((bad / "gray16.png").read_bytes(), 1, "uint16")
    assert (gray.shape, gray.min(), gray.max()) == ((180, 240, 1), 771, 65151)
    np.testing.assert_array_equal(gray[..., 0], Image.open(bad / "gray16.png"))

    rotated = in_graph((bad / "exif_rotated.jpg").read_bytes(), 3, "uint8")
    expected = np.asarray(ImageOps.exif_transpose(Image.open(bad / "exif_rotated.jpg")))
    assert rotated.shape == expected.shape == (180, 240, 3)
    assert np.abs(rotated.astype(int) - expected).mean() < 1

    shown = in_graph((bad / "palette_alpha.png").read_bytes(), 3, "uint8").astype(int)
    image = Image.open(bad / "palette_alpha.png").convert("RGBA")
    hidden = np.asarray(image)[..., 3] == 0
    assert hidden.mean() > 0.2 and (shown[hidden] == 255).all()
    assert not ((shown[..., 0] > 240) & (shown[..., 1] < 20) & (shown[..., 2] > 240)).any()  # magenta

    ink = in_graph((bad / "cmyk.jpg").read_bytes(), 3, "uint8")
    expected = np.asarray(Image.open(bad / "cmyk.jpg").convert("RGB"))
    assert np.abs(ink.astype(int) - expected).mean() < 2
    for name in BROKEN:
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode((bad / name).read_bytes(), 3, "uint8")
