"""Images in memory and streamed: what is kept, what is left out and why."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssl_keras.data.canvases.batches import eval_batches, train_batches
from ssl_keras.data.canvases.memory import Canvases, CanvasSpec, load_canvases
from ssl_keras.data.canvases.pipeline import BadFilesError
from ssl_keras.data.canvases.probe import probe
from ssl_keras.data.canvases.streams import StreamedCanvases
from ssl_keras.data.sources import open_source
from ssl_keras.data.splits import take


def gray_files(root, count, bad=()):
    """Image i is 2 × (i + 3) px of the value i; those named bad are cut off."""
    for i in range(count):
        path = root / f"{i:03}.png"
        Image.new("L", (i + 3, 2), i).save(path)
        if i in bad:
            path.write_bytes(path.read_bytes()[:-20])
    return open_source(f"folder:{root}")


def test_every_readable_file_is_kept_in_order(tmp_path):
    source = gray_files(tmp_path, 30, bad=(4, 17))
    canvases = load_canvases(source, CanvasSpec(8, 1), max_bad_fraction=0.1)
    good = [i for i in range(30) if i not in (4, 17)]
    assert canvases.index.tolist() == good and canvases.images.dtype == np.uint8
    np.testing.assert_array_equal(canvases.images[:, 3, 3, 0], good)
    np.testing.assert_array_equal(canvases.sizes, [(2, i + 3) for i in good])
    assert (canvases.labels == -1).all()
    rows = np.concatenate([batch["index"] for batch in eval_batches(canvases, 10).as_numpy_iterator()])
    assert rows.tolist() == list(range(28))  # batches number what was kept
    assert canvases.bad == [(str(tmp_path / name), "truncated PNG") for name in ("004.png", "017.png")]


def test_too_many_bad_files_stop_the_load(tmp_path):
    source = gray_files(tmp_path, 8, bad=(0, 2, 5))
    with pytest.raises(
        BadFilesError, match=r"3 of 8 images \(37.5%\).*--max_bad_fraction=0.01.*000.png: trunc"
    ) as error:
        load_canvases(source, CanvasSpec(8, 1))
    assert len(error.value.bad) == 3
    with pytest.raises(BadFilesError):
        load_canvases(source, CanvasSpec(8, 1), budget_bytes=0)


def test_float_arrays_outside_the_unit_range_are_named(tmp_path):
    images = np.random.default_rng(0).random((6, 8, 8, 1), np.float32)
    images[3] *= 255
    images[4, 0, 0] = np.nan
    np.save(tmp_path / "a.npy", images)
    source = open_source(f"npy:{tmp_path}/a.npy")
    with pytest.raises(BadFilesError, match=r"a.npy\[3\]: values from .* to 2.*0 to 1"):
        load_canvases(source, CanvasSpec(8, 1, "float32"))
    canvases = load_canvases(source, CanvasSpec(8, 1, "float32"), max_bad_fraction=0.5)
    assert canvases.index.tolist() == [0, 1, 2, 5] and "not finite" in canvases.bad[1][1]
    np.testing.assert_array_equal(canvases.images, images[[0, 1, 2, 5]])


def test_a_resumed_run_is_told_that_its_data_has_changed(tmp_path):
    canvases = load_canvases(gray_files(tmp_path, 30, bad=(4, 17)), CanvasSpec(8, 1), max_bad_fraction=0.1)
    assert canvases.bad_indices == [4, 17]
    canvases.expect_bad([17, 4])
    with pytest.raises(ValueError, match=r"can no longer be read: .*017.png \(truncated PNG\)"):
        canvases.expect_bad([4])
    with pytest.raises(ValueError, match=r"can be read again: number 9.*start a new run"):
        canvases.expect_bad([4, 9, 17])


def test_streamed_batches_equal_those_in_memory(tmp_path):
    source = gray_files(tmp_path, 20)
    memory = load_canvases(source, CanvasSpec(8, 1))
    stream = load_canvases(source, CanvasSpec(8, 1), budget_bytes=0)
    assert isinstance(memory, Canvases) and isinstance(stream, StreamedCanvases)
    for make in (lambda c: train_batches(c, 6, seed=3, start_step=3, steps=6), lambda c: eval_batches(c, 6)):
        pairs = list(zip(make(memory).as_numpy_iterator(), make(stream).as_numpy_iterator(), strict=True))
        assert len(pairs) in (6, 4)
        for one, other in pairs:
            assert one.keys() == other.keys()
            for key in one:
                np.testing.assert_array_equal(one[key], other[key])
        assert make(memory).element_spec == make(stream).element_spec


def test_stream_passes_over_bad_files(tmp_path):
    # More images than the first look takes in, bad ones where it does not look.
    source = gray_files(tmp_path, 40, bad=(7, 23))
    stream = load_canvases(source, CanvasSpec(8, 1), max_bad_fraction=0.1, budget_bytes=0)
    batches = list(train_batches(stream, 10, seed=0, steps=8).as_numpy_iterator())
    assert len(batches) == 8  # bad files leave no gap
    for batch in batches:
        np.testing.assert_array_equal(batch["image"][:, 3, 3, 0], batch["index"])
        assert not {7, 23} & set(batch["index"].tolist())
    assert [name for name, _ in stream.bad] == [str(tmp_path / "007.png"), str(tmp_path / "023.png")]
    kept = np.concatenate([batch["index"] for batch in eval_batches(stream, 16).as_numpy_iterator()])
    assert kept.tolist() == [i for i in range(40) if i not in (7, 23)]


def test_stream_stops_when_files_go_bad(tmp_path):
    source = gray_files(tmp_path, 40)
    stream = load_canvases(source, CanvasSpec(8, 1), budget_bytes=0)
    for i in range(20):
        (tmp_path / f"{i:03}.png").write_bytes(b"")
    with pytest.raises(tf.errors.OpError, match=r"BadFilesError.*cannot be read"):
        list(train_batches(stream, 10, seed=0, steps=8))


def test_probe_takes_the_widest_kind(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    assert probe(open_source(f"folder:{tmp_path}")).channels == 1
    Image.new("RGB", (4, 4), "red").save(tmp_path / "b.jpg")
    (tmp_path / "broken.png").write_bytes(b"text")
    found = probe(open_source(f"folder:{tmp_path}"))
    assert (found.channels, found.dtype) == (3, "uint8") and "1 of 2 are gray" in found.note
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "c.tif")
    found = probe(open_source(f"folder:{tmp_path}"))
    assert (found.channels, found.dtype) == (3, "uint16") and "16 bits" in found.note
    assert probe(open_source(f"folder:{tmp_path}"), channels=1, dtype="uint8").channels == 1


def test_a_folder_keeps_all_but_its_three_broken_files(folder_example):
    source = open_source(f"folder:{folder_example}")
    found = probe(source)
    assert (found.channels, found.dtype) == (3, "uint16")
    canvases = load_canvases(source, CanvasSpec(32, found.channels, found.dtype))
    assert len(source) == len([path for path in folder_example.rglob("*.*") if path.suffix != ".md"])
    assert len(canvases) == len(source) - 3
    assert [(name.rsplit("/", 1)[1], reason) for name, reason in canvases.bad] == [
        ("empty.jpg", "empty file"),
        ("text_named.png", "a text file, not an image"),
        ("truncated.jpg", "truncated JPEG"),
    ]
    row = [source.describe(i).endswith("gray16.png") for i in canvases.index].index(True)
    assert canvases.sizes[row].tolist() == [180, 240]
    rotated = [source.describe(i).endswith("exif_rotated.jpg") for i in canvases.index].index(True)
    assert canvases.sizes[rotated].tolist() == [180, 240]


def test_real_cifar10_means(real_data):
    source = take(open_source("tfds:cifar10", data_dir=str(real_data / "tfds")), 5000)
    canvases = load_canvases(source, CanvasSpec(32))
    assert not canvases.bad and (canvases.sizes == 32).all()
    np.testing.assert_allclose(canvases.images.mean((0, 1, 2)), [125.3, 122.9, 113.9], atol=2)
