"""What TensorBoard shows of runs: scalars in groups, the views, the table of runs, and the projector."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from ssl_keras import figures, projector
from ssl_keras.config import Config
from ssl_keras.data.canvases.memory import Canvases, load_canvases
from ssl_keras.data.canvases.pipeline import CanvasSpec
from ssl_keras.data.sources import open_source
from ssl_keras.training import hparams
from ssl_keras.training.tensorboard import GROUPS, OTHERS, tag
from ssl_keras.watching import of_the_result
from tests.browser import chromium
from tests.runs import TINY, metrics, run_tool

# WebGL, in which the projector draws, without a graphics card.
DRAWING = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")


@pytest.mark.parametrize(
    "name, shown",
    [
        ("loss", "loss/epoch"),
        ("accuracy", "score/accuracy"),
        ("chance", "score/chance"),
        ("knn_student_top1", "score/knn_student_top1"),
        ("ridge_top1/birds", "score/ridge_top1/birds"),
        ("rankme", "representation/rankme"),
        ("drift", "representation/drift"),
        ("learning_rate/predictor", "optimizer/learning_rate/predictor"),
        ("skipped_steps", "optimizer/skipped_steps"),
        ("gradient_norm/backbone", "gradient_norm/backbone"),
        ("peak_gpu_memory_bytes", "speed/peak_gpu_memory_bytes"),
        ("predictor_cosine", "method/predictor_cosine"),
        ("queue_age", "method/queue_age"),
    ],
)
def test_a_number_is_shown_in_its_group(name, shown):
    assert tag(name) == shown


def test_every_number_of_a_run_has_a_group_and_z_std_what_it_is_compared_with(finished):
    events = _events(finished)
    tags = set(events.Tags()["tensors"])
    logged = {name for line in metrics(finished) for name in line} - {"epoch", "step"}
    assert {tag(name) for name in logged} <= tags and not any(name.startswith(OTHERS) for name in tags)
    assert all(any(name.startswith(f"{group}/") for name in tags) for group in GROUPS)
    even = [tf.make_ndarray(event.tensor_proto).item() for event in events.Tensors("representation/z_std_even")]
    assert len(even) == 5 and even[0] == pytest.approx(128**-0.5)


def test_a_resumed_run_has_one_row_with_its_newest_settings(tmp_path):
    for epochs in (5, 9):
        config = Config(epochs=epochs, method_arg=("temperature=0.2", "hidden_dim=64"), data="folder:caf\udce9")
        hparams.write(str(tmp_path), of_the_result(config), {"loss/epoch": "loss"})
    (file,) = tmp_path.iterdir()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    contents = events.PluginTagToContent("hparams")
    row = metadata.parse_session_start_info_plugin_data(contents[metadata.SESSION_START_INFO_TAG])
    assert row.hparams["epochs"].number_value == 9 and not row.group_name and file.name.endswith(hparams.SUFFIX)
    assert row.hparams["method_arg"].string_value == "temperature=0.2, hidden_dim=64"
    assert row.hparams["data"].string_value == "folder:caf\\xe9"
    assert not row.hparams["nesterov"].bool_value and "patch" not in row.hparams and "workdir" not in row.hparams
    columns = metadata.parse_experiment_plugin_data(contents[metadata.EXPERIMENT_TAG])
    assert {"patch", "nesterov", "seed"} <= {info.name for info in columns.hparam_infos}
    assert {info.name for info in columns.hparam_infos if info.differs} == set(hparams.FIRST)


def encoder(channels: int, features: int = 6) -> keras.Model:
    layers = [keras.layers.Conv2D(features, 3), keras.layers.GlobalAveragePooling2D()]
    return keras.Sequential([keras.Input((8, 8, channels)), *layers])


def made(channels: int, dtype: str, count: int = 30, labels=-1, class_names=None) -> Canvases:
    """Canvases of random pixels of which the first image is black and the last one white."""
    spec, rng = CanvasSpec(8, channels, dtype), np.random.default_rng(0)
    images = rng.uniform(size=(count, *spec.shape))
    images[0], images[-1] = 0.0, 1.0
    images = images.astype(dtype) if dtype == "float32" else (images * np.iinfo(dtype).max).astype(dtype)
    sizes, index = np.full((count, 2), 8, np.float32), np.arange(count) * 2
    return Canvases(spec, images, sizes, np.broadcast_to(np.int32(labels), count), index, [], class_names)


@pytest.mark.parametrize("channels, dtype", [(1, "uint16"), (3, "uint8"), (5, "float32")])
def test_the_projector_shows_images_of_every_kind_without_labels(channels, dtype, tmp_path):
    canvases, model = made(channels, dtype), encoder(channels)
    projector.write(str(tmp_path), model, canvases, 8, [f"image\t{i}" for i in range(60)])
    x = np.loadtxt(tmp_path / "projector/features.tsv", delimiter="\t")
    full = 1.0 if dtype == "float32" else np.iinfo(dtype).max
    np.testing.assert_allclose(x, model(canvases.images / np.float32(full)), rtol=1e-3, atol=1e-4)
    assert (tmp_path / "projector/labels.tsv").read_text().splitlines() == [f"image\\t{2 * i}" for i in range(30)]
    sprite, side = np.asarray(Image.open(tmp_path / "projector/sprite.png")), figures.THUMBNAIL
    assert sprite.shape == (5 * side, 6 * side, 3)
    assert (sprite[:side, :side] == 0).all() and (sprite[-side:, -side:] == 255).all()
    assert {path.name for path in tmp_path.iterdir()} == {"projector", "projector_config.pbtxt"}
    assert 'tensor_path: "projector/features.tsv"' in (tmp_path / "projector_config.pbtxt").read_text()


def test_the_projector_names_classes(tmp_path):
    canvases = made(1, "uint8", labels=[1, 0, -1] * 10, class_names=("cat", "dog"))
    projector.write(str(tmp_path), encoder(1), canvases, 8, [f"{i}.png" for i in range(60)])
    lines = (tmp_path / "projector/labels.tsv").read_text().splitlines()
    assert lines[:4] == ["class\timage", "dog\t0.png", "cat\t2.png", "unlabeled\t4.png"] and len(lines) == 31


def test_the_projector_takes_a_sample_of_streamed_images_and_none_that_is_bad(tmp_path, monkeypatch):
    source = open_source("builtin:scenes:60")
    canvases = load_canvases(source, CanvasSpec(8), budget_bytes=0)
    canvases.expect_bad([])
    monkeypatch.setattr(projector, "IMAGES", 20)
    rows = projector.chosen(canvases)
    assert len(rows) == 20 and (np.diff(rows) > 0).all() and (projector.chosen(canvases) == rows).all()
    canvases.max_bad_fraction = 0.1
    canvases.expect_bad(rows[:2].tolist())
    assert not set(rows[:2]) & set(projector.chosen(canvases))
    names = [source.describe(i) for i in range(60)]
    projector.write(str(tmp_path), encoder(3), canvases, 8, names)
    lines = (tmp_path / "projector/labels.tsv").read_text().splitlines()[1:]
    label = source.labels_if_fine[projector.chosen(canvases)]
    classes = [f"{source.class_names[n]}\t{names[row]}" for n, row in zip(label, projector.chosen(canvases))]
    assert lines == classes


def test_many_features_keep_their_distances_in_fewer_directions():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(300, 90)) @ rng.normal(size=(90, 256))).astype(np.float32)
    turned = projector.principal(x)
    assert turned.shape == (300, projector.DIRECTIONS)
    np.testing.assert_allclose(turned @ turned.T, x @ x.T, rtol=1e-3, atol=1)
    lengths = np.linalg.norm(turned, axis=0)
    assert (np.diff(lengths[:90]) < 0).all()


def test_features_that_are_no_numbers_leave_the_projector_out(tmp_path):
    model = encoder(1)
    model.layers[0].bias.assign([np.nan] * 6)
    projector.write(str(tmp_path), model, made(1, "uint8"), 8, ["name"] * 60)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def board(finished, tmp_path_factory):
    """The address of TensorBoard on a folder with two runs; of one the last epoch was made by another process."""
    runs = tmp_path_factory.mktemp("board")
    for name in "ab":
        shutil.copytree(finished, runs / name)
    shutil.rmtree(runs / "b/tensorboard/projector")
    run_tool("pretrain", *TINY, "--epochs=6", f"--workdir={runs}/b")
    assert (runs / "b/tensorboard/projector/sprite.png").exists()
    with serving(runs) as address:
        until = time.monotonic() + 60
        while not _holds_all(address):
            assert time.monotonic() < until, "TensorBoard does not see both runs"
            time.sleep(0.2)
        yield address


@contextlib.contextmanager
def serving(folder: pathlib.Path):
    """TensorBoard's own program on a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "tensorboard.main", f"--logdir={folder}", f"--port={port}", "--reload_interval=1"]
    with open(folder / "tensorboard.log", "wb") as log:
        process = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def test_a_browser_shows_scalars_views_table_and_projector_offline(board, tmp_path):
    folder = pathlib.Path(os.environ.get("SSL_KERAS_SCREENSHOTS") or tmp_path)  # where a person looks at them
    with chromium(*DRAWING) as browser:
        tab, asked, said = browser.new_page(viewport={"width": 1900, "height": 1000}), [], []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.set_default_timeout(30_000)

        def visit(name: str):
            tab.goto(f"{board}/#{name}")  # the same page, in which another tab is opened
            return lambda: tab.screenshot(path=folder / f"tensorboard_{name}.png")

        take = visit("scalars")
        for group in (*GROUPS, "gradient_norm"):
            tab.get_by_text(group, exact=True).first.wait_for()
        tab.get_by_text("loss/epoch", exact=True).first.wait_for()
        take()

        take = visit("images")
        views = tab.locator("img[src*='plugin/images/individualImage']")
        views.first.wait_for()
        assert views.count() == 2 and views.first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 9
        take()

        take = visit("hparams")
        rows = tab.locator("vaadin-grid-cell-content")
        for run in ("a/tensorboard", "b/tensorboard"):
            rows.get_by_text(run, exact=True).first.wait_for()
        assert rows.get_by_text("tensorboard").count() == 2
        for shown in ("learning_rate", "5.0000", "6.0000", "loss", "knn_top1", "effective_rank"):
            assert rows.get_by_text(shown, exact=True).count() == 1
        take()

        with tab.expect_response(lambda response: "sprite_image" in response.url) as sprite:
            take = visit("projector")
        assert sprite.value.ok and sprite.value.headers["content-type"] == "image/png"
        tab.frame_locator("iframe").frame_locator("iframe").get_by_text("Points: 96").wait_for()
        assert any("plugin/projector/metadata" in url for url in asked)  # the classes
        tab.wait_for_timeout(1000)  # in which it draws
        take()
        browser.close()
    assert not said and all(url.startswith((board, "data:", "blob:")) for url in asked)


def _holds_all(address: str) -> bool:
    """Whether TensorBoard has read both runs."""
    try:
        with urllib.request.urlopen(f"{address}/data/plugin/scalars/tags", timeout=5) as answer:
            seen = json.load(answer)
    except OSError:
        return False
    return {"a/tensorboard", "b/tensorboard"} == set(seen) and all(len(tags) > 15 for tags in seen.values())


def _events(run: pathlib.Path) -> EventAccumulator:
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    return events
