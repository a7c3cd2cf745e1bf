"""NPZ archives against numpy: MedMNIST, Keras' MNIST, one array; and what is refused."""

import io
import struct
import zipfile

import numpy as np
import pytest

from ssl_keras.data.readers import npz
from ssl_keras.data.readers.contract import ReadOptions
from ssl_keras.errors import UserError
from tests.data.readers.damage import hundreds, refused_at_once

ANY = ReadOptions()


def values(shape, dtype=np.uint8):
    return np.random.default_rng(len(shape)).integers(0, 200, shape).astype(dtype)


def saved(path, packed=True, **arrays):
    (np.savez_compressed if packed else np.savez)(path, **arrays)
    return str(path)


def medmnist(**more):
    arrays = {}
    for split, count in (("train", 7), ("val", 3), ("test", 4)):
        arrays |= {f"{split}_images": values((count, 8, 9)) + count, f"{split}_labels": values((count, 1))}
    return arrays | more


def member(array_bytes, name="a.npy", packed=True):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        archive.writestr(name, array_bytes)
    return buffer.getvalue()


def npy(array, **how):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **how)
    return buffer.getvalue()


def test_real_archive(real_data):
    path = str(real_data / "pneumoniamnist" / "pneumoniamnist.npz")
    with np.load(path) as archive:
        arrays = dict(archive)
    assert list(npz.splits(path)) == ["train", "val", "test"]
    found = npz.facts(path, ANY)
    assert (found.count, found.shape, found.dtype) == (2428 + 270 + 468, (28, 28, 1), "uint8")
    images = np.concatenate([arrays[f"{split}_images"] for split in ("train", "val", "test")])
    for number in (0, 1, 2427, 2428, 2697, 2698, 3165):
        np.testing.assert_array_equal(npz.read(path, number, ANY).pixels[..., 0], images[number])
    for split in ("train", "val", "test"):
        labels = npz.labels(path, split)
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(labels, arrays[f"{split}_labels"][:, 0])


def test_an_archive_is_inflated_once(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.npz", **medmnist())
    inflated = []
    once = npz._inflated
    monkeypatch.setattr(npz, "_inflated", lambda path, member: inflated.append(member.file) or once(path, member))
    for _ in range(3):
        for number in range(14):
            npz.read(path, number, ANY)
    assert sorted(inflated) == ["test_images.npy", "train_images.npy", "val_images.npy"]
    saved(tmp_path / "a.npz", **medmnist(train_images=values((70, 8, 9)), train_labels=values((70, 1))))
    np.testing.assert_array_equal(npz.read(path, 69, ANY).pixels[..., 0], values((70, 8, 9))[69])
    assert len(inflated) == 4


def test_what_is_kept_is_bounded(tmp_path):
    path = saved(tmp_path / "a.npz", **medmnist())
    small = ReadOptions(max_bytes=7 * 72)
    for number in (0, 8, 12, 0):
        npz.read(path, number, small)
        assert sum(array.nbytes for array in npz._KEPT.values()) <= 7 * 72
    with pytest.raises(UserError, match=r"too large: .* 7 x 8 x 9"):
        npz.facts(path, ReadOptions(max_bytes=500))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dtype", [">u2", "int8", "float16", "float64", "bool", "uint32"])
def test_one_array_of_any_dtype_and_order(tmp_path, dtype, packed):
    array = np.asfortranarray(values((5, 8, 9, 3), dtype))
    path = saved(tmp_path / "a.npz", packed, arr_0=array)
    found = npz.facts(path, ANY)
    assert (found.count, found.shape) == (5, (8, 9, 3))
    picture = npz.read(path, 4, ANY)
    assert picture.pixels.dtype == found.dtype and picture.pixels.dtype.isnative
    np.testing.assert_array_equal(picture.pixels, array[4].astype(found.dtype))
    assert npz.splits(path) == {"train": ("arr_0", None)} and npz.labels(path, "train") is None


def test_other_forms(tmp_path):
    path = saved(tmp_path / "a.npz", x_train=values((5, 8, 9)), y_train=values((5,)), x_test=values((4, 8, 9)))
    assert npz.splits(path) == {"train": ("x_train", "y_train"), "test": ("x_test", None)}
    assert npz.facts(path, ANY).remark == "train 5, test 4"
    path = saved(tmp_path / "b.npz", pictures=values((5, 8, 9)), targets=values((5,)), names=np.array(["a", "b"]))
    assert npz.splits(path) == {"train": ("pictures", "targets")}
    path = saved(tmp_path / "c.npz", depth=values((480, 640), np.uint16))
    assert npz.facts(path, ANY).shape == (480, 640, 1)
    np.testing.assert_array_equal(npz.read(path, 0, ANY).pixels[..., 0], values((480, 640), np.uint16))
    path = saved(tmp_path / "d.npz", photo=values((48, 64, 3)))
    np.testing.assert_array_equal(npz.read(path, 0, ANY).pixels, values((48, 64, 3)))
    path = saved(tmp_path / "e.npz", **medmnist(train_labels=values((7, 14))))
    assert npz.labels(path, "train") is None and len(npz.labels(path, "test")) == 4


def test_archives_that_do_not_say_what_to_read(tmp_path):
    for arrays, reason in (
        ({"a": values((5, 8, 9)), "b": values((5, 8, 9))}, r"it holds a \[5, 8, 9\], b \[5, 8, 9\]: expected train_im"),
        ({"a": values((5,))}, r"it holds a \[5\]: expected"),
        ({}, "it holds no array"),
        (medmnist(val_images=values((3, 9, 9))), "images of different kinds"),
        (medmnist(val_labels=values((4,))), r"val_labels is \[4\]: expected one for each image"),
        (medmnist(train_images=values((7, 72))), r"train_images is 7 x 72: expected images"),
        ({"a": values((5, 3, 32, 32))}, r"looks like \[N, C, H, W\]"),
        ({"a": np.array(["a"] * 600).reshape(3, 10, 20)}, "it holds str"),
        ({"a": np.zeros((3, 10, 20), np.complex64)}, "it holds complex64"),
        ({"a": np.zeros((0, 10, 20))}, "a is 0 x 10 x 20: expected images"),
    ):
        with pytest.raises(UserError, match=reason):
            npz.facts(saved(tmp_path / "a.npz", **arrays), ANY)
    path = saved(tmp_path / "b.npz", **medmnist(test_labels=values((4,)) + 0.5))
    with pytest.raises(UserError, match="test_labels holds float64"):
        npz.labels(path, "test")
    with pytest.raises(UserError, match="no split 'all': it has train, val, test"):
        npz.labels(path, "all")
    with pytest.raises(UserError, match="no picture 14"):
        npz.read(path, 14, ANY)


def test_pickles_are_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("it was unpickled",))

    path = tmp_path / "a.npz"
    path.write_bytes(member(npy(np.array([[[Trap()]]], object), allow_pickle=True)))
    assert "never unpickled" in refused_at_once(npz, path)


