"""PFM: what is written is read, bottom row first in the file; and what is refused."""

import numpy as np
import pytest

from ssl_keras.data.readers import pfm
from ssl_keras.data.readers.contract import ReadOptions
from ssl_keras.errors import UserError
from tests.data.readers.damage import hundreds, refused_at_once

ANY = ReadOptions()


def pfm_of(array, order="<", scale="1.0"):
    kind = b"PF" if array.shape[2] == 3 else b"Pf"
    head = kind + f"\n{array.shape[1]} {array.shape[0]}\n{'-' * (order == '<')}{scale}\n".encode()
    return head + array[::-1].astype(f"{order}f4").tobytes()


def values(channels, height=20, width=30):
    return np.random.default_rng(channels).normal(0, 1000, (height, width, channels)).astype(np.float32)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_written_is_read(tmp_path, channels, order):
    array = values(channels)
    array[3, 4] = np.inf  # as depth maps mark what has none
    (tmp_path / "a.pfm").write_bytes(pfm_of(array, order))
    assert pfm.is_one(pfm_of(array, order)[:4096])
    found = pfm.facts(str(tmp_path / "a.pfm"), ANY)
    assert (found.count, found.shape, found.dtype, found.remark) == (1, array.shape, "float32", None)
    picture = pfm.read(str(tmp_path / "a.pfm"), 0, ANY)
    np.testing.assert_array_equal(picture.pixels, array)
    assert picture.pixels.dtype.isnative and picture.valid is None


def test_the_scale_is_told(tmp_path):
    (tmp_path / "a.pfm").write_bytes(pfm_of(values(1), "<", "0.5"))
    assert "the scale 0.5" in pfm.facts(str(tmp_path / "a.pfm"), ANY).remark
    with pytest.raises(UserError, match="no picture 1"):
        pfm.read(str(tmp_path / "a.pfm"), 1, ANY)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pfm_of(values(1))[:-1], "cut off, 1 bytes are missing"),
        (pfm_of(values(1)) + b"abcd", "4 bytes are left over"),
        (b"Pf\n0 20\n-1.0\n", "it claims 0 x 20"),
        (b"Pf\n2 2\n0.0\n" + bytes(16), "scale 0"),
        (b"P5\n2 2\n255\nabcd", "expected the lines"),
        (b"Pf\n-2 2\n-1.0\n" + bytes(16), "expected the lines"),
        (b"", "expected the lines"),
    ],
)
def test_what_is_not_read_is_said_why(tmp_path, data, reason):
    (tmp_path / "a.pfm").write_bytes(data)
    for act in (pfm.facts, lambda path, options: pfm.read(path, 0, options)):
        with pytest.raises(UserError, match=f"^damaged PFM: .*{reason}"):
            act(str(tmp_path / "a.pfm"), ANY)


@pytest.mark.parametrize("head", [b"Pf\n60000 60000\n-1.0\n", b"PF\n999999999 999999999\n-1.0\n", b"PF\n30000 9\n1\n"])
def test_forged_sizes_are_refused_at_once(tmp_path, head):
    (tmp_path / "a.pfm").write_bytes(head + bytes(1000))
    refused_at_once(pfm, tmp_path / "a.pfm")


def test_damaged_files_are_read_or_refused(tmp_path):
    counts = hundreds(pfm, [pfm_of(values(1)), pfm_of(values(3), ">", "2")], tmp_path / "a.pfm", 400)
    assert counts["refused"] > 100
