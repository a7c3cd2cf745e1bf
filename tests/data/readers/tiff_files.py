"""Arrays and TIFF files of them, for the tests of the TIFF reader."""

import numpy as np
import pytest

from ssl_keras.data.readers import tiff
from ssl_keras.data.readers.contract import ReadOptions

tifffile = pytest.importorskip("tifffile")
ANY = ReadOptions()


def values(dtype, shape=(33, 47), seed=0):
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return rng.normal(0, 100, shape).astype(kind)
    limits = np.iinfo(kind)
    return rng.integers(max(limits.min, -(2**30)), min(limits.max, 2**30), shape, endpoint=True).astype(kind)


def only(path, options=ANY):
    """The one picture of a file, as its facts tell it."""
    found = tiff.facts(str(path), options)
    assert found.count == 1
    picture = tiff.read(str(path), 0, options)
    assert picture.pixels.shape == found.shape and picture.pixels.dtype == found.dtype
    assert picture.pixels.dtype.isnative and picture.pixels.flags.c_contiguous
    return picture


def written(path, array, **how):
    tifffile.imwrite(path, array, **how)
    return path


def bytes_at(path, data):
    path.write_bytes(data)
    return path
