"""NIfTI files for tests."""

import struct

import numpy as np

SHAPE = (5, 6, 7)  # right, front, head


def voxels(dtype="int16", shape=SHAPE, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 100, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def saved(tmp_path, volume, name="a.nii", affine=None, kind=None, **fields):
    import nibabel

    kind = kind or nibabel.Nifti1Image
    image = kind(volume, np.diag([0.5, 0.75, 2, 1]) if affine is None else affine, dtype=volume.dtype)
    for key, value in fields.items():
        image.header[key] = value
    nibabel.save(image, tmp_path / name)
    return tmp_path / name


def forged(tmp_path, whole, **fields):
    """A file with other bytes at places of its header: {name: (place, form, values)}."""
    file = bytearray(whole)
    for place, form, *values in fields.values():
        struct.pack_into("<" + form, file, place, *values)
    (tmp_path / "f.nii").write_bytes(file)
    return tmp_path / "f.nii"
