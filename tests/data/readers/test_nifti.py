"""NIfTI: slices upright whatever way a volume lies in its file, in the file's unit, and damage told in a sentence."""

import gzip
import itertools

import numpy as np
import pytest

from ssl_keras.data.readers import nifti
from ssl_keras.data.readers.contract import ReadOptions
from ssl_keras.errors import UserError
from tests.data.readers.niftis import SHAPE, forged, saved, voxels

nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed: pip install -r requirements-imaging.txt")

OPTIONS = ReadOptions()
# What a volume that runs to the right, the front and the head looks like, by hand.
UPRIGHT = {
    "axial": lambda volume, k: volume[::-1, ::-1, k].T,
    "coronal": lambda volume, k: volume[::-1, k, ::-1].T,
    "sagittal": lambda volume, k: volume[k, ::-1, ::-1].T,
}
AXES = {"sagittal": 0, "coronal": 1, "axial": 2}


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("order", itertools.permutations(range(3)))
def test_slices_are_upright_whatever_way_the_volume_lies(tmp_path, order, name):
    volume = voxels()
    world = nibabel.Nifti1Image(volume, np.diag([0.5, 0.75, 2, 1]))
    for signs in itertools.product((1, -1), repeat=3):
        turned = world.as_reoriented(np.stack([order, signs], -1))
        nibabel.save(turned, tmp_path / name)
        for plane, upright in UPRIGHT.items():
            options = ReadOptions(slices=plane)
            facts = nifti.facts(tmp_path / name, options)
            assert facts.count == SHAPE[AXES[plane]] and facts.dtype == "int16" and facts.remark is None
            for number in (0, facts.count - 1):
                found = nifti.read(tmp_path / name, number, options).pixels
                assert found.shape == facts.shape
                np.testing.assert_array_equal(found[..., 0], upright(volume, number))
        sides = {"axial": (0.75, 0.5), "coronal": (2, 0.5), "sagittal": (2, 0.75)}
        assert facts.spacing == sides["sagittal"]


@pytest.mark.parametrize(("plane", "turn"), [("axial", 0.2), ("coronal", -0.3), ("sagittal", 0.5)])
def test_oblique_volumes_are_cut_along_the_nearest_axis(tmp_path, plane, turn):
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    volume = voxels()
    path = saved(tmp_path, volume, affine=affine)
    np.testing.assert_array_equal(
        nifti.read(path, 3, ReadOptions(slices=plane)).pixels[..., 0], UPRIGHT[plane](volume, 3)
    )
    np.testing.assert_allclose(nifti.facts(path, ReadOptions(slices=plane)).spacing, (1, 1), rtol=1e-6)


@pytest.mark.parametrize("kind", ["Nifti1Image", "Nifti2Image"])
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        *((dtype, dtype) for dtype in ("uint8", "uint16", "int16", "int32", "float32")),
        *(
            ("int8", "int16"),
            ("uint32", "float32"),
            ("int64", "float32"),
            ("uint64", "float32"),
            ("float64", "float32"),
        ),
        *((">i2", "int16"), (">f4", "float32")),
    ],
)
def test_dtypes(tmp_path, dtype, expected, kind):
    volume = voxels(np.dtype(dtype).newbyteorder("=").name).astype(dtype)
    kind = getattr(nibabel, kind)
    header = kind.header_class(endianness=">" if dtype.startswith(">") else "<")
    header.set_data_dtype(volume.dtype)
    nibabel.save(kind(volume, np.eye(4), header), tmp_path / "a.nii")
    assert nifti.facts(tmp_path / "a.nii", OPTIONS).dtype == expected
    found = nifti.read(tmp_path / "a.nii", 2, OPTIONS).pixels
    assert found.dtype == np.dtype(expected) and found.dtype.isnative
    np.testing.assert_array_equal(found[..., 0], UPRIGHT["axial"](volume, 2).astype(expected))


def test_not_a_number_stays(tmp_path):
    volume = voxels("float32")
    volume[2] = np.nan
    found = nifti.read(saved(tmp_path, volume), 0, OPTIONS).pixels[..., 0]
    np.testing.assert_array_equal(found, UPRIGHT["axial"](volume, 0))
    assert np.isnan(found).any() and nifti.read(saved(tmp_path, volume), 0, OPTIONS).valid is None


@pytest.mark.parametrize(
    ("dtype", "slope", "intercept", "expected"),
    [
        ("int16", 1, 0, "int16"),
        ("int16", 0, 7, "int16"),  # a slope of 0: none
        ("uint8", 2, -1024, "int16"),
        ("int16", 1, -1024, "int32"),
        ("uint16", 1, 0.5, "float32"),
        ("int16", 0.25, 0, "float32"),
        ("int32", 2, 0, "float32"),
        ("float32", 3, 1, "float32"),
    ],
)
def test_scaled_values(tmp_path, dtype, slope, intercept, expected):
    whole = saved(tmp_path, voxels(dtype)).read_bytes()
    path = forged(tmp_path, whole, scale=(112, "ff", slope, intercept))
    assert nifti.facts(path, OPTIONS).dtype == expected
    found = nifti.read(path, 1, OPTIONS).pixels
    assert found.dtype == expected
    by_nibabel = np.asarray(nibabel.load(path).dataobj)
    np.testing.assert_allclose(found[..., 0], UPRIGHT["axial"](by_nibabel, 1), rtol=1e-6)


