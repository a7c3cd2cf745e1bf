"""HDF5 files against h5py: one dataset, several, packed and plain; and what is refused."""

import struct
import zlib

import numpy as np
import pytest

from ssl_keras.data.readers import hdf5
from ssl_keras.data.readers.contract import ReadOptions
from ssl_keras.errors import UserError
from tests.data.readers.damage import hundreds, refused_at_once

h5py = pytest.importorskip("h5py")
ANY = ReadOptions()


def values(shape, dtype=np.uint16):
    return np.random.default_rng(len(shape)).integers(0, 200, shape).astype(dtype)


def saved(path, how=None, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name.replace("__", "/"), data=array, **how or {})
    return str(path)


@pytest.mark.parametrize(
    "how",
    [{}, {"chunks": (1, 8, 9, 3)}, {"chunks": (2, 5, 4, 2), "compression": "gzip", "shuffle": True, "fletcher32": True},
     {"chunks": True, "compression": "lzf"}],
)  # fmt: skip
@pytest.mark.parametrize(
    "dtype", ["uint8", ">u2", "int8", "int16", "<i4", "uint32", "float16", "float32", ">f8", "bool"]
)
def test_pictures_of_any_dtype_and_packing(tmp_path, dtype, how):
    array = values((5, 8, 9, 3), dtype)
    path = saved(tmp_path / "a.h5", how, images=array)
    found = hdf5.facts(path, ANY)
    assert (found.count, found.shape) == (5, (8, 9, 3))
    for number in (0, 4):
        picture = hdf5.read(path, number, ANY)
        assert picture.pixels.dtype == found.dtype and picture.pixels.dtype.isnative
        np.testing.assert_array_equal(picture.pixels, array[number].astype(found.dtype))


@pytest.mark.parametrize(
    ("shape", "count", "each"),
    [
        ((5, 8, 9), 5, (8, 9, 1)),
        ((48, 64), 1, (48, 64, 1)),
        ((48, 64, 3), 1, (48, 64, 3)),
        ((2, 8, 9, 13), 2, (8, 9, 13)),
        ((1, 8, 9), 1, (8, 9, 1)),
        ((1, 8, 9, 2), 1, (8, 9, 2)),
    ],
)
def test_axes(tmp_path, shape, count, each):
    array = values(shape)
    path = saved(tmp_path / "a.h5", {"chunks": True, "compression": "gzip"}, a=array)
    found = hdf5.facts(path, ANY)
    assert (found.count, found.shape) == (count, each)
    np.testing.assert_array_equal(hdf5.read(path, count - 1, ANY).pixels, array.reshape(count, *each)[-1])
    with pytest.raises(UserError, match=f"no picture {count}"):
        hdf5.read(path, count, ANY)


def test_several_datasets_are_listed_and_one_is_named(tmp_path):
    path = saved(tmp_path / "a.h5", train__x=values((5, 8, 9)), test__x=values((4, 8, 9)), y=values((5,)))
    expected = r"it holds 2 datasets that may be images, /test/x \[4, 8, 9\], /train/x \[5, 8, 9\]: name one, as in "
    with pytest.raises(UserError, match=expected + f"{path}::/test/x"):
        hdf5.facts(path, ANY)
    for name in ("/train/x", "train/x"):
        assert hdf5.facts(f"{path}::{name}", ANY).count == 5
        np.testing.assert_array_equal(hdf5.read(f"{path}::{name}", 2, ANY).pixels[..., 0], values((5, 8, 9))[2])
    for name, reason in (("/none", "it holds no /none"), ("/train", "/train is a group"), ("/y", "/y is 5: expected")):
        with pytest.raises(UserError, match=reason):
            hdf5.facts(f"{path}::{name}", ANY)
    alone = saved(tmp_path / "b.h5", images=values((5, 8, 9)), labels=values((5,)), names=np.array([b"a", b"b"]))
    assert hdf5.facts(alone, ANY).count == 5
    with pytest.raises(UserError, match=r"no dataset of images: /y \[5\]"):
        hdf5.facts(saved(tmp_path / "c.h5", y=values((5,))), ANY)
    with pytest.raises(UserError, match="no dataset of images: no dataset at all"):
        hdf5.facts(saved(tmp_path / "c.h5"), ANY)
    with pytest.raises(UserError, match=r"looks like \[N, C, H, W\]"):
        hdf5.facts(saved(tmp_path / "c.h5", a=values((5, 3, 32, 32))), ANY)


