"""Batches from a tf.data service in another process, as a user starts it."""

import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssl_keras.data.canvases.batches import train_batches
from ssl_keras.data.canvases.memory import CanvasSpec, load_canvases
from ssl_keras.data.canvases.pipeline import BadFilesError
from ssl_keras.data.canvases.served import ServedCanvases
from ssl_keras.data.canvases.streams import StreamedCanvases
from ssl_keras.data.sources import open_source
from ssl_keras.data.splits import take
from tests.data.test_sources import write_records
from tests.runs import TINY, losses, run_tool

SPEC = CanvasSpec(8, 1)


def free_port() -> int:
    with socket.create_server(("localhost", 0)) as listener:
        return listener.getsockname()[1]


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "tools.data_worker", "--host=localhost", *arguments], stdout=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def service():
    port = free_port()
    process = start(f"--dispatcher_port={port}")
    assert process.stdout.readline().startswith("dispatcher: grpc://")
    assert process.stdout.readline().startswith("worker: localhost")
    yield f"grpc://localhost:{port}"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=10)[0] == "stopped\n" and process.returncode == 0


@pytest.fixture
def gray(tmp_path):
    """Image i is 2 × (i + 3) px of the value i; two are damaged, in a folder of classes."""
    for i in range(40):
        path = tmp_path / "ab"[i % 2] / f"{i:03}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (i + 3, 2), i).save(path)
        if i in (7, 23):
            path.write_bytes(path.read_bytes()[:-20])
    return tmp_path


def check(batches, source, count):
    """Every row is what the file of its index holds."""
    batches = list(batches.as_numpy_iterator())
    assert len(batches) == count
    for batch in batches:
        number = np.array([int(re.findall(r"\d+", source.describe(i))[-1]) for i in batch["index"]])
        assert (batch["image"] == number[:, None, None, None]).all()
        np.testing.assert_array_equal(batch["size"], np.stack([np.full_like(number, 2), number + 3], 1))
        np.testing.assert_array_equal(batch["label"], number % 2)
    return np.array([batch["index"] for batch in batches])


def test_a_service_decodes_what_this_process_would(service, gray):
    source = open_source(f"folder:{gray}")
    canvases = load_canvases(source, SPEC, 0.1, data_service=service)
    assert isinstance(canvases, ServedCanvases) and len(canvases) == 40
    batches = train_batches(canvases, 12, seed=3, steps=6)
    stream = load_canvases(source, SPEC, 0.1, budget_bytes=0)
    assert batches.element_spec == train_batches(stream, 12, seed=3, steps=6).element_spec
    seen = check(batches, source, 6)
    assert canvases.bad == stream.bad and [reason for _, reason in canvases.bad] == ["truncated PNG"] * 2
    assert len(set(seen[:2].ravel())) == 24  # none twice


def test_one_worker_keeps_order_position_and_shards(service, gray):
    for name in ("007", "023"):
        (gray / "b" / f"{name}.png").unlink()
    source = open_source(f"folder:{gray}")
    canvases = load_canvases(source, SPEC, data_service=service)
    whole = check(train_batches(canvases, 10, seed=0, steps=6), source, 6)
    assert len(set(whole[:3].ravel())) == len(set(whole[3:].ravel())) == 30
    assert (whole[:3] != whole[3:]).any()
    rows = check(train_batches(canvases, 10, 0, start_step=2, steps=4, shard=(1, 2)), source, 4)
    np.testing.assert_array_equal(rows, whole[2:, 5:])


def test_records_are_read_at_their_places(service, tmp_path):
    write_records(tmp_path / "a.tfrecord-0", 3)
    write_records(tmp_path / "a.tfrecord-1", 6, first=3)
    source = take(open_source(f"tfrecord:{tmp_path}/a.tfrecord-*"), 8)
    canvases = load_canvases(source, CanvasSpec(4), data_service=service)
    for batch in train_batches(canvases, 4, seed=0, steps=2).as_numpy_iterator():
        np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], batch["index"])
        np.testing.assert_array_equal(batch["size"][:, 1], batch["index"] + 1)
        np.testing.assert_array_equal(batch["label"], batch["index"] % 3)


