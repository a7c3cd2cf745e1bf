"""Images of the same group as positives: who is whose, what views are made of them, and runs with them."""

import dataclasses
import itertools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssl_keras import experiment, methods
from ssl_keras.build.method import check_positives
from ssl_keras.config import Config
from ssl_keras.data.canvases import partners
from ssl_keras.data.canvases.batches import train_batches
from ssl_keras.data.canvases.memory import CanvasSpec, load_canvases
from ssl_keras.data.canvases.partners import Partners
from ssl_keras.data.groups.found import grouped
from ssl_keras.data.sources import open_source
from ssl_keras.errors import UserError
from ssl_keras.views import policies
from ssl_keras.views.layer import RandomViews
from tests.data.test_batches import numbered
from tests.methods import harness, replicas
from tests.runs import TINY, losses, run_tool

GROUPS = np.array([5, 0, 5, 7, 0, 5, 9, 5])  # two groups, and two images alone
ONE_IMAGE = {
    "context_prediction", "dense_cl", "exemplar", "inst_disc", "jigsaw", "mae", "memory_bank", "rotation", "supcon",
    "supervised",
}  # fmt: skip


def test_partners_are_others_of_the_group_and_all_of_them_as_often():
    drawn = np.stack([Partners(GROUPS, 3).of_epoch(epoch) for epoch in range(600)])
    assert (GROUPS[drawn] == GROUPS).all()
    alone = np.isin(GROUPS, [7, 9])
    assert ((drawn == np.arange(8)) == alone).all()
    for image in np.flatnonzero(GROUPS == 5):
        times = np.bincount(drawn[:, image], minlength=8)[GROUPS == 5]
        assert sorted(times)[0] == 0 and sorted(times)[1] > 150  # of 200


def test_a_draw_depends_on_seed_epoch_and_image_alone():
    one, other = Partners(GROUPS, 3), Partners(GROUPS, 3)
    np.testing.assert_array_equal(one.of_epoch(7), [other.of_epoch(2), other.of_epoch(7)][1])
    groups = np.zeros(100, int)
    epochs = [Partners(groups, seed).of_epoch(epoch) for seed, epoch in ((3, 0), (3, 1), (4, 0))]
    assert all((one != other).mean() > 0.9 for one, other in itertools.pairwise(epochs))


