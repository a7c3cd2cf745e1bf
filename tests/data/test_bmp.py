"""Every kind of BMP has the right pixels, or is refused, in training and in the graph: against values set by hand."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssl_keras.data.formats.bmp import is_plain, read_bmp
from ssl_keras.data.formats.decode import decode
from ssl_keras.data.formats.transcode import decodable
from tests.data.seeds import bmp, bmp_seeds, rows

RNG = np.random.default_rng(0)
H, W = 5, 7
COLOURS = RNG.integers(0, 256, (H, W, 3), dtype=np.uint8)
RED, GREEN, BLUE = (COLOURS[..., k].astype(np.uint32) for k in range(3))


def trained(data):
    """As training reads a file."""
    return decode(decodable(data), 3, "uint8").numpy()


def served(data):
    return decode(data, 3, "uint8").numpy()


def palette_of(colours, entry=4):
    """BGR entries of RGB colors."""
    return b"".join(bytes([b, g, r]) + bytes(entry - 3) for r, g, b in colours)


@pytest.mark.parametrize("size", [40, 52, 56, 64, 108, 124])
@pytest.mark.parametrize("depth", [24, 32])
@pytest.mark.parametrize("from_top", [False, True])
@pytest.mark.parametrize("tail", [b"", b"\0\0"], ids=["", "two bytes more"])
def test_plain_pixels_are_read_in_the_graph_as_well(size, depth, from_top, tail):
    body = rows((COLOURS[::-1] if from_top else COLOURS) @ np.array([65536, 256, 1], np.uint32) | 0x7F000000, depth)
    data = bmp(body, W, -H if from_top else H, depth, size=size) + tail
    np.testing.assert_array_equal(served(data), COLOURS)
    np.testing.assert_array_equal(trained(data), COLOURS)
    np.testing.assert_array_equal(read_bmp(data), COLOURS)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("size", [12, 16, 40, 64, 124])
def test_palettes(depth, size):
    colours = RNG.integers(0, 256, (2**depth, 3), dtype=np.uint8)
    numbers = RNG.integers(0, 2**depth, (H, W))
    data = bmp(rows(numbers, depth), W, H, depth, size=size, table=palette_of(colours, 3 if size == 12 else 4))
    np.testing.assert_array_equal(trained(data), colours[numbers])
    with pytest.raises(tf.errors.InvalidArgumentError, match="palette"):
        served(data)


@pytest.mark.parametrize("depth", [4, 8])
@pytest.mark.parametrize(
    "colours", [[(0, 0, 0), (255, 255, 255)], [(k, k, k) for k in range(16)]], ids=["black", "dark"]
)
def test_few_gray_colours_in_more_bits(depth, colours):
    numbers = RNG.integers(0, len(colours), (H, W))
    data = bmp(rows(numbers, depth), W, H, depth, table=palette_of(colours), colours=len(colours))
    np.testing.assert_array_equal(trained(data), np.array(colours)[numbers])


def test_a_number_outside_the_palette_is_refused():
    data = bmp(rows(np.full((H, W), 9), 8), W, H, 8, table=palette_of([(1, 2, 3)] * 4), colours=4)
    with pytest.raises(ValueError, match="color 9 of a palette of 4"):
        decodable(data)


def packed(masks, samples):
    """Samples 0..top of each mask in one number a pixel."""
    shifts = [(mask & -mask).bit_length() - 1 for mask in masks]
    return sum(sample.astype(np.uint32) << shift for sample, shift in zip(samples, shifts))


@pytest.mark.parametrize("size", [40, 52, 56, 108, 124])
@pytest.mark.parametrize(
    "depth, masks",
    [
        (16, (0x7C00, 0x3E0, 0x1F)),
        (16, (0xF800, 0x7E0, 0x1F)),
        (16, (0x1F, 0x7E0, 0xF800)),
        (16, (0xF00, 0xF0, 0xF)),
        (32, (0xFF0000, 0xFF00, 0xFF)),
        (32, (0xFF, 0xFF00, 0xFF0000)),
        (32, (0xFF000000, 0xFF0000, 0xFF00)),
        (32, (0x3FF00000, 0xFFC00, 0x3FF)),
        (24, (0xFF, 0xFF00, 0xFF0000)),
    ],
)
def test_masks(size, depth, masks):
    tops = [mask // (mask & -mask) for mask in masks]
    samples = [RNG.integers(0, top + 1, (H, W)) for top in tops]
    expected = np.stack([np.floor(sample * 255 / top + 0.5) for sample, top in zip(samples, tops)], -1)
    data = bmp(rows(packed(masks, samples), depth), W, H, depth, 3, size=size, masks=masks)
    np.testing.assert_array_equal(trained(data), expected)
    with pytest.raises(tf.errors.InvalidArgumentError, match="masks"):
        served(data)


def test_sixteen_bits_without_masks_are_five_each():
    samples = [RNG.integers(0, 32, (H, W)) for _ in range(3)]
    data = bmp(rows(packed((0x7C00, 0x3E0, 0x1F), samples), 16), W, H, 16)
    np.testing.assert_array_equal(trained(data), np.floor(np.stack(samples, -1) * 255 / 31 + 0.5))


@pytest.mark.parametrize("order", [(0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0xFF000000, 0xFF0000, 0xFF00, 0xFF)])
@pytest.mark.parametrize("size, compression", [(56, 3), (124, 3), (40, 6)])
def test_alpha_is_over_white_unless_it_is_nowhere(order, size, compression):
    alpha = RNG.integers(0, 256, (H, W))
    for some in (alpha, np.zeros_like(alpha)):
        data = bmp(rows(packed(order, (RED, GREEN, BLUE, some)), 32), W, H, 32, compression, size=size, masks=order)
        share = some[..., None] / 255 if some.any() else 1
        assert np.abs(trained(data) - (255 + (COLOURS - 255.0) * share)).max() <= 0.51


def test_run_lengths_of_eight_bits():
    colours = RNG.integers(0, 256, (256, 3), dtype=np.uint8)
    body = (
        b"\x03\x05\x00\x03\x01\x02\x03\x00\x01\x09\x00\x00"  # bottom: 5 5 5, then 1 2 3 one by one, then 9
        b"\x00\x00"  # a blank line
        b"\x02\x07\x00\x02\x02\x01\x01\x08\x00\x00"  # 7 7, two to the right and one up: 8
        b"\x63\x04\x00\x00"  # more than fits
    )
    expected = np.zeros((H, W), int)
    expected[4] = [5, 5, 5, 1, 2, 3, 9]
    expected[2, :2], expected[1, 4], expected[0] = 7, 8, 4
    table = palette_of(colours)
    for end in (b"\x00\x01", b""):
        data = bmp(body + end, W, H, 8, 1, table=table)
        np.testing.assert_array_equal(trained(data), colours[expected])
    with pytest.raises(ValueError, match="truncated BMP"):
        decodable(bmp(body[:20], W, H, 8, 1, table=table))


def test_run_lengths_of_four_bits():
    colours = RNG.integers(0, 256, (16, 3), dtype=np.uint8)
    body = b"\x05\x12\x00\x00\x00\x05\x34\x56\x70\x00\x00\x00\x00\x01"
    expected = np.zeros((H, W), int)
    expected[4, :5], expected[3, :5] = [1, 2, 1, 2, 1], [3, 4, 5, 6, 7]
    data = bmp(body, W, H, 4, 2, table=palette_of(colours))
    np.testing.assert_array_equal(trained(data), colours[expected])


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_what_pillow_writes(mode):
    image = Image.fromarray(COLOURS).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "BMP")
    expected = np.asarray(image.convert("RGBA"))[..., :3]
    np.testing.assert_array_equal(trained(buffer.getvalue()), expected)


@pytest.mark.parametrize(
    "data, message",
    [
        (bmp(b"\xff\xd8\xff", W, H, 24, 4), "compression 4"),
        (bmp(b"", W, H, 1, 3, size=64), "compression 3"),
        (bmp(bytes(200), W, H, 16, 3, masks=(0, 0, 0)), "masks are empty"),
        (bmp(bytes(200), W, H, 16, 3, masks=(0xF0F0, 0xF00, 0xF)), "gaps"),
        (bmp(bytes(20), W, H, 8), "truncated BMP: 20 bytes of pixels, expected 40"),
        (bmp(bytes(200), W, -H, 8, 1), "damaged BMP"),
        (bmp(bytes(200), 0, H, 8), "damaged BMP: 0 × 5"),
        (bmp(bytes(200), 60_000, 60_000, 8), "too large: 3600.0 megapixels"),
        (bmp(bytes(200), W, H, 8, size=20), "header of 20 bytes"),
        (b"BM", "damaged BMP"),
        (b"BM" + bytes(60), "header of 0 bytes"),
        (bmp(b"", W, H, 8)[:40], "BMP"),
    ],
)
def test_what_is_not_read_is_said(data, message):
    with pytest.raises(ValueError, match=message):
        decodable(data)
    with pytest.raises(tf.errors.InvalidArgumentError):
        served(data)


def test_truncated_plain_pixels_are_refused():
    data = bmp(rows(RED, 24), W, H, 24)
    with pytest.raises(tf.errors.InvalidArgumentError):
        served(data[:-1])
    most = data[:18] + struct.pack("<ii", 2**30, 2**30) + data[26:]
    lowest = data[:18] + struct.pack("<ii", W, -(2**31)) + data[26:]
    for claimed in (most, lowest):
        with pytest.raises(tf.errors.InvalidArgumentError, match="claims more than"):
            served(claimed)


def test_graph_and_python_agree_on_what_is_plain():
    for data in bmp_seeds():
        try:
            served(data)
            assert is_plain(data)
        except tf.errors.InvalidArgumentError:
            assert not is_plain(data)