def test_colours(tmp_path):
    volume = voxels("uint8", (*SHAPE, 3))
    packed = volume.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    path = saved(tmp_path, packed)
    assert nifti.facts(path, OPTIONS).shape == (6, 5, 3) and nifti.facts(path, OPTIONS).dtype == "uint8"
    np.testing.assert_array_equal(nifti.read(path, 4, OPTIONS).pixels, volume[::-1, ::-1, 4].swapaxes(0, 1))
    sagittal = nifti.read(path, 4, ReadOptions(slices="sagittal")).pixels
    np.testing.assert_array_equal(sagittal, volume[4, ::-1, ::-1].swapaxes(0, 1))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("plane", UPRIGHT)
def test_further_volumes_are_pictures_or_channels(tmp_path, plane, name):
    volume = voxels("int16", (*SHAPE, 4))
    path = saved(tmp_path, volume, name)
    count = SHAPE[AXES[plane]]
    options = ReadOptions(slices=plane)
    assert nifti.facts(path, options).count == 4 * count
    for number in (0, count, 4 * count - 1):
        expected = UPRIGHT[plane](volume[..., number // count], number % count)
        np.testing.assert_array_equal(nifti.read(path, number, options).pixels[..., 0], expected)
    options = ReadOptions(slices=plane, pages="channels")
    facts = nifti.facts(path, options)
    found = nifti.read(path, 2, options).pixels
    assert facts.count == count and facts.shape == found.shape and found.shape[2] == 4
    for channel in range(4):
        np.testing.assert_array_equal(found[..., channel], UPRIGHT[plane](volume[..., channel], 2))
    options = ReadOptions(slices=plane, pages="first")
    assert nifti.facts(path, options).count == count
    for number in (-1, count):
        with pytest.raises(UserError, match=f"no picture of the number {number}"):
            nifti.read(path, number, options)


def test_each_so_manyth_slice(tmp_path):
    volume = voxels("int16", (*SHAPE, 2))
    path = saved(tmp_path, volume)
    options = ReadOptions(slices="axial:3")
    assert nifti.facts(path, options).count == 2 * 3
    for number, (k, v) in enumerate([(0, 0), (3, 0), (6, 0), (0, 1), (3, 1), (6, 1)]):
        np.testing.assert_array_equal(
            nifti.read(path, number, options).pixels[..., 0], UPRIGHT["axial"](volume[..., v], k)
        )


@pytest.mark.parametrize("slices", ["axial:0", "axial:", "axial:-1", "axial:x", "oblique", "", "axial:1.5"])
def test_a_false_option_is_told(tmp_path, slices):
    with pytest.raises(UserError, match="expected axial, coronal or sagittal, or axial:4"):
        nifti.facts(saved(tmp_path, voxels()), ReadOptions(slices=slices))


def test_one_slice_is_read_as_the_one_it_is(tmp_path):
    flat = voxels("uint8", (5, 1, 7))
    facts = nifti.facts(saved(tmp_path, flat), OPTIONS)
    assert facts.count == 1 and facts.shape == (7, 5, 1) and "one slice, coronal" in facts.remark
    found = nifti.read(saved(tmp_path, flat), 0, OPTIONS).pixels[..., 0]
    np.testing.assert_array_equal(found, UPRIGHT["coronal"](flat, 0))
    two = saved(tmp_path, voxels("uint8", (5, 6)), "b.nii")
    assert nifti.facts(two, OPTIONS).count == 1 and nifti.facts(two, OPTIONS).shape == (6, 5, 1)


def test_no_orientation_is_remarked(tmp_path):
    whole = saved(tmp_path, voxels()).read_bytes()
    path = forged(tmp_path, whole, codes=(252, "hh", 0, 0))
    assert "no orientation given" in nifti.facts(path, OPTIONS).remark
    # Without an affine, the first axis runs to the left (the standard's method 1, as nibabel takes it).
    np.testing.assert_array_equal(nifti.read(path, 0, OPTIONS).pixels[..., 0], UPRIGHT["axial"](voxels()[::-1], 0))


@pytest.mark.parametrize(("unit", "factor"), [(0, 1), (1, 1000), (2, 1), (3, 0.001), (7, None)])
def test_spacing_is_in_millimetres(tmp_path, unit, factor):
    path = forged(tmp_path, saved(tmp_path, voxels()).read_bytes(), unit=(123, "B", unit | 8))
    spacing = nifti.facts(path, OPTIONS).spacing
    assert spacing is None if factor is None else spacing == pytest.approx((0.75 * factor, 0.5 * factor))


@pytest.mark.parametrize(
    "head", [b"", b"\x5c\x01\0\0", b"\x1f\x8b", gzip.compress(b"abc", mtime=0), bytes(999), b"II*\0" * 99]
)  # without a time: processes of tests must collect the same
def test_what_is_no_nifti(tmp_path, head):
    assert not nifti.is_one(head)
    (tmp_path / "a.nii").write_bytes(head)
    with pytest.raises(UserError, match=r"does not begin as NIfTI does|damaged NIfTI"):
        nifti.facts(tmp_path / "a.nii", OPTIONS)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "b.nii", "b.nii.gz"])
def test_what_is_nifti_by_its_first_bytes(tmp_path, name):
    kind = nibabel.Nifti2Image if name.startswith("b") else nibabel.Nifti1Image
    assert nifti.is_one(saved(tmp_path, voxels(), name, kind=kind).read_bytes()[:4096])