def test_batches_bring_partners_and_go_on_as_they_would_have():
    canvases, made = numbered(24), Partners(np.arange(24) // 3, 1)
    whole = list(train_batches(canvases, 8, 1, steps=9, partners=made).as_numpy_iterator())
    plain = list(train_batches(canvases, 8, 1, steps=9).as_numpy_iterator())
    for batch, own in zip(whole, plain, strict=True):
        other = batch["partner"][:, 0, 0, 0].astype(int)
        assert (other // 3 == batch["index"] // 3).all() and (other != batch["index"]).all()
        np.testing.assert_array_equal(batch["partner_size"], np.stack([other, 2 * other], 1))
        for key in own:
            np.testing.assert_array_equal(batch[key], own[key])
    rest = train_batches(canvases, 8, 1, start_step=4, steps=5, partners=made)
    halves = [train_batches(canvases, 8, 1, steps=9, partners=made, shard=(i, 2)) for i in range(2)]
    for key in whole[0]:
        for expected, found in zip(whole[4:], rest.as_numpy_iterator(), strict=True):
            np.testing.assert_array_equal(found[key], expected[key])
    for expected, *parts in zip(whole, *(half.as_numpy_iterator() for half in halves), strict=True):
        np.testing.assert_array_equal(np.concatenate([part["partner"] for part in parts]), expected["partner"])


@pytest.mark.parametrize("gaps", [False, True])
def test_every_second_view_is_the_partners(gaps):
    rng = np.random.default_rng(0)
    images, others = rng.integers(0, 255, (2, 6, 20, 20, 3)).astype(np.uint8)
    images[0, :5], others[1, 9:] = 0, 0  # where gaps are known, nothing was measured there
    sizes = np.array([[20, 20], [40, 20]] * 3, np.float32)
    views = RandomViews(policies.get("simclr_cifar", 16) * 2, 16, seed=1, jit_compile=False, gaps=gaps, mark_gaps=gaps)
    step = tf.constant(5, tf.int64)
    own, theirs = views(images, sizes, step=step), views(others, sizes[::-1], step=step)
    mixed = views(images, sizes, step=step, partners=(others, sizes[::-1]))
    for number, view in enumerate(mixed):
        np.testing.assert_array_equal(view, (own, theirs)[number % 2][number])


@pytest.mark.parametrize("name", methods.names())
def test_methods_whose_views_must_be_of_one_image_say_so(name):
    config = Config(method=name, positives="group", group_by="folder:1")
    if name not in ONE_IMAGE:
        return check_positives(config, methods.load(name))
    with pytest.raises(UserError, match=f"--positives=group: {name} .* so that its views cannot be of two images"):
        check_positives(config, methods.load(name))


def test_averages_of_each_image_need_it_alone():
    assert harness.make("simsiam_em", average=0.0).why_one_image() is None
    assert "by its own number" in harness.make("simsiam_em", average=0.5).why_one_image()


def test_two_replicas_see_the_views_of_one(two_replicas):
    (batch,) = harness.batches(1, partners=True)
    views = RandomViews("simclr_cifar", harness.SIZE, seed=0, jit_compile=False)
    step = tf.constant(2, tf.int64)

    def make(batch):
        return views(batch["image"], batch["size"], step=step, partners=(batch["partner"], batch["partner_size"]))

    (rows,) = two_replicas.experimental_distribute_dataset(harness.batches(1, partners=True))
    for one, several in zip(make(batch), two_replicas.run(make, [rows]), strict=True):
        np.testing.assert_allclose(tf.concat(several.values, axis=0), one, atol=1e-6)


@pytest.mark.slow
def test_two_replicas_are_one(two_replicas):
    replicas.compare("simclr", two_replicas, partners=True)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({}, "--positives=group needs --group_by"),
        ({"group_by": "none"}, "--positives=group needs --group_by"),
        ({"group_by": "auto", "data_service": "grpc://x:1"}, "leave --data_service out"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, words):
    with pytest.raises(UserError, match=words):
        Config(positives="group", **settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four images of each of ten patients, of the patient's own color."""
    root, rng = tmp_path_factory.mktemp("patients") / "images", np.random.default_rng(0)
    for person in range(10):
        (root / f"p{person}").mkdir(parents=True)
        for n in range(4):
            pixels = rng.integers(0, 40, (16, 16, 3)) + rng.integers(0, 200, 3) // 2 + 10 * person
            Image.fromarray(pixels.astype(np.uint8)).save(root / f"p{person}" / f"{n}.png")
    return root


def test_images_that_are_streamed_or_all_alone_have_no_partners(folder):
    source, = grouped([open_source(f"folder:{folder}")], "folder:1")
    assert partners.check(load_canvases(source, CanvasSpec(16))).endswith("of the group; 10 groups")
    with pytest.raises(UserError, match=r"takes images from memory, and these need 0\.0 GiB"):
        partners.check(load_canvases(source, CanvasSpec(16), budget_bytes=0))
    source, = grouped([source], r"p\d+/\d+")
    with pytest.raises(UserError, match="no group has two images"):
        partners.check(load_canvases(source, CanvasSpec(16)))


@pytest.mark.slow
def test_a_run_resumes_exactly_keeps_its_groups_and_is_scored_by_them(folder, tmp_path, capsys):
    tiny = Config.from_flag_lines("\n".join(TINY))
    settings = {"data": f"folder:{folder}", "group_by": r"^(p\d+)/", "positives": "group", "batch_size": 16}
    config = dataclasses.replace(tiny, **settings, epochs=3, keep_checkpoints=5, workdir=str(tmp_path / "whole"))
    experiment.pretrain(config)
    assert "every second view is of another image of the group; 10 groups" in capsys.readouterr().out
    broken = shutil.copytree(config.workdir, tmp_path / "broken")
    for path in ("summary.json", "encoder.keras"):
        (broken / path).unlink()
    for late in sorted(path for path in (broken / "checkpoints").iterdir() if path.name[5:].isdigit())[1:]:
        shutil.rmtree(late)
    again = dataclasses.replace(config, workdir=str(broken))
    for change in ({"positives": "self"}, {"positives": "self", "group_by": None}, {"group_by": "auto"}):
        with pytest.raises(UserError, match="other settings"):
            experiment.pretrain(dataclasses.replace(again, **change))
    experiment.pretrain(again)
    assert "after step 2" in capsys.readouterr().out
    assert losses(broken) == losses(config.workdir)
    rows = tmp_path / "rows.json"
    labels = tmp_path / "labels.csv"
    lines = [f"p{person}/{n}.png,{'ab'[n % 2]}" for person in range(10) for n in range(4)]
    labels.write_text("\n".join(["path,label", *lines]))
    asked = [f"--workdir={broken}", "--eval=knn", "--knn_k=3", f"--labels={labels}", f"--output={rows}"]
    run_tool("evaluate", *asked)
    assert "whole groups, 2 of them" in json.loads(rows.read_text())[0]["split"]