def test_files_that_go_bad_end_the_run(service, gray):
    canvases = load_canvases(open_source(f"folder:{gray}"), SPEC, 0.1, data_service=service)
    for path in gray.glob("a/*"):
        path.unlink()
    with pytest.raises(tf.errors.OpError, match=r"BadFilesError.*cannot be read"):
        list(train_batches(canvases, 10, seed=0, steps=8))


def test_what_needs_python_is_told_before_training(service, gray):
    Image.new("P", (4, 4)).save(gray / "a" / "palette.bmp")
    Image.new("L", (4, 4)).save(gray / "a" / "x.tif")
    frames = [Image.new("RGB", (4, 4), (9 * k, 0, 0)) for k in range(2)]
    frames[0].save(gray / "a" / "moving.webp", save_all=True, append_images=frames[1:])
    source = open_source(f"folder:{gray}")
    canvases = load_canvases(source, SPEC, 0.15, data_service=service)
    assert [reason.partition(",")[0] for _, reason in canvases.bad] == [
        *["a TIFF"] * 3,
        "truncated PNG",
        "truncated PNG",
    ]
    with pytest.raises(BadFilesError):
        load_canvases(source, SPEC, 0.05, data_service=service)
    for i in range(10):
        Image.new("L", (4, 4)).save(gray / "b" / f"{i}.tif")
    with pytest.raises(ValueError, match="11 of 53 images are TIFF files"):
        load_canvases(open_source(f"folder:{gray}"), SPEC, 0.2, data_service=service)


def test_a_service_that_cannot_be_used_is_refused_in_seconds(service, gray):
    source, port = open_source(f"folder:{gray}"), free_port()
    for address, message in (
        (f"grpc://localhost:{port}", f"nobody answers at grpc://localhost:{port}"),
        (f"localhost:{port}", "expected grpc://HOST:PORT"),
    ):
        began = time.monotonic()
        with pytest.raises(ValueError, match=message):
            load_canvases(source, SPEC, data_service=address)
        assert time.monotonic() - began < 5
    with pytest.raises(ValueError, match="leave it out here"):
        load_canvases(open_source("builtin:scenes:40"), CanvasSpec(32), data_service=service)


@pytest.mark.parametrize(
    "arguments, message",
    [((), "give --dispatcher_port"), (("--dispatcher=grpc://localhost:1",), "nobody answers at grpc://localhost:1")],
)
def test_a_worker_without_a_dispatcher_is_refused(arguments, message):
    assert message in run_tool("data_worker", *arguments, status=1).stderr


@pytest.mark.slow
def test_a_run_with_a_service_and_one_that_no_worker_serves(service, tmp_path):
    for i in range(64):
        Image.new("RGB", (20, 20), (4 * i, 0, 0)).save(tmp_path / f"{i}.png")
    run = [*TINY, f"--data=folder:{tmp_path}", "--epochs=2", f"--workdir={tmp_path}/run"]
    run_tool("pretrain", *run, f"--data_service={service}")
    assert len(losses(tmp_path / "run")) == 2

    port = free_port()
    process = start(f"--dispatcher_port={port}", "--noworker")
    process.stdout.readline()
    other = [f"--workdir={tmp_path}/other", f"--data_service=grpc://localhost:{port}"]
    done = run_tool("pretrain", *run, *other, status=1)
    assert "did nothing within 15 seconds: start a worker" in done.stderr
    process.terminate()
    assert process.wait(10) == 0


def test_the_stream_of_a_subset_needs_no_service(service, gray):
    canvases = load_canvases(open_source(f"folder:{gray}"), SPEC, 0.1, data_service=service)
    assert type(canvases.subset(np.arange(5))) is StreamedCanvases
    assert canvases.sample(3).shape == (3, 8, 8, 1)
