"""A header that claims too much is refused at once, for every format, by the same entries that a run uses."""

import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssl_keras.data import measured
from ssl_keras.data.apart import pool
from ssl_keras.data.formats import size
from ssl_keras.data.formats.decode import decode
from ssl_keras.data.formats.transcode import decodable
from ssl_keras.data.readers import REGISTRY
from ssl_keras.data.readers.contract import ReadOptions
from ssl_keras.data.source import Wanted
from ssl_keras.data.sources.npy import open_source
from ssl_keras.data.sources.npz import open_source as npz_source
from ssl_keras.errors import UserError
from tests.data import forged
from tests.data.measured_seeds import is_there
from tests.data.seeds import SEEDS, encoded

MEMORY = 2**26  # bytes


def asked(name: str, path: str) -> list[tuple[str, float, int]]:
    """Of `facts` and `read`: what was said, seconds of the processor, bytes of memory that it asked for."""
    reader, options = REGISTRY.load(name), ReadOptions(pages="images")
    found = []
    for act in (lambda: reader.facts(path, options), lambda: reader.read(path, 0, options)):
        for _ in range(2):  # the first one imports
            before, began, said = _peak(), time.process_time(), "read"
            try:
                act()
            except UserError as error:
                said = str(error)
            told = said, time.process_time() - began, _peak() - before
        found.append(told)
    return found


def _peak() -> int:
    """The most address space that this process has had."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmPeak"))
    return 1024 * int(line.split()[1])


@pytest.mark.parametrize("ending", forged.MEASURED)
def test_measurements(tmp_path, ending):
    name = measured.reader_of(f"a{ending}")
    if not is_there(name):
        pytest.skip(f"what reads {ending} is not installed")
    for what, data in forged.MEASURED[ending](tmp_path).items():
        path = tmp_path / f"a{ending}"
        path.write_bytes(data)
        assert len(data) < 20_000, what
        known, read = pool.call(asked, name, str(path))
        assert read[0] != "read", what  # the header of a file may be right, and that of a frame in it forged
        for said, seconds, memory in (known, read):
            assert "\n" not in said and "memory" not in said and not said.startswith("it cannot be"), (what, said)
            assert seconds < 0.1 and memory < MEMORY, (what, said, seconds, memory)


def test_arrays(tmp_path):
    for what, data in forged.npys(tmp_path).items():
        (tmp_path / "a.npy").write_bytes(data)
        began = time.process_time()
        with pytest.raises(UserError, match=r"is not an \.npy file of plain numbers"):
            open_source(str(tmp_path / "a.npy"), Wanted())
        assert time.process_time() - began < 0.1, what
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 4), np.uint8))
    (tmp_path / "a.labels.npy").write_bytes(forged.npy_header((10**11,), "<i8") + bytes(600))
    before = _peak()
    with pytest.raises(UserError, match=r"a\.labels\.npy is not an .npy file"):
        open_source(str(tmp_path / "a.npy"), Wanted())
    assert _peak() - before < MEMORY


@pytest.fixture(scope="module")
def served():
    """The decoder of training and of the SavedModel, which has decoded one image of each format."""
    decoder = tf.function(lambda data: decode(data, 3, "uint8"), input_signature=[tf.TensorSpec([], tf.string)])
    for form in ("PNG", "JPEG", "GIF", "WebP"):
        decoder(SEEDS[form]()[0])
    return decoder


@pytest.mark.parametrize("what", forged.images())
def test_images(served, what):
    data = forged.images()[what]
    assert len(data) < 20_000
    for act, error in ((decodable, UserError), (served, tf.errors.InvalidArgumentError)):
        before, began = _peak(), time.process_time()
        with pytest.raises(error, match=r"^too large: |claims more than|maximum|Invalid JPEG|palette|no JPEG, PNG"):
            act(data)
        assert time.process_time() - began < 0.1 and _peak() - before < MEMORY


@pytest.mark.parametrize(
    ("data", "megabytes"),
    [
        (encoded(Image.new("L", (1000, 1000)), "PNG"), 1),
        (encoded(Image.new("RGB", (1000, 1000)), "PNG"), 3),
        (encoded(Image.new("RGB", (1000, 1000)), "JPEG"), 3),
        (encoded(Image.new("RGB", (1000, 1000)), "BMP"), 3),
        (encoded(Image.new("L", (1000, 1000)), "GIF"), 1),
        (encoded(Image.new("RGBA", (1000, 1000), (0, 0, 0, 9)), "WEBP"), 4),
        (encoded(Image.fromarray(np.zeros((1000, 1000), np.uint16)), "PNG"), 2),
        (encoded(Image.fromarray(np.zeros((1000, 1000), np.uint16)), "TIFF"), 2),
    ],
    ids=["gray PNG", "PNG", "JPEG", "BMP", "GIF", "WebP", "16-bit PNG", "16-bit TIFF"],
)
def test_both_limits_hold_for_ordinary_images(data, megabytes):
    try:
        size.set_limit(1.0, megabytes * 10**6)
        decodable(data)
        size.set_limit(1.0, megabytes * 10**6 - 1)
        with pytest.raises(UserError, match=r"^too large: its header claims \d MiB, more than --max_image_bytes="):
            decodable(data)
        size.set_limit(0.9, megabytes * 10**6)
        with pytest.raises(UserError, match=r"^too large: 1\.0 megapixels, more than --max_megapixels=0\.9"):
            decodable(data)
    finally:
        size.set_limit(size.LARGEST)


def test_the_limit_is_the_users_for_archives_too(tmp_path):
    np.savez(tmp_path / "a.npz", train_images=np.zeros((4, 8, 8), np.uint8))
    measured.use(ReadOptions(max_bytes=255))
    try:
        with pytest.raises(UserError, match="--max_image_bytes=255"):
            npz_source(str(tmp_path / "a.npz"), Wanted())
    finally:
        measured.use(ReadOptions())
