import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.views.pretext import permutations
from tests.methods import harness, shortcuts

TINY = {"permutations": 10, "tile_dim": 16, "hidden_dim": 32}
WITHOUT = {
    "gap": False,
    "jitter": False,
    "normalize_tiles": False,
    "grayscale": 0.0,
    "channel_shift": 0,
    "channel_jitter": 0,
}


def test_nine_tiles_go_through_one_backbone_in_the_order_presented():
    method, seen = harness.make("jigsaw"), []
    solve = method.solve
    method.solve = lambda tiles: seen.append(tiles) or solve(tiles)
    logs = method.train_step(next(iter(harness.batches(1))))
    assert seen[0].shape == (harness.BATCH, 9, 4, 4, 3)
    assert method.column.input_shape[1] == 4 and method.backbone.input_shape[1] == harness.SIZE
    assert method.column.trainable_variables[0] is method.backbone.trainable_variables[0]
    assert float(logs["chance"]) == pytest.approx(0.1) and 0 <= float(logs["accuracy"]) <= 1


def test_loss_is_cross_entropy_of_the_permutation():
    method = harness.make("jigsaw", learning_rate=0.0)
    logits = np.random.default_rng(0).normal(size=(harness.BATCH, 10)).astype(np.float32)
    batch = next(iter(harness.batches(1)))
    order = method.tiles(method.make_views(batch)[0], step=0)[1].numpy()
    solve = method.solve
    method.solve = lambda tiles: (tf.constant(logits) + 0.0 * solve(tiles)[0],)
    expected = np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(harness.BATCH), order])
    assert float(method.train_step(batch)["loss"]) == pytest.approx(expected, rel=1e-5)


def test_the_head_sees_the_place_of_each_tile():
    """Tiles that change places change the answer: features are concatenated, not averaged."""
    method = harness.make("jigsaw")
    tiles = tf.random.stateless_uniform([4, 9, 4, 4, 3], [0, 0])
    swapped = tf.gather(tiles, [1, 0, *range(2, 9)], axis=1)
    assert np.abs(method.solve(tiles)[0] - method.solve(swapped)[0]).max() > 1e-3


def test_every_countermeasure_can_be_switched_off():
    method = harness.make("jigsaw", **WITHOUT)
    tiles = method.tiles
    off = (tiles.gap, tiles.jitter, tiles.normalize, tiles.grayscale, tiles.channel_shift, tiles.channel_jitter)
    assert not any(off)
    assert np.isfinite(harness.train(method, harness.batches(1))["loss"])


def test_permutations_come_from_a_file_where_one_is_named(tmp_path):
    path = tmp_path / "twelve.txt"
    path.write_text(permutations.text(permutations.greedy(12, seed=3)))
    assert harness.make("jigsaw", permutation_file=str(path)).classifier.output_shape[-1] == 12
    with pytest.raises(ValueError, match="10, 100, 1000"):
        harness.make("jigsaw", permutations=12)


def solved(images, steps=300, **arguments):
    return shortcuts.accuracy("jigsaw", images, 8, steps, permutations=10, tile_dim=64, hidden_dim=256, **arguments)


@pytest.mark.slow
@pytest.mark.parametrize("cue", [shortcuts.tinted, shortcuts.continuous])
def test_a_planted_cue_solves_puzzles_only_without_the_countermeasures(cue):
    """A color that changes across the image; borders that go on from tile to tile."""
    assert solved(cue, **WITHOUT) > 0.8
    assert solved(cue) < solved(shortcuts.noise) + 0.06 < 0.25


@pytest.mark.slow
def test_channels_out_of_register_are_read_unless_one_channel_is_shown():
    """As a lens leaves them. The paper's grayscale and shifts do not hide so strong a cue; a single channel does.

    Waves go on from tile to tile, which solves some puzzles honestly: the control are the same waves in register.
    """
    assert solved(shortcuts.aberrant, **WITHOUT) > 0.8
    assert solved(shortcuts.aberrant, color="drop") < solved(shortcuts.in_register, color="drop") + 0.06 < 0.5
