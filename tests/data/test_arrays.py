"""An .npy file as images: which arrays are, and what is said of those that are not."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from ssl_keras.build.data import resolve
from ssl_keras.config import Config
from ssl_keras.data.canvases.memory import CanvasSpec, load_canvases
from ssl_keras.data.canvases.probe import probe
from ssl_keras.data.sources import open_source
from ssl_keras.data.splits import take, train_and_test
from ssl_keras.data.values import Values
from ssl_keras.methods.simclr import SimCLR


def saved(tmp_path, array, labels=None):
    np.save(tmp_path / "a.npy", array)
    if labels is not None:
        np.save(tmp_path / "a.labels.npy", labels)
    return f"npy:{tmp_path}/a.npy"


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", ">u2", ">f4", "<i2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_is_read_by_number(tmp_path, dtype, order):
    images = np.random.default_rng(0).random((5, 6, 7, 2)) * (1 if dtype.endswith(("f4", "32")) else 255)
    images = np.asarray(images.astype(dtype), order=order)
    source = open_source(saved(tmp_path, images, [0, 0, 1, 1, -1]))
    assert source.arrays == (2, np.dtype(dtype).newbyteorder("=").name)
    assert source.labels.tolist() == [0, 0, 1, 1, -1]
    assert source.read(3).dtype == source.arrays[1]
    np.testing.assert_array_equal(source.read(3), images[3])
    values = Values(((0.0, 255.0),) * 2) if source.arrays[1].startswith("int") else None  # a type without a range
    spec = CanvasSpec.of(7, 2, source.arrays[1], values)
    canvases = load_canvases(source, spec)
    assert len(canvases) == 5 and canvases.images.dtype == spec.dtype
    train, test, _ = train_and_test(f"npy:{tmp_path}/a.npy")
    assert sorted([*train.labels, *test.labels]) == [0, 0, 1, 1]  # an image without a label is in neither

    np.save(tmp_path / "gray.npy", images[..., 0])
    assert open_source(f"npy:{tmp_path}/gray.npy").read(0).shape == (6, 7, 1)


@pytest.mark.parametrize(
    "shape",
    [
        (40, 32, 32, 3),
        (40, 32, 32, 1),
        (40, 24, 32, 13),
        (40, 64, 64, 200),
        (40, 48, 64, 200),
        (40, 60, 40, 13),
        (1, 64, 64, 200),
        (1, 32, 32),
        (40, 32, 48),
        (200, 32, 32),
        (32, 32, 32),
        (32, 32, 32, 3),
        (7, 16, 200, 3),
    ],
)
def test_axes_that_are_right_are_taken(tmp_path, shape):
    found = probe(open_source(saved(tmp_path, np.zeros(shape, np.uint8))))
    assert found.channels == (shape[3] if len(shape) == 4 else 1)
    assert found.sizes.tolist() == [list(shape[1:3])]


@pytest.mark.parametrize(
    ("shape", "seems", "save"),
    [
        ((40, 3, 32, 32), "[N, C, H, W]", "array.transpose(0, 2, 3, 1)"),
        ((40, 1, 28, 28), "[N, C, H, W]", "array.transpose(0, 2, 3, 1)"),
        ((40, 5, 32, 32), "[N, C, H, W]", "array.transpose(0, 2, 3, 1)"),
        ((40, 13, 32, 32), "[N, C, H, W]", "array.transpose(0, 2, 3, 1)"),
        ((40, 13, 32, 48), "[N, C, H, W]", "array.transpose(0, 2, 3, 1)"),
        ((40, 200, 64, 64), "[N, C, H, W]", "array.transpose(0, 2, 3, 1)"),
        ((40, 32, 32, 32), "[N, C, H, W]", "array.transpose(0, 2, 3, 1)"),
        ((32, 32, 3, 500), "[H, W, C, N]", "array.transpose(3, 0, 1, 2)"),
        ((3, 500, 32, 32), "[C, N, H, W]", "array.transpose(1, 2, 3, 0)"),
        ((3, 32, 32, 500), "[C, H, W, N]", "array.transpose(3, 1, 2, 0)"),
        ((32, 32, 500, 3), "[H, W, N, C]", "array.transpose(2, 0, 1, 3)"),
        ((240, 320, 3), "one picture [H, W, C]", "array[np.newaxis]"),
        ((240, 320, 1), "one picture [H, W, C]", "array[np.newaxis]"),
        ((3, 240, 320), "one picture [C, H, W]", "array.transpose(1, 2, 0)[np.newaxis]"),
        ((64, 64, 200), "[H, W, N]", "array.transpose(2, 0, 1)"),
    ],
)
def test_axes_in_another_order_are_refused_unless_meant(tmp_path, shape, seems, save):
    source = open_source(saved(tmp_path, np.zeros(shape, np.uint8)))
    channels = shape[3] if len(shape) == 4 else 1
    for part in (source, take(source, 2)):
        for named in (None, channels + 1):
            with pytest.raises(ValueError, match="which looks like") as error:
                probe(part, channels=named)
    assert seems in str(error.value) and save in str(error.value) and f"--channels={channels} if" in str(error.value)
    if " or " not in save:
        np.zeros(shape).transpose(*eval(save[len("array.transpose") :].split(")")[0] + ")")) if "transp" in save else 0
    assert probe(source, channels=channels).channels == channels


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4)), r"\[4, 4\]: expected .*np.newaxis.*reshape"),
        (np.zeros(4), r"\[4\]: expected"),
        (np.zeros((2, 3, 4, 5, 6)), r"\[2, 3, 4, 5, 6\]: expected"),
        (np.zeros((0, 8, 8, 3), np.uint8), r"\[0, 8, 8, 3\], which is empty"),
        (np.zeros((4, 8, 8), bool), r"bool: expected.*save array.astype\(np.uint8\) \* 255"),
        (np.full((4, 8, 8), 255, np.int64), r"int64: expected uint8.*save array.astype\(np.uint8\)$"),
        (np.full((4, 8, 8), 3000, np.uint32), r"uint32: expected.*save array.astype\(np.uint16\)$"),
        (np.full((4, 8, 8), -1, np.int64), r"int64: expected.*save array.astype\(np.int16\)$"),
        (np.full((4, 8, 8), 2**40), r"int64: expected.*save array.astype\(np.float32\)$"),
        (np.ones((4, 8, 8)), r"float64: expected.*save array.astype\(np.float32\)$"),
        (np.ones((4, 8, 8), np.float16), r"float16: expected.*save array.astype\(np.float32\)$"),
        (np.full((4, 8, 8), 255.0), r"float64: expected.*save array.astype\(np.float32\)$"),
        (np.zeros((4, 8, 8), complex), "complex128: expected uint8.*plain numbers"),
        (np.zeros((4, 8, 8), "U3"), "<U3: expected uint8.*plain numbers"),
        (np.array([[["a", None]]], object), "plain numbers: .*Python objects"),
    ],
)
def test_arrays_that_are_no_images(tmp_path, array, message):
    with pytest.raises(ValueError, match=message):
        open_source(saved(tmp_path, array))


def test_files_that_are_no_npy(tmp_path):
    np.savez(tmp_path / "a.npz", train_images=np.zeros(3), train_labels=np.zeros(3))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(ValueError, match=r"an .npz archive of train_images, train_labels.*\['train_images'\]"):
        open_source(f"npy:{tmp_path}/a.npy")
    whole = saved(tmp_path, np.zeros((9, 8, 8), np.uint8))
    data = (tmp_path / "a.npy").read_bytes()
    for content in (b"", b"PK\3\4", b"text", data[:-9], data[:40]):
        (tmp_path / "a.npy").write_bytes(content)
        with pytest.raises(ValueError, match=r"is not an .npy file of plain numbers: [^\n]+$"):
            open_source(whole)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(3, int), r"int64 \[3\]: expected one whole number for each of 4 images$"),
        (np.zeros((4, 1), int), r"save labels.reshape\(-1\)"),
        (np.eye(4), r"argmax"),
        (np.zeros(4), r"float64 \[4\].*save labels.astype\(np.int64\)"),
        (np.array(["cat", "dog", "cat", "dog"]), r"save np.unique\(labels, return_inverse=True\)\[1\]"),
        (np.array(["a", 1, 2, 3], object), "labels.npy is not an .npy file of plain numbers"),
        (np.array([0, 1, 2**31, 3]), "the label 2147483648: expected classes from 0"),
        (np.array([0, 1, -7, 3]), "the label -7: expected classes from 0"),
        (np.array([0, 1, 2, 2**64 - 1], np.uint64), "the label 18446744073709551615: expected"),
    ],
)
def test_labels_that_are_none(tmp_path, labels, message):
    with pytest.raises(ValueError, match=message):
        open_source(saved(tmp_path, np.zeros((4, 8, 8, 3), np.uint8), labels))


def test_channels_that_cannot_be_had_are_refused(tmp_path):
    source = open_source(saved(tmp_path, np.zeros((4, 8, 8, 3), np.uint8)))
    assert [probe(source, channels=channels).channels for channels in (None, 1, 3)] == [3, 1, 3]
    with pytest.raises(ValueError, match="has images of 3 channels, which cannot become 13: set --channels=1 or 3"):
        probe(source, channels=13)
    source = open_source(saved(tmp_path, np.zeros((4, 8, 8, 13), np.uint8)))
    with pytest.raises(ValueError, match="images of 13 channels, which cannot become 3: set --channels=13"):
        probe(source, channels=3)
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="encoded images, of 1 or 3 channels, which cannot become 4"):
        probe(open_source(f"folder:{tmp_path}"), channels=4)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_numbers_of_any_range_are_brought_to_theirs(tmp_path, dtype):
    """HU and metres as they are: 0 to 1 in a canvas is what the images use."""
    images = np.random.default_rng(0).normal(-300, 200, (30, 8, 8, 1)).astype(dtype)
    config = Config(data=saved(tmp_path, images), image_size=8)
    source = open_source(config.data)
    with pytest.raises(ValueError, match=r"no range of their own|images \(100.0%\) cannot be read"):
        _, spec = resolve(dataclasses.replace(config, normalize="none"), source, SimCLR)
        load_canvases(source, spec)
    config, spec = resolve(config, source, SimCLR)
    low, high = np.percentile(images, [1, 99])
    assert spec.values.ranges[0] == pytest.approx((low, high), rel=1e-5) and config.normalize.startswith("range:")
    canvases = load_canvases(source, spec)
    expected = np.clip((images - low) / (high - low), 0, 1)
    np.testing.assert_allclose((canvases.images - 1.0) / 65534, expected, atol=1e-4)


def test_an_archive_of_splits_is_read_split_by_split(real_data, tmp_path):
    (path,) = (real_data / "pneumoniamnist").glob("*.npz")
    with np.load(path) as arrays:
        train, test, note = train_and_test(f"npz:{path}")
        assert (len(train), len(test)) == (len(arrays["train_images"]), len(arrays["test_images"])) and "test" in note
        np.testing.assert_array_equal(train.labels, arrays["train_labels"].ravel())
        np.testing.assert_array_equal(test.labels, arrays["test_labels"].ravel())
        np.testing.assert_array_equal(train.read(7)[..., 0], arrays["train_images"][7])
        np.testing.assert_array_equal(test.read(7)[..., 0], arrays["test_images"][7])
    np.savez(tmp_path / "odd.npz", train_images=np.zeros((4, 8, 8), np.uint8), train_labels=np.zeros(3, np.int64))
    with pytest.raises(ValueError, match=r"train_labels is \[3\]: expected one for each image"):
        open_source(f"npz:{tmp_path}/odd.npz")
    with pytest.raises(ValueError, match="no file"):
        open_source(f"npz:{tmp_path}/none.npz")
