"""NIfTI that is damaged or forged: a sentence, soon, and no memory for what is only claimed."""

import gzip
import time
import tracemalloc

import numpy as np
import pytest

from ssl_keras.data.readers import nifti
from ssl_keras.data.readers.contract import ReadOptions
from ssl_keras.errors import UserError
from tests.data.readers.niftis import SHAPE, forged, saved, voxels

nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed: pip install -r requirements-imaging.txt")

OPTIONS = ReadOptions()
PLANES = ("axial", "coronal", "sagittal")


HUGE = (40, "8h", 3, 32767, 32767, 32767, 1, 1, 1, 1)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"dim": HUGE}, "^too large: its header claims 32767 x 32767 x 1 values, 2,048 MiB"),
        ({"dim": (40, "8h", 3, 9000, 9000, 9000, 1, 1, 1, 1)}, "^its header claims 154 MiB of pixels"),
        (
            {"dim": (40, "8h", 3, 5, 6, 8, 1, 1, 1, 1)},
            "^damaged NIfTI: cut off, its header claims 832 bytes, 772 bytes",
        ),
        ({"dim": (40, "8h", 5, 5, 6, 7, 32767, 32767, 1, 1)}, "^damaged NIfTI: cut off"),
        ({"dim": (40, "8h", 3, 5, 6, 0, 1, 1, 1, 1)}, "^damaged NIfTI: its dimensions are none"),
        ({"dim": (40, "8h", 3, 5, 6, -7, 1, 1, 1, 1)}, "^damaged NIfTI: its dimensions are none"),
        ({"dim": (40, "8h", 0, 5, 6, 7, 1, 1, 1, 1)}, "^damaged NIfTI"),
        ({"type": (70, "h", 32)}, "^NIfTI of complex64"),
        ({"type": (70, "h", 2304)}, "^NIfTI of "),
        ({"type": (70, "h", 999)}, "^damaged NIfTI: its header cannot be parsed"),
        ({"start": (108, "f", 1e30)}, "^damaged NIfTI: its voxels are not where it says"),
        ({"start": (108, "f", float("nan"))}, "^damaged NIfTI: its voxels are not where it says"),
        ({"start": (108, "f", 20.0)}, "^damaged NIfTI: its voxels are not where it says"),
        ({"scale": (112, "ff", 1e30, 0)}, "^damaged NIfTI: its scl_slope or scl_inter makes"),
        ({"scale": (112, "ff", 2, float("inf"))}, "^damaged NIfTI: its header cannot be parsed"),
        ({"srow": (280, "4f", *[float("nan")] * 4)}, "^damaged NIfTI: its affine is no orientation"),
        ({"srow": (280, "12f", *[0.0] * 12)}, "^damaged NIfTI: its affine is no orientation"),
        ({"magic": (344, "4s", b"ni1\0")}, "^NIfTI of two files, .hdr and .img"),
    ],
)
@pytest.mark.parametrize("is_packed", [False, True])
def test_what_is_refused_is_said_why(tmp_path, fields, reason, is_packed):
    path = forged(tmp_path, saved(tmp_path, voxels()).read_bytes(), **fields)
    if is_packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
        if "bytes" in reason or "cut off" in reason:  # known of a packed file when it is read
            return
    nifti.facts(saved(tmp_path, voxels()), OPTIONS)  # nibabel is imported
    tracemalloc.start()
    begin = time.perf_counter()
    with pytest.raises(UserError, match=reason):
        nifti.read(path, 0, OPTIONS)
    assert time.perf_counter() - begin < 0.1
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_four_hundred_bytes_that_claim_a_volume(tmp_path):
    whole = saved(tmp_path, voxels()).read_bytes()
    for sides in ((32767, 32767, 32767), (1000, 1000, 1000), (30, 30, 30)):
        path = forged(tmp_path, whole, dim=(40, "8h", 3, *sides, 1, 1, 1, 1))
        for file in (path.read_bytes()[:400], gzip.compress(path.read_bytes()[:400])):
            path.write_bytes(file)
            for plane in PLANES:
                begin = time.perf_counter()
                with pytest.raises(UserError, match=r"too large|claims|cut off"):
                    nifti.read(path, 0, ReadOptions(slices=plane))
                assert time.perf_counter() - begin < 0.1


def test_a_packed_file_is_unpacked_no_further_than_its_slice(tmp_path):
    volume = np.zeros((64, 64, 300), "int16")
    path = saved(tmp_path, volume, "a.nii.gz")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert not nifti.read(path, 10, OPTIONS).pixels.any()
    for ask in (lambda: nifti.read(path, 290, OPTIONS), lambda: nifti.read(path, 0, ReadOptions(slices="coronal"))):
        with pytest.raises(UserError, match="damaged NIfTI: it is cut off"):
            ask()
    tracemalloc.start()
    nifti.read(saved(tmp_path, volume), 10, OPTIONS)
    assert tracemalloc.get_traced_memory()[1] < volume.nbytes / 4
    tracemalloc.stop()


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    path = saved(tmp_path, voxels())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install nibabel"):
        nifti.facts(path, OPTIONS)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UserError, match="it cannot be read"):
        nifti.facts(tmp_path / "none.nii", OPTIONS)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "b.nii"])
@pytest.mark.parametrize("plane", PLANES)
def test_damage_is_told_in_a_sentence(tmp_path, capfd, plane, name):
    kind = nibabel.Nifti2Image if name.startswith("b") else nibabel.Nifti1Image
    whole = saved(tmp_path, voxels("int16", (*SHAPE, 2)), name, kind=kind).read_bytes()
    rng = np.random.default_rng(len(plane))
    options = ReadOptions(slices=plane, max_bytes=2**22)
    tracemalloc.start()
    for trial in range(120):
        file = bytearray(whole)
        if trial % 4 == 3:
            file = file[: rng.integers(4, len(file))]
        for at in rng.integers(4, min(len(file), len(file) if "gz" in name else 540), rng.integers(1, 6)):
            file[at] = rng.integers(0, 256)
        (tmp_path / name).write_bytes(file)
        try:
            facts = nifti.facts(tmp_path / name, options)
            picture = nifti.read(tmp_path / name, facts.count - 1, options)
            assert (picture.pixels.shape, picture.pixels.dtype) == (facts.shape, facts.dtype)
        except UserError as error:
            assert "\n" not in str(error)
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()
    assert capfd.readouterr() == ("", "")
