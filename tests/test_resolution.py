"""Smaller views in early epochs."""

import os
import re

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import resolution
from ssl_keras.config import Config
from ssl_keras.encoders import file
from ssl_keras.errors import UserError
from ssl_keras.views.layer import RandomViews
from ssl_keras.views.policy import Policy
from tests import forks
from tests.methods import harness
from tests.runs import TINY, epochs_written, losses, metrics, run_tool, wait_for

SCHEDULE = "--resolution_schedule=0.5:0.5,0.5:1"


def test_a_phase_begins_with_the_epoch_that_is_nearest():
    phases = resolution.parse("0.75:0.5,0.25:1")
    assert [resolution.side(phases, epoch, 8) for epoch in range(8)] == 6 * [0.5] + 2 * [1]
    assert [resolution.side(phases, epoch, 3) for epoch in range(3)] == [0.5, 0.5, 1]
    assert resolution.side((), 0, 3) == 1


@pytest.mark.parametrize(
    "text, said",
    [
        ("0.75", "expected"),
        ("a:b", "expected"),
        ("0.5:0.5:1", "expected"),
        ("0.5:0.5,0.4:1", "add up to 1"),
        ("0.5:1,0.5:0.5", "the last side must be 1"),
        ("0:0.5,1:1", "above 0"),
        ("0.5:1.5,0.5:1", "no side above 1"),
    ],
)
def test_another_form_is_refused_before_anything_loads(text, said):
    with pytest.raises(UserError, match=re.escape(said)):
        Config(resolution_schedule=text)


def test_a_smaller_view_shows_the_same_part_of_the_image():
    """But for the pixel grid it is the full view, shrunk."""
    images = next(iter(harness.batches(1)))["image"]
    recipe = (Policy(blur=1.0, blur_sigma=(1.0, 1.0), jitter=1.0, brightness=0.4, hue=0.1),)
    views = RandomViews(recipe, 32, seed=3, jit_compile=False)
    (full,) = views(images, step=5)
    views.share = 0.5
    (half,) = views(images, step=5)
    assert half.shape == (harness.BATCH, 16, 16, 3)
    shrunk = tf.image.resize(full, [16, 16], "area")
    assert np.abs(half - shrunk).mean() < 0.02 < np.abs(shrunk - tf.reverse(shrunk, [0])).mean()
    views.share = 1.0
    np.testing.assert_array_equal(views(images, step=5)[0], full)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("resolution") / "a"
    run_tool("pretrain", *TINY, SCHEDULE, "--epochs=4", f"--workdir={workdir}")
    return workdir


def test_the_encoder_takes_images_of_the_full_size(trained):
    encoder = file.load_encoder(str(trained / "encoder.keras"))
    assert encoder.model.input_shape == (None, 16, 16, 3) and encoder.contract.size == 16
    run_tool("evaluate", f"--workdir={trained}", "--eval=knn", "--encoder=run,random")


def test_a_killed_run_goes_on_at_its_size(trained, tmp_path):
    command = [*TINY, SCHEDULE, "--epochs=4", f"--workdir={tmp_path}/b"]
    process = forks.start("pretrain", *command, output=os.devnull)
    wait_for([process], lambda: epochs_written(tmp_path / "b") >= 1)
    process.kill()
    process.wait()
    run_tool("pretrain", *command)
    assert losses(tmp_path / "b") == losses(trained)


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--backbone=vit_tiny", "--width=1"], "a ViT takes images of one size"),
        (["--method=jigsaw", "--views=supervised", "--image_size=64"], "jigsaw cuts its views"),
    ],
)
def test_what_needs_one_size_is_refused(flags, said, tmp_path):
    refused = run_tool("pretrain", *TINY, *flags, SCHEDULE, f"--workdir={tmp_path}/c", status=1)
    assert said in refused.stderr


@pytest.mark.slow
def test_small_crops_shrink_too(tmp_path):
    flags = ["--method=swav", "--views=swav*3", "--image_size=32", "--method_arg=queue_length=0", SCHEDULE]
    run_tool("pretrain", *TINY, *flags, f"--workdir={tmp_path}/d")
    assert all(np.isfinite(line["loss"]) for line in metrics(tmp_path / "d"))
