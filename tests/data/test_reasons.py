"""What is said of files that are no image that is read: the truth, in one line."""

import io

import numpy as np
import pytest
from PIL import Image

from ssl_keras.data.canvases.memory import CanvasSpec, load_canvases
from ssl_keras.data.canvases.pipeline import BadFilesError
from ssl_keras.data.canvases.probe import probe
from ssl_keras.data.formats import size
from ssl_keras.data.reasons import encoded_reason, examples, list_bad
from ssl_keras.data.sources import open_source
from ssl_keras.files import read_json, shown, write_json, write_text
from tests.data.tiffs import tiff


@pytest.fixture
def limit():
    """Sets the limit of a test."""
    yield size.set_limit
    size.set_limit(size.LARGEST)


def encoded(form, mode="RGB", side=(40, 40), **options):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (*side, 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def box(kind):
    return b"\0\0\0\x18ftyp" + kind + bytes(40)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (box(b"heic"), "a HEIC image, which is not read: convert it to JPEG or PNG"),
        (box(b"mif1"), "a HEIC image, which is not read: convert it to JPEG or PNG"),
        (encoded("AVIF"), "an AVIF image, which is not read: convert it to JPEG or PNG"),
        (box(b"isom"), "a video, which is not read: save its frames as JPEG or PNG"),
        (encoded("JPEG2000"), "a JPEG 2000 image, which is not read: convert it to JPEG or PNG"),
        (b"8BPS\0\1" + bytes(99), "a Photoshop file (PSD), which is not read: convert it to JPEG or PNG"),
        (bytes(128) + b"DICM" + bytes(9), "a DICOM file, which is not read: save its pixels as 16-bit PNG or .npy"),
        (bytes(344) + b"n+1\0", "a NIfTI volume, which is not read: save its slices as 16-bit PNG or .npy"),
        (b"%PDF-1.4", "a PDF document, which is not read: save its pages as PNG"),
        (encoded("ICO"), "an icon (ICO), which is not read: convert it to JPEG or PNG"),
        (encoded("PPM"), "a PNM image, which is not read: convert it to JPEG or PNG"),
        (b"PK\3\4", "a ZIP archive, which is not read: unpack it"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
            "a Git LFS pointer, not the file itself, which is not read: run `git lfs pull`",
        ),
        (b"\n<!DOCTYPE html><html>", "a web page (HTML), not an image: download the image itself"),
        (b"<?xml version='1.0'?>\n<svg>", "an SVG drawing, which is not read: convert it to JPEG or PNG"),
        ("Grüße,\n".encode() * 500, "a text file, not an image"),
        (bytes(5000), "nothing but zero bytes: copy it again"),
        (b"RIFF\0\0\0\0WAVE", "not an image (unknown format)"),
        (b"\x01\xfe\x17" * 50, "not an image (unknown format)"),
        (encoded("JPEG")[:-200], "truncated JPEG"),
        (encoded("PNG")[:-200], "truncated PNG"),
        (encoded("PNG").replace(b"IDAT", b"IDAX"), "damaged PNG"),
        (encoded("JPEG").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc3\0\x11\x08"), "JPEG of the lossless kind"),
        (encoded("JPEG").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"), "JPEG of 12 bits"),
        (encoded("JPEG", "CMYK"), "JPEG of a kind that TensorFlow does not decode: save it as PNG"),
    ],
)
def test_files_are_called_by_what_they_are(content, reason):
    found = encoded_reason(content)
    assert found == reason or found.startswith(f"{reason}, which is not read")


def test_the_run_is_told_why_nothing_is_read(tmp_path):
    for i in range(5):
        numbers = np.zeros((4, 4, 1), int)
        (tmp_path / f"{i}.tif").write_bytes(tiff(numbers, 32, 1, t339=(3,)))
    (tmp_path / "z.jpg").write_bytes(box(b"heic"))
    source = open_source(f"folder:{tmp_path}")
    with pytest.raises(ValueError, match=r"none of 6 images.* can be read, such as .*0.tif: TIFF of 32-bit"):
        probe(source)
    reasons = [reason for _, reason in list_bad(source, range(6))]
    assert reasons[5].startswith("a HEIC image") and all(r.startswith("TIFF of 32-bit floats") for r in reasons[:5])
    Image.new("RGB", (4, 4)).save(tmp_path / "y.png")
    with pytest.raises(BadFilesError, match=r"6 of 7 images.*: such as .*0.tif: TIFF.*z.jpg: a HEIC.*1.tif: TIFF"):
        load_canvases(open_source(f"folder:{tmp_path}"), CanvasSpec(4))


def test_examples_are_of_different_reasons():
    bad = [("a", "x"), ("b", "x"), ("c", "y"), ("d", "x"), ("e", "z")]
    assert examples(bad) == "a: x; c: y; e: z"
    assert examples(bad[:2]) == "a: x; b: x"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_large_images_are_too_large_and_not_damaged(tmp_path, limit, form):
    Image.new("RGB", (400, 300)).save(tmp_path / f"a.{'tif' if form == 'TIFF' else form.lower()}", form)
    source = open_source(f"folder:{tmp_path}")
    assert source.read(0)
    limit(0.1)
    assert list_bad(source, [0])[0][1] == "too large: 0.1200 megapixels, more than --max_megapixels=0.1"
    with pytest.raises(ValueError, match=r"can be read, such as .*too large: 0.1200 megapixels"):
        probe(source)
    limit(0.12)
    assert source.read(0)


def test_valid_jpegs_beyond_the_decoder_are_too_large():
    def header(width, height, components):
        parts = b"".join(bytes([k + 1, 0x11, 0]) for k in range(components))
        frame = (8 + 3 * components).to_bytes(2, "big") + b"\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big")
        return b"\xff\xd8\xff\xc0" + frame + bytes([components]) + parts + b"\xff\xda\0\2" + b"\xff\xd9"

    with pytest.raises(ValueError, match=r"^too large: 195.3 megapixels, more than --max_megapixels=178$"):
        size.check_size(header(13950, 14000, 3))
    with pytest.raises(ValueError, match=r"^too large: 144.0 megapixels of 4 values, more than the 134.2"):
        size.check_size(header(12000, 12000, 4))
    size.check_size(header(12000, 12000, 3) + bytes(20_000))
    with pytest.raises(ValueError, match="than so short a file can hold"):
        size.check_size(header(12000, 12000, 3))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain name é 日本.jpg", "plain name é 日本.jpg"),
        ("caf\udce9.jpg", "caf\\xe9.jpg"),
        ("a\tb\nc\rd\x1be\x7f", "a\\tb\\nc\\rd\\x1be\\x7f"),
        ("\x85 \u2028 \ud800", "\\u0085 \\u2028 \\ud800"),
    ],
)
def test_names_are_shown_in_one_line(name, expected):
    assert shown(name) == expected == shown(expected)
    expected.encode()


def test_files_take_names_that_are_no_utf8(tmp_path):
    write_text(str(tmp_path / "a.txt"), "caf\udce9\n")
    assert (tmp_path / "a.txt").read_bytes() == b"caf\xe9\n"
    write_json(str(tmp_path / "a.json"), {"caf\udce9": "\udce9"})
    assert read_json(str(tmp_path / "a.json")) == {"caf\udce9": "\udce9"}
