import numpy as np
import pytest
import tensorflow as tf

from tests.methods import harness, shortcuts

TINY = {"column_dim": 32, "hidden_dim": 32}
SCENES = [
    "--learning_rate=0.006",
    "--method_arg=patch=13",
    "--method_arg=column_dim=256",
    "--method_arg=hidden_dim=256",
]
WITHOUT = {"gap": 0, "jitter": 0, "color": "keep", "downsample": 0.0}


def test_both_patches_go_through_one_backbone():
    method, seen = harness.make("context_prediction"), []
    locate = method.locate
    method.locate = lambda pairs: seen.append(pairs) or locate(pairs)
    logs = method.train_step(next(iter(harness.batches(1))))
    assert seen[0].shape == (harness.BATCH, 2, 5, 5, 3)
    assert method.column.trainable_variables[0] is method.backbone.trainable_variables[0]
    assert float(logs["chance"]) == pytest.approx(1 / 8) and 0 <= float(logs["accuracy"]) <= 1


def test_loss_is_cross_entropy_of_the_neighbours_place():
    method = harness.make("context_prediction", learning_rate=0.0)
    logits = np.random.default_rng(0).normal(size=(harness.BATCH, 8)).astype(np.float32)
    batch = next(iter(harness.batches(1)))
    place = method.pairs(method.make_views(batch)[0], step=0)[1].numpy()
    locate = method.locate
    method.locate = lambda pairs: (tf.constant(logits) + 0.0 * locate(pairs)[0],)
    expected = np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(harness.BATCH), place])
    assert float(method.train_step(batch)["loss"]) == pytest.approx(expected, rel=1e-5)


def test_batch_norms_of_the_head_have_no_scale_and_no_offset():
    method = harness.make("context_prediction")
    for model in (method.fc6, method.fc7, method.classifier):
        assert not any(v.name in ("gamma", "beta") for v in model.trainable_variables)


def test_the_answer_depends_on_which_patch_comes_first():
    method = harness.make("context_prediction")
    pairs = tf.random.stateless_uniform([4, 2, 5, 5, 3], [0, 0])
    assert np.abs(method.locate(pairs)[0] - method.locate(pairs[:, ::-1])[0]).max() > 1e-3


@pytest.mark.parametrize("color", ["drop", "project", "keep"])
def test_every_treatment_of_colour_trains(color):
    method = harness.make("context_prediction", color=color, gap=0, jitter=0, patch=6)
    assert method.pairs.geometry(harness.SIZE) == (6, 0, 0)
    assert np.isfinite(harness.train(method, harness.batches(1))["loss"])


def test_arguments_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="drop, project, keep"):
        harness.make("context_prediction", color="gray")
    with pytest.raises(ValueError, match="fits into images of 16"):
        harness.make("context_prediction", patch=8, gap=4)


def solved(images, steps=400, **arguments):
    return shortcuts.accuracy("context_prediction", images, 10, steps, column_dim=128, hidden_dim=128, **arguments)


@pytest.mark.slow
@pytest.mark.parametrize("cue, steps, least", [(shortcuts.aberrant, 300, 0.8), (shortcuts.continuous, 600, 0.25)])
def test_a_planted_cue_tells_places_only_without_the_countermeasures(cue, steps, least):
    """Channels out of register, as a lens leaves them; borders that go on from patch to patch. Chance is 0.125."""
    assert solved(cue, steps, **WITHOUT) > least
    assert solved(cue, steps) < solved(shortcuts.noise, steps) + 0.05 < 0.22