def test_what_lies_elsewhere_is_not_read(tmp_path):
    saved(tmp_path / "other.h5", secret=values((5, 8, 9)))
    (tmp_path / "raw.bin").write_bytes(bytes(10_000))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["link"] = h5py.ExternalLink("other.h5", "/secret")
        file["soft"] = h5py.SoftLink("/link")
        file["hidden"] = h5py.SoftLink("/virtual")
        file.create_dataset("outside", (5, 8, 9), "u1", external=[(str(tmp_path / "raw.bin"), 0, 10_000)])
        layout = h5py.VirtualLayout((5, 8, 9), "u2")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", (5, 8, 9))
        file.create_virtual_dataset("virtual", layout)
    for name, reason in (
        ("link", "is a link to another place"),
        ("soft", "is a link to another place"),
        ("hidden", "is a link to another place"),
        ("outside", "lies in other files"),
        ("virtual", "lies in other files"),
    ):
        for act in (hdf5.facts, lambda path, options: hdf5.read(path, 0, options)):
            with pytest.raises(UserError, match=reason):
                act(f"{tmp_path / 'a.h5'}::/{name}", ANY)
    with pytest.raises(UserError, match=r"2 datasets that may be images, /outside .*, /virtual"):
        hdf5.facts(str(tmp_path / "a.h5"), ANY)


def test_what_was_never_written_and_what_is_no_number(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("never", (5, 8, 9), "u2", chunks=(1, 8, 9))
        part = file.create_dataset("part", (5, 8, 9), "u2", chunks=(1, 8, 9))
        part[0] = 1
        file.create_dataset("texts", (5, 8, 9), h5py.string_dtype())
        file.create_dataset("pairs", (5, 8, 9), [("a", "u1"), ("b", "u1")])
        file["nothing"] = h5py.Empty("u2")
    path = tmp_path / "a.h5"
    for name, reason in (
        ("never", "nothing was ever written"),
        ("texts", "it holds"),
        ("pairs", "it holds"),
        ("nothing", "is empty"),
    ):
        with pytest.raises(UserError, match=reason):
            hdf5.facts(f"{path}::{name}", ANY)
    assert hdf5.read(f"{path}::part", 0, ANY).pixels.max() == 1
    with pytest.raises(UserError, match="a part of the picture was never written"):
        hdf5.read(f"{path}::part", 1, ANY)


def test_forged_sizes_are_refused_at_once(tmp_path):
    whole = tmp_path / "whole.h5"
    saved(whole, images=values((5, 8, 9)))
    data = whole.read_bytes()
    size = struct.pack("<QQQ", 5, 8, 9)
    for forged in ((5, 60000, 60000), (2**40, 8, 9), (2**62, 2**62, 9)):
        (tmp_path / "a.h5").write_bytes(data.replace(size, struct.pack("<QQQ", *forged)))
        refused_at_once(hdf5, tmp_path / "a.h5", ReadOptions(max_bytes=2**34))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("images", (10**6, 60000, 60000), "f8", chunks=(1, 100, 100))[0, 0, 0] = 1
        file.create_dataset("chunks", (10, 1000, 1000), "u1", chunks=(10, 1000, 1000), compression="gzip")[:] = 0
    assert "too large" in refused_at_once(hdf5, f"{tmp_path / 'b.h5'}::images")
    refused_at_once(hdf5, f"{tmp_path / 'b.h5'}::chunks", ReadOptions(max_bytes=2 * 10**6))


def test_a_chunk_that_inflates_beyond_its_size_is_not_inflated(tmp_path):
    packed = zlib.compress(bytes(2**25), 9)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        images = file.create_dataset("images", (5, 512, 512), "u1", chunks=(1, 512, 512), compression="gzip")
        images.id.write_direct_chunk((0, 0, 0), packed)
    with pytest.raises(UserError, match="a chunk inflates to more than its 262,144 bytes"):
        hdf5.read(str(tmp_path / "a.h5"), 0, ReadOptions(max_bytes=2**23))


def test_damaged_files_are_read_or_refused(tmp_path):
    seeds = []
    for how in (
        {},
        {"chunks": (1, 8, 9), "compression": "gzip", "shuffle": True},
        {"chunks": True, "fletcher32": True},
    ):
        for version in ("earliest", "latest"):
            with h5py.File(tmp_path / "b.h5", "w", libver=version) as file:
                file.create_dataset("group/images", data=values((5, 8, 9)), **how)
                file.create_dataset("labels", data=values((5,)))
            seeds.append((tmp_path / "b.h5").read_bytes())
    assert all(hdf5.is_one(seed[:4096]) for seed in seeds) and not hdf5.is_one(b"")
    counts = hundreds(hdf5, seeds, tmp_path / "a.h5", 400)
    assert counts["refused"] > 100 and counts["read"] > 20