def test_forged_archives_are_refused_at_once(tmp_path):
    path = tmp_path / "a.npz"
    whole = npy(values((5, 8, 9)))
    for shape in ("(60000, 60000, 60000)", "(5, 8, 10)", "(5, -8, 9)", "(5, 8, 9.0)", "(99999999999999999999, 8, 9)"):
        head = whole[:128].replace(b"(5, 8, 9)", shape.encode())[:127].rstrip()  # the header's end stays where it was
        path.write_bytes(member(head.ljust(127) + b"\n" + whole[128:]))
        refused_at_once(npz, path)
    long = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b" " * 2**25  # a header that inflates to gigabytes
    path.write_bytes(member(long))
    refused_at_once(npz, path)
    data = bytearray(member(whole))
    for mark, at in ((b"PK\3\4", 22), (b"PK\1\2", 24)):  # the inflated size, in both places
        struct.pack_into("<I", data, data.index(mark) + at, 2**31)
    path.write_bytes(bytes(data))
    assert "claims" in refused_at_once(npz, path)
    path.write_bytes(member(npy(np.zeros((2, 2**12, 2**12), np.uint8))))  # inflates by a thousand, and truly
    assert npz.facts(str(path), ANY).count == 2
    refused_at_once(npz, path, ReadOptions(max_bytes=2**24))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.npy", whole)
    assert "packed in a way" in refused_at_once(npz, path)


def test_a_wrong_checksum_is_told(tmp_path):
    data = bytearray(member(npy(values((5, 8, 9))), packed=False))
    data[data.index(b"NUMPY") + 200] ^= 1
    (tmp_path / "a.npz").write_bytes(bytes(data))
    with pytest.raises(UserError, match="damaged NPZ: Bad CRC-32"):
        npz.read(str(tmp_path / "a.npz"), 0, ANY)


def test_damaged_files_are_read_or_refused(tmp_path):
    seeds = []
    for packed in (True, False):
        saved(tmp_path / "b.npz", packed, **medmnist())
        seeds.append((tmp_path / "b.npz").read_bytes())
    assert all(npz.is_one(seed[:4096]) for seed in seeds) and not npz.is_one(b"PK\3\4")
    counts = hundreds(npz, seeds, tmp_path / "a.npz", 400)
    assert counts["refused"] > 100
