"""Siblings of each format against Pillow or values set by hand; files that would crash TensorFlow or eat its memory."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from ssl_keras.data.formats.decode import decode
from ssl_keras.data.formats.transcode import decodable, needs_python
from tests.data.seeds import NOISE, SMOOTH, bmp, encoded, exif, gif_seeds, image, png, png_chunk, webp_seeds

TURNED = {1: None, **{number: getattr(Image.Transpose, name) for number, name in (
    (2, "FLIP_LEFT_RIGHT"), (3, "ROTATE_180"), (4, "FLIP_TOP_BOTTOM"), (5, "TRANSPOSE"),
    (6, "ROTATE_270"), (7, "TRANSVERSE"), (8, "ROTATE_90"),
)}}  # fmt: skip


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def graph(data):
    return decode(data, 3, "uint8")


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def deep_graph(data):
    return decode(data, 3, "uint16")


def served(data, deep=False):
    return (deep_graph if deep else graph)(data).numpy()


def trained(data):
    """As training reads a file."""
    return served(decodable(data))


def over_white(rgba, top=255):
    share = rgba[..., 3:].astype(float) / top
    return top + (rgba[..., :3] - float(top)) * share


def upright(pixels, orientation):
    turn = TURNED[orientation]
    return np.asarray(Image.fromarray(pixels).transpose(turn)) if turn is not None else pixels


def with_dimensions(data, height, width):
    """A baseline or progressive JPEG that claims another size."""
    at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


# EXIF


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", [b"", b"Exif\0\0"], ids=["bare", "named"])
def test_exif_of_png_before_and_behind_its_pixels(orientation, order, name):
    chunk = png_chunk(b"eXIf", name + exif(orientation, order)[6:])
    for data in (png(NOISE[..., :3], 8, 2, chunk), png(NOISE[..., :3], 8, 2, behind=chunk)):
        np.testing.assert_array_equal(served(data), upright(NOISE[..., :3], orientation))
        np.testing.assert_array_equal(served(data), ImageOps.exif_transpose(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("animated", [False, True])
def test_exif_of_webp(orientation, animated):
    more = {"save_all": True, "append_images": [image("RGB", SMOOTH)]} if animated else {}
    data = encoded(image("RGB"), "WEBP", lossless=True, exif=exif(orientation), icc_profile=bytes(81), **more)
    np.testing.assert_array_equal(trained(data), upright(NOISE[..., :3], orientation))
    if not animated:
        np.testing.assert_array_equal(served(data), trained(data))


def test_exif_of_deep_and_transparent_png():
    samples = np.random.default_rng(0).integers(0, 65536, (4, 6, 3))
    data = png(samples, 16, 2, png_chunk(b"eXIf", exif(6)[6:]))
    np.testing.assert_array_equal(served(data, deep=True), np.rot90(samples, -1))
    data = png(NOISE, 8, 6, png_chunk(b"eXIf", exif(8)[6:]))
    assert np.abs(served(data) - np.rot90(over_white(NOISE))).max() <= 0.51


def test_an_orientation_in_xmp_alone_is_left():
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="6"/></x:xmpmeta>'
    more = {"save_all": True, "append_images": [image("RGB", SMOOTH)]}
    for options in ({}, more):
        data = encoded(image("RGB"), "WEBP", lossless=True, xmp=xmp, **options)
        np.testing.assert_array_equal(trained(data), NOISE[..., :3])
    text = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    np.testing.assert_array_equal(served(png(NOISE[..., :3], 8, 2, text)), NOISE[..., :3])


def test_the_name_of_a_chunk_within_pixels_or_text_is_no_exif():
    data = png(NOISE[..., :3], 8, 2, png_chunk(b"tEXt", b"note\0eXIf" + exif(6)))
    np.testing.assert_array_equal(served(data), NOISE[..., :3])
    data = encoded(image("RGB"), "WEBP", lossless=True, xmp=b"EXIF" + exif(6))
    np.testing.assert_array_equal(served(data), NOISE[..., :3])
    data = encoded(image("RGB"), "JPEG", comment=b"Exif\0\0" + exif(6))
    assert served(data).shape == (13, 21, 3)


def test_jpeg_exif_behind_filling_tables_and_xmp():
    data = encoded(image("RGB"), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(exif(6)) + 2) + exif(6)
    other = b"\xff\xe1" + struct.pack(">H", 31) + b"http://ns.adobe.com/xap/1.0/\0"
    tables = data.index(b"\xff\xc0")
    for found in (
        data[:2] + other + segment + data[2:],
        data[:2] + b"\xff\xff\xff" + segment[:0] + b"\xff" + segment[1:] + data[2:],
        data[:tables] + segment + data[tables:],
        data[:2] + segment + b"\xff\xe1" + struct.pack(">H", len(exif(3)) + 2) + exif(3) + data[2:],
    ):
        assert ImageOps.exif_transpose(Image.open(io.BytesIO(found))).size == (13, 21)
        assert served(found).shape == (21, 13, 3)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind, expected", [(3, (21, 13, 3)), (4, (21, 13, 3)), (7, (13, 21, 3))])
def test_an_orientation_of_another_number_type(order, kind, expected):
    value = struct.pack(f"{order}I" if kind == 4 else f"{order}Hxx", 6)
    entry = struct.pack(f"{order}HHI", 0x0112, kind, 1) + value
    mark = b"II*\0" if order == "<" else b"MM\0*"
    body = mark + struct.pack(f"{order}IH", 70_000, 0) + bytes(69_990) + struct.pack(f"{order}H", 1) + entry + bytes(4)
    assert served(png(NOISE[..., :3], 8, 2, png_chunk(b"eXIf", body))).shape == expected


# Multi-frame files


def test_first_frames():
    frames = [image("RGB"), image("RGB", SMOOTH), image("RGB").rotate(180)]
    more = {"save_all": True, "append_images": frames[1:]}
    for form, options in (("PNG", {}), ("WEBP", {"lossless": True})):
        np.testing.assert_array_equal(trained(encoded(frames[0], form, **more, **options)), NOISE[..., :3])
    gif = encoded(frames[0].quantize(), "GIF", **more)
    np.testing.assert_array_equal(trained(gif), frames[0].quantize().convert("RGB"))
    mpo = encoded(frames[1], "MPO", quality=95, **more)
    assert np.abs(trained(mpo).astype(int) - np.asarray(Image.open(io.BytesIO(mpo)))).max() <= 3


def test_animated_webp_is_refused_by_the_graph_and_read_in_training():
    animated = [data for data in webp_seeds() if needs_python(data)]
    assert len(animated) == 5
    for data in animated:
        with pytest.raises(tf.errors.InvalidArgumentError, match="animated WebP"):
            served(data)
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
        expected = upright(over_white(expected).round().astype(np.uint8), 6 if b"EXIF" in data else 1)
        assert np.abs(trained(data).astype(int) - expected).max() <= 1
        with pytest.raises(ValueError, match="damaged WebP"):
            decodable(data[: len(data) // 3])


def gif_of(frame, canvas, at=(0, 0), clear=None, own_table=False, table=None):
    """A GIF of one frame of color numbers at a place of a canvas (height, width)."""
    table = bytes(range(3, 51)) if table is None else table
    # Five bits a code; a new start (16) after each dozen, before codes grow longer; 17 ends.
    dozens = [frame.ravel()[k : k + 12] for k in range(0, frame.size, 12)]
    codes = np.concatenate([*([16, *dozen] for dozen in dozens), [17]]).astype(np.uint8)
    bits = np.unpackbits(codes[:, None], axis=1, bitorder="little")[:, :5]
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    blocks = [packed[k : k + 50] for k in range(0, len(packed), 50)]
    body = b"\x04" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0;"
    bits = (len(table) // 3 - 1).bit_length() - 1
    control = b"" if clear is None else b"\x21\xf9\x04\x01\0\0" + bytes([clear]) + b"\0"
    place = struct.pack("<HHHH", at[1], at[0], frame.shape[1], frame.shape[0])
    screen = struct.pack("<HHBBB", canvas[1], canvas[0], 0 if own_table else 128 | bits, 0, 0)
    first, second = (b"", table) if own_table else (table, b"")
    comment = b"\x21\xfe\x02ab\x05abcde\0"
    flags = bytes([128 | bits if own_table else 0])
    return b"GIF89a" + screen + first + comment + control + b"," + place + flags + second + body


@pytest.mark.parametrize("own_table", [False, True])
@pytest.mark.parametrize("clear", [None, 0, 5, 15])
@pytest.mark.parametrize("at, canvas", [((0, 0), (6, 9)), ((3, 2), (12, 14)), ((3, 2), (6, 9)), ((0, 0), (0, 0))])
def test_gif_on_its_canvas_over_white(own_table, clear, at, canvas):
    frame = np.random.default_rng(0).integers(0, 16, (6, 9), dtype=np.uint8)
    colours = np.arange(3, 51, dtype=np.uint8).reshape(16, 3)
    if clear is not None:
        colours = colours.copy()
    data = gif_of(frame, canvas, at, clear, own_table, colours.tobytes())
    if clear is not None:
        colours[clear] = 255
    expected = np.full((max(canvas[0], at[0] + 6), max(canvas[1], at[1] + 9), 3), 255, np.uint8)
    expected[at[0] : at[0] + 6, at[1] : at[1] + 9] = colours[frame]
    np.testing.assert_array_equal(served(data), expected)
    if canvas != (0, 0) and (clear is not None or at == (0, 0)):  # else Pillow paints its background color
        pillow = over_white(np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")))
        np.testing.assert_array_equal(served(data), pillow)


def test_frames_behind_the_first_are_not_even_looked_at():
    data = gif_seeds()[5]
    whole = served(data)
    second = data.rindex(b"\x21\xf9\x04")
    np.testing.assert_array_equal(served(data[:second]), whole)
    np.testing.assert_array_equal(served(data[:second] + b"junk"), whole)


def test_a_gif_of_many_blocks_and_one_without_a_frame():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300), dtype=np.uint8), "L")
    np.testing.assert_array_equal(served(encoded(noise, "GIF"))[..., 0], noise)
    for data in (b"GIF89a", b"GIF89a" + bytes(7) + b";", gif_seeds()[0][:40]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            served(data)


# Kinds of PNG


@pytest.mark.parametrize("adam7", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("clear", [False, True])
def test_gray_png(depth, adam7, clear):
    samples = np.random.default_rng(0).integers(0, 2**depth, (11, 13, 1))
    level = int(samples[2, 3, 0])
    data = png(samples, depth, 0, png_chunk(b"tRNS", struct.pack(">H", level)) if clear else b"", adam7=adam7)
    expected = samples * (65535 // (2**depth - 1))
    if clear:
        expected = np.where(samples == level, 65535, expected)
    np.testing.assert_array_equal(served(data, deep=True), np.repeat(expected, 3, -1))
    np.testing.assert_array_equal(served(data), np.repeat(np.round(expected / 257), 3, -1))


@pytest.mark.parametrize("adam7", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palette_png(depth, adam7):
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 2**depth, (11, 13, 1))
    colours = rng.integers(0, 256, (2**depth, 3), dtype=np.uint8)
    alpha = np.full(2**depth, 255, np.uint8)
    alpha[: 2**depth - 1] = rng.integers(0, 256, 2**depth - 1)
    for shares in (alpha, np.full_like(alpha, 255), np.zeros_like(alpha)):
        chunks = png_chunk(b"PLTE", colours.tobytes()) + png_chunk(b"tRNS", shares.tobytes())
        data = png(samples, depth, 3, chunks, adam7=adam7)
        expected = over_white(np.concatenate([colours, shares[:, None]], 1)[samples[..., 0]])
        assert np.abs(served(data) - expected).max() <= 0.51
    data = png(samples, depth, 3, png_chunk(b"PLTE", colours.tobytes()), adam7=adam7)
    np.testing.assert_array_equal(served(data), colours[samples[..., 0]])


@pytest.mark.parametrize("adam7", [False, True])
@pytest.mark.parametrize("depth", [8, 16])
def test_colour_png(depth, adam7):
    top = 2**depth - 1
    samples = np.random.default_rng(0).integers(0, top + 1, (11, 13, 4))
    for data, expected in (
        (png(samples[..., :3], depth, 2, png_chunk(b"gAMA", bytes([0, 0, 100, 0])), adam7=adam7), samples[..., :3]),
        (png(samples, depth, 6, adam7=adam7), over_white(samples, top)),
        (
            png(samples[..., 2:], depth, 4, adam7=adam7),
            over_white(np.concatenate([np.repeat(samples[..., 2:3], 3, -1), samples[..., 3:]], -1), top),
        ),
        (
            png(samples[..., :3], depth, 2, png_chunk(b"tRNS", struct.pack(">HHH", *samples[1, 2, :3])), adam7=adam7),
            np.where((samples[..., :3] == samples[1, 2, :3]).all(-1, keepdims=True), top, samples[..., :3]),
        ),
    ):
        assert np.abs(served(data, deep=True) - expected * (65535 / top)).max() <= 1
        assert np.abs(served(data) - expected * (255 / top)).max() <= 1


# Kinds of JPEG


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 0}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_equals_pillow(mode, options):
    data = encoded(image(mode, SMOOTH), "JPEG", quality=95, **(options if mode == "RGB" else {}))
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(served(data) - expected).max() <= 4


def adobe(transform):
    return b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])


def test_colour_transforms_that_adobe_states():
    # Three components as they are (transform 0), without and with JFIF before.
    data = encoded(image("RGB", SMOOTH), "JPEG", quality=98, keep_rgb=True)
    assert np.abs(served(data).astype(int) - SMOOTH[..., :3]).max() <= 6
    # Four components: inverted where Adobe's segment stands, and then plain CMYK or YCCK; not inverted without.
    ink = np.full((16, 16, 4), (200, 120, 60, 230), np.uint8)
    data = encoded(Image.fromarray(ink, "CMYK"), "JPEG", quality=98)
    start = data.index(b"Adobe") - 4
    lower = np.round((255 - ink[..., :3].astype(float)) * (255 - ink[..., 3:].astype(float)) / 255)
    assert np.abs(served(data) - lower).max() <= 4
    bare = data[:start] + data[start + 16 :]
    stored = 255 - ink.astype(float)
    assert np.abs(served(bare) - np.round((255 - stored[..., :3]) * (255 - stored[..., 3:]) / 255)).max() <= 4
    assert data[start : start + 16] == adobe(0)
    luma = data[:start] + adobe(2) + data[start + 16 :]
    expected = np.asarray(Image.open(io.BytesIO(luma)).convert("RGB")).astype(int)
    assert np.abs(served(luma) - expected).max() <= 4


@pytest.mark.parametrize(
    "marker, precision", [(0xC1, 12), (0xC3, 8), (0xC5, 8), (0xCB, 8)], ids=["12 bits", "lossless", "layers", "both"]
)
def test_jpeg_of_other_processes_is_refused(marker, precision):
    data = encoded(image("RGB"), "JPEG")
    at = data.index(b"\xff\xc0")
    data = data[: at + 1] + bytes([marker]) + data[at + 2 : at + 4] + bytes([precision]) + data[at + 5 :]
    with pytest.raises(tf.errors.InvalidArgumentError):
        served(data)


def test_arithmetic_coding_is_decoded_as_pillow_does():
    # Huffman-coded data under the name of arithmetic coding: noise, but the same noise from two decoders that know it.
    data = encoded(image("RGB", SMOOTH), "JPEG", subsampling=0).replace(b"\xff\xc0", b"\xff\xc9", 1)
    expected = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    assert np.ptp(expected) > 50 and np.abs(served(data) - expected).max() <= 3


# Headers that claim too much

PNG_BOMB = png(NOISE[:1, :1, :1], 8, 0)
PNG_BOMB = PNG_BOMB[:8] + png_chunk(b"IHDR", struct.pack(">II", 60_000, 60_000) + PNG_BOMB[24:29]) + PNG_BOMB[33:]
GIF_BOMB = gif_of(NOISE[..., 0] % 16, (65_535, 65_535))
WEBP = encoded(image("RGB"), "WEBP", lossless=True)


@pytest.mark.parametrize(
    "data",
    [
        with_dimensions(encoded(image("RGB"), "JPEG"), 13_000, 13_000),
        with_dimensions(encoded(image("RGB"), "JPEG", progressive=True), 60_000, 60_000),
        PNG_BOMB,
        PNG_BOMB[:16] + struct.pack(">II", 2**31 - 1, 2**31 - 1) + PNG_BOMB[24:],
        PNG_BOMB[:16] + struct.pack(">II", 2**32 - 1, 2**32 - 1) + PNG_BOMB[24:],
        GIF_BOMB,
        gif_of(NOISE[..., 0] % 16, (9, 9), at=(60_000, 60_000)),
        WEBP[:21] + b"\xff\xff\xff\x0f" + WEBP[25:],
        encoded(Image.new("RGB", (8000, 8000)), "WEBP", lossless=True, method=0, quality=0),
        webp_seeds()[2][:24] + b"\xff" * 6 + webp_seeds()[2][30:],
        bmp(bytes(200), 60_000, 60_000, 24),
        bmp(bytes(200), 60_000, -60_000, 32),
    ],
    ids=lambda data: f"{data[:4]!r} {len(data)}",
)
def test_headers_that_claim_too_many_pixels(data):
    with pytest.raises(tf.errors.InvalidArgumentError, match="the header claims more than 178,956,970 pixels"):
        served(data)


def test_honest_blank_images_are_read():
    blank = Image.new("L", (3840, 2160), 7)
    for data in (encoded(blank, "WEBP", lossless=True, method=0), encoded(blank.resize((3400, 3400)), "PNG")):
        assert (served(data) == 7).all()


def test_text_bombs_within_png_cost_nothing():
    text = png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**8)))
    np.testing.assert_array_equal(served(png(NOISE[..., :3], 8, 2, text)), NOISE[..., :3])


@pytest.mark.parametrize("data", [b"", b"a", b"RIFF", b"RIFF\0\0\0\0WEBP", b"GIF8", b"BM", b"\x89PNG", b"\xff\xd8\xff"])
def test_scraps_are_refused(data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        served(data)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        trained(data)


def test_jpeg_xl_and_other_formats_are_named():
    for data in (b"\xff\x0a" + bytes(50), b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50), b"only text"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="no JPEG, PNG, GIF, BMP or WebP"):
            served(data)


def test_a_folder_with_all_of_them_names_those_that_cannot_be_read(tmp_path):
    from ssl_keras.data.canvases.memory import CanvasSpec, load_canvases
    from ssl_keras.data.sources import open_source

    baseline = encoded(image("RGB"), "JPEG")
    files = {
        "animated.webp": webp_seeds()[-1],
        "bomb.png": PNG_BOMB,
        "deep.jpg": baseline.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"),
        "good.jpg": baseline,
        "lossless.jpg": baseline.replace(b"\xff\xc0", b"\xff\xc3"),
        "masks.bmp": bmp(bytes(200), 5, 5, 16, 3, masks=(0, 0, 0)),
        "palette.bmp": encoded(image("P"), "BMP"),
        "torn.webp": webp_seeds()[-2][:900],
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    canvases = load_canvases(open_source(f"folder:{tmp_path}"), CanvasSpec(8), max_bad_fraction=0.8)
    assert len(canvases) == 3
    assert [(path.rpartition("/")[2], reason) for path, reason in canvases.bad] == [
        ("bomb.png", "too large: 3600.0 megapixels, more than --max_megapixels=178"),
        ("deep.jpg", "JPEG of 12 bits, which is not read: save it as an 8-bit JPEG or as PNG"),
        ("lossless.jpg", "JPEG of the lossless kind, which is not read: save it as an 8-bit JPEG or as PNG"),
        ("masks.bmp", "damaged BMP: its bit masks are empty"),
        ("torn.webp", "damaged WebP: could not create decoder object"),
    ]


SERVE_ANIMATED = """
import sys
import tensorflow as tf
from tests.data.seeds import encoded, image, webp_seeds
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
good = encoded(image("RGB"), "PNG")
for bad in [*webp_seeds()[-5:], b"no image"]:
    try:
        serve(image_bytes=tf.constant([good, bad, good]))
        print("accepted")
    except tf.errors.InvalidArgumentError as error:
        print("animated" if "animated WebP, which TensorFlow cannot decode" in str(error) else "refused")
    assert serve(image_bytes=tf.constant([good, good]))["features"].shape[0] == 2
"""


def test_a_server_outlives_a_bad_request(tmp_path):
    from ssl_keras.encoders.encoder import build_encoder
    from ssl_keras.export import saved_model
    from ssl_keras.nn.backbones import build_backbone

    encoder = build_encoder(build_backbone("resnet8", 16, 3, width=0.25, seed=0), "uint8", canvas_size=20)
    saved_model.write(encoder, f"{tmp_path}/m", saved_model.Options())
    done = subprocess.run([sys.executable, "-c", SERVE_ANIMATED, f"{tmp_path}/m"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["animated"] * 5 + ["refused"]
