"""Geometry by construction: every pixel of an image says where it is, so every piece says where it was cut."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.views.pretext import context_prediction, permutations
from ssl_keras.views.pretext.context_prediction import NEIGHBOURS, PatchPairs, coarse
from ssl_keras.views.pretext.jigsaw import JigsawTiles
from ssl_keras.views.pretext.rotation import Rotations, quarter_turn
from tests.views.inputs import canvases

SIDE = 32
ORDERS = permutations.shipped(100)
PLAIN_TILES = {"normalize": False, "grayscale": 0.0, "channel_shift": 0, "channel_jitter": 0}


def coordinates(count=200, side=SIDE):
    """Images [count, side, side, 3] whose channels hold a pixel's row, its column, and the row again."""
    row, column = np.mgrid[:side, :side].astype(np.uint8)
    return np.repeat(np.stack([row, column, row], axis=-1)[None], count, axis=0)


def whole(pieces):
    return np.rint(np.asarray(pieces) * 255).astype(int)


def assert_is_cut_from_the_image(piece):
    """Rows and columns go up by one: nothing is resampled, turned or mirrored. Returns the top left corner."""
    side = piece.shape[0]
    np.testing.assert_array_equal(piece[..., 0], piece[0, 0, 0] + np.arange(side)[:, None] + np.zeros(side, int))
    np.testing.assert_array_equal(piece[..., 1], piece[0, 0, 1] + np.arange(side) + np.zeros((side, 1), int))
    return piece[0, 0, :2]


# ---- rotation


def test_rotations_are_numpys_and_each_inverts():
    images = canvases(3)
    for count, first in ((4, 0), (2, 0), (2, 90)):
        turned, labels = Rotations(count, first)(images, step=0)
        np.testing.assert_array_equal(labels, [np.arange(count)] * 3)
        for k in range(count):
            turns = (first + 360 * k // count) // 90
            expected = np.rot90(images, turns, axes=(1, 2))
            np.testing.assert_array_equal(whole(turned[:, k]), expected)
            np.testing.assert_array_equal(whole(quarter_turn(turned[:, k], -turns)), images)


def test_ninety_degrees_is_a_transpose_and_then_an_up_down_flip():
    images = canvases(2)
    turned = Rotations()(images, step=0)[0]
    np.testing.assert_array_equal(whole(turned[:, 1]), np.flip(np.swapaxes(images, 1, 2), axis=1))


def test_eight_rotations_show_the_inscribed_square_without_corners():
    side = 33
    images = coordinates(1, side)
    turned, labels = Rotations(8)(images, step=0)
    np.testing.assert_array_equal(labels[0], np.arange(8))
    centre, reach = (side - 1) / 2, (side - 1) / 2
    y, x = np.mgrid[:side, :side] - centre
    for k in range(8):
        angle = k * np.pi / 4
        row = centre + (np.cos(angle) * y + np.sin(angle) * x) / 2**0.5
        column = centre + (np.cos(angle) * x - np.sin(angle) * y) / 2**0.5
        np.testing.assert_allclose(255 * turned[0, k, ..., 0], row, atol=1e-3)
        np.testing.assert_allclose(255 * turned[0, k, ..., 1], column, atol=1e-3)
    assert np.abs(row - centre).max() == pytest.approx(reach)  # the corners of a tilted square touch the edges
    np.testing.assert_array_equal(quarter_turn(turned[:, 3], 3), turned[:, 1])


def test_rotations_that_are_none_are_refused():
    with pytest.raises(ValueError, match="rotations must be 2, 4 or 8, got 3"):
        Rotations(3)
    with pytest.raises(ValueError, match="multiple of 90, got 45"):
        Rotations(2, 45)


# ---- jigsaw


@pytest.mark.parametrize("side, sizes", [(32, (8, 10, 1)), (225, (64, 75, 0)), (255, (72, 85, 0))])
def test_tiles_are_the_papers_in_proportion(side, sizes):
    assert JigsawTiles(ORDERS).geometry(side) == sizes


@pytest.mark.parametrize("gap, jitter", [(True, True), (True, False), (False, True), (False, False)])
def test_every_tile_comes_from_the_cell_that_its_order_names(gap, jitter):
    layer = JigsawTiles(ORDERS, gap=gap, jitter=jitter, **PLAIN_TILES)
    tiles, labels = layer(coordinates(), step=3)
    assert tiles.shape == (200, 9, 8, 8, 3)
    tile, cell, start = layer.geometry(SIDE)
    assert (tile, cell, start) == ((8, 10, 1) if gap else (8, 8, 4))
    seen = []
    for image, label in zip(whole(tiles), labels.numpy()):
        for presented, of_cell in zip(image, ORDERS[label]):
            corner = assert_is_cut_from_the_image(presented)
            moved = corner - start - cell * np.array(divmod(int(of_cell), 3))
            assert np.all((moved >= 0) & (moved <= cell - tile))
            seen.append(tuple(moved))
    if gap and jitter:  # every place within the cell, about equally often
        counts = np.array([seen.count((y, x)) for y in range(3) for x in range(3)]) / len(seen)
        assert counts.min() > 0.08 and counts.max() < 0.15
    else:
        assert set(seen) == {(1, 1) if gap else (0, 0)}
    assert len(set(labels.numpy())) > 50


def test_each_tile_and_channel_gets_the_backbones_mean_and_standard_deviation():
    mean, std = np.float32([0.4, 0.5, 0.6]), np.float32([0.1, 0.2, 0.3])
    tiles = JigsawTiles(ORDERS, mean=mean, std=std)(canvases(4, SIDE), step=0)[0].numpy()
    np.testing.assert_allclose(tiles.mean(axis=(2, 3)), np.broadcast_to(mean, (4, 9, 3)), atol=1e-5)
    np.testing.assert_allclose(tiles.std(axis=(2, 3)), np.broadcast_to(std, (4, 9, 3)), atol=1e-4)
    flat = JigsawTiles(ORDERS)(np.full((1, SIDE, SIDE, 3), 77, np.uint8), step=0)[0]
    np.testing.assert_allclose(flat, 0.0, atol=1e-2)


def test_a_share_of_the_images_is_gray_and_only_the_others_channels_move():
    options = {"normalize": False, "channel_shift": 0, "channel_jitter": 1}
    tiles = JigsawTiles(ORDERS, grayscale=0.3, **options)(canvases(400, SIDE), step=0)[0].numpy()
    gray = np.abs(tiles - tiles[..., :1]).max(axis=(2, 3, 4)) < 1e-6
    assert np.all(gray.all(axis=1) == gray.any(axis=1))  # all tiles of an image alike
    assert gray[:, 0].mean() == pytest.approx(0.3, abs=0.07)
    colored = JigsawTiles(ORDERS, grayscale=0.0, **options)(canvases(40, SIDE), step=0)[0].numpy()
    assert colored.std(axis=-1).max(axis=(1, 2, 3)).min() > 0.1


def test_channels_move_by_up_to_so_many_pixels():
    options = {**PLAIN_TILES, "channel_jitter": 2, "jitter": False}
    tiles = whole(JigsawTiles(ORDERS, **options)(coordinates(), step=0)[0])
    apart = tiles[..., 0] - tiles[..., 2]  # rows of two channels: the same before they move
    assert np.all(apart == apart[:, :, :1, :1])
    assert set(np.unique(apart)) == set(range(-4, 5))


def test_levels_are_added_to_channels():
    images = np.full((200, SIDE, SIDE, 3), 100, np.uint8)
    tiles = whole(JigsawTiles(ORDERS, **{**PLAIN_TILES, "channel_shift": 2})(images, step=0)[0])
    assert np.all(tiles == tiles[:, :, :1, :1])
    values, counts = np.unique(tiles[:, :, 0, 0] - 100, return_counts=True)
    assert values.tolist() == [-2, -1, 0, 1, 2] and counts.min() > 0.9 * counts.mean()


def test_tiles_of_any_number_of_channels():
    for channels in (1, 4):
        tiles = JigsawTiles(ORDERS)(canvases(2, SIDE, channels, np.uint16), step=0)[0]
        assert tiles.shape == (2, 9, 8, 8, channels) and np.isfinite(tiles).all()


def test_tiles_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="tile must be 1 to 10 pixels"):
        JigsawTiles(ORDERS, tile=11)(canvases(1, SIDE), step=0)
    with pytest.raises(ValueError, match="nine tiles"):
        JigsawTiles(ORDERS[:, :4])
    with pytest.raises(ValueError, match="grayscale"):
        JigsawTiles(ORDERS, grayscale=1.5)


# ---- context prediction


@pytest.mark.parametrize(
    "side, given, expected",
    [(32, {}, (10, 3, 1)), (256, {}, (96, 48, 7)), (64, {}, (20, 6, 2)), (32, {"gap": 0, "jitter": 0}, (10, 0, 0))],
)
def test_patches_are_the_papers_or_in_proportion(side, given, expected):
    assert PatchPairs(**given).geometry(side) == expected


@pytest.mark.parametrize("gap, jitter", [(3, 1), (0, 0), (5, 2)])
def test_the_second_patch_lies_where_the_label_says(gap, jitter):
    layer = PatchPairs(10, gap, jitter, color="keep", downsample=0.0)
    # Patches are normalized, so their places are read from how they were cut: the draws, once more, on plain indices.
    cutter = context_prediction.cut
    corners = {}

    def recording(images, top, left, side):
        corners["top"], corners["left"] = top.numpy(), left.numpy()
        pieces = cutter(images, top, left, side)
        for piece, y, x in zip(whole(pieces).reshape(-1, 10, 10, 3), top.numpy().ravel(), left.numpy().ravel()):
            np.testing.assert_array_equal(assert_is_cut_from_the_image(piece), (y, x))
        return pieces

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context_prediction, "cut", recording)
        pairs, labels = layer(coordinates(400), step=1)
    assert pairs.shape == (400, 2, 10, 10, 3)
    corner = np.stack([corners["top"], corners["left"]], axis=-1)  # [b, 2, axis]
    assert corner.min() >= 0 and corner.max() <= SIDE - 10
    step = (10 + gap) * np.array(NEIGHBOURS)[labels.numpy()]
    jittered = corner[:, 1] - corner[:, 0] - step
    assert np.abs(jittered).max() == 2 * jitter and jittered.min() == -2 * jitter
    assert set(labels.numpy()) == set(range(8))
    apart = np.abs(corner[:, 1] - corner[:, 0]).max(axis=1) - 10
    assert apart.min() >= gap - 2 * jitter


def test_the_first_patch_lies_anywhere_that_leaves_room():
    layer = PatchPairs(10, 3, 0, color="keep", downsample=0.0)
    with pytest.MonkeyPatch.context() as patch:
        seen, cutter = [], context_prediction.cut
        patch.setattr(context_prediction, "cut", lambda x, *corner: seen.append(corner) or cutter(x, *corner))
        label = layer(coordinates(3000), step=0)[1].numpy()
    top, left = (np.asarray(corner)[:, 0] for corner in seen[0][:2])
    below, right = NEIGHBOURS.index((1, 0)), NEIGHBOURS.index((0, 1))
    assert set(top[label == below]) == set(left[label == right]) == set(range(10))
    assert set(left[label == below]) == set(range(23))


def test_patches_lose_their_mean_and_contrast():
    pairs = PatchPairs(color="keep", downsample=0.0)(canvases(8, SIDE), step=0)[0].numpy()
    np.testing.assert_allclose(pairs.mean(axis=(2, 3)), 0.0, atol=1e-5)
    np.testing.assert_allclose(np.square(pairs).mean(axis=(2, 3, 4)), 1.0, atol=1e-3)


def test_two_of_three_channels_are_dropped():
    pairs = PatchPairs(color="drop", downsample=0.0)(canvases(300, SIDE), step=0)[0].numpy().reshape(-1, 100, 3)
    strength = np.sort(pairs.std(axis=1), axis=1)
    np.testing.assert_allclose(strength[:, :2] / strength[:, 2:], 0.01, rtol=0.5)
    kept = np.bincount(pairs.std(axis=1).argmax(axis=1), minlength=3) / len(pairs)
    assert kept.min() > 0.25


def test_projection_leaves_no_green_against_magenta():
    pairs = PatchPairs(color="project", downsample=0.0)(canvases(8, SIDE), step=0)[0].numpy()
    np.testing.assert_allclose(pairs @ [-1.0, 2.0, -1.0], 0.0, atol=1e-4)
    assert np.abs(pairs @ [1.0, 0.0, -1.0]).mean() > 0.1
    with pytest.raises(ValueError, match="drop"):
        PatchPairs(color="project")(canvases(2, SIDE, 4), step=0)


def test_a_third_of_the_patches_is_coarse():
    options = {"patch": 24, "gap": 0, "jitter": 0, "color": "keep"}
    fine, some = (PatchPairs(downsample=p, **options)(canvases(300, 64), step=0)[0].numpy() for p in (0.0, 0.33))
    changed = np.abs(fine - some).max(axis=(2, 3, 4)) > 1e-3
    assert changed.mean() == pytest.approx(0.33, abs=0.05)
    assert 0.15 < (changed[:, 0] & changed[:, 1]).mean() / changed.mean() < 0.55  # each patch has its own draw


def test_dropped_colours_are_as_fine_in_coarse_patches():
    """Colors are dropped after a patch was reduced: the noise in their place is not smoothed with it."""
    options = {"patch": 24, "gap": 0, "jitter": 0, "color": "drop", "downsample": 1.0}
    pairs = PatchPairs(**options)(canvases(100, 64), step=0)[0].numpy().reshape(-1, 24, 24, 3)
    strength = pairs.std(axis=(1, 2))
    np.testing.assert_allclose(np.sort(strength, axis=1)[:, :2] / np.sort(strength, axis=1)[:, 2:], 0.01, rtol=0.2)
    neighbours = np.mean(pairs[:, :, 1:] * pairs[:, :, :-1], axis=(1, 2)) / strength**2  # correlation, by channel
    order = np.argsort(strength, axis=1)
    dropped, kept = (np.take_along_axis(neighbours, order[:, k], axis=1) for k in (slice(2), slice(2, 3)))
    assert np.abs(dropped).mean() < 0.06 and kept.mean() > 0.5


def test_coarse_patches_have_the_drawn_number_of_pixels():
    patch = tf.constant(canvases(2, 96, dtype=np.float32))
    lowest, highest = coarse(patch, tf.constant([0.0, 0.9999]))
    from PIL import Image

    bilinear = Image.Resampling.BILINEAR
    plane = Image.fromarray(patch[0, ..., 0].numpy())
    expected = np.asarray(plane.resize((10, 10), bilinear).resize((96, 96), bilinear))
    np.testing.assert_allclose(lowest[..., 0], expected, atol=1e-5)
    assert np.abs(highest - patch[1]).mean() < 0.2


def test_pairs_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="fits into images of 32"):
        PatchPairs(patch=14, gap=5, jitter=1)(canvases(1, SIDE), step=0)
    with pytest.raises(ValueError, match="drop, project, keep"):
        PatchPairs(color="gray")


# ---- all


LAYERS = {
    "rotations": lambda: Rotations(8),
    "tiles": lambda: JigsawTiles(ORDERS),
    "drop": lambda: PatchPairs(color="drop"),
    "project": lambda: PatchPairs(color="project"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_pieces_depend_on_seed_step_and_place_alone_and_not_on_the_compiler(name):
    layer, images = LAYERS[name](), tf.constant(canvases(8, SIDE))
    pieces, labels = layer(images, step=5)
    compiled = tf.function(lambda x, step: layer(x, step=step), jit_compile=True, autograph=False)
    again, same = compiled(images, tf.constant(5, tf.int64))
    np.testing.assert_allclose(again, pieces, atol=2e-4)
    np.testing.assert_array_equal(same, labels)
    half, _ = layer(images[:4], step=5)
    np.testing.assert_allclose(half, pieces[:4], atol=1e-5)
    if name != "rotations":
        assert np.any(layer(images, step=6)[1] != labels)


@pytest.mark.parametrize("name", LAYERS)
def test_no_layer_loops_over_images(name):
    layer = LAYERS[name]()
    graph = tf.function(lambda x: layer(x, step=0), autograph=False).get_concrete_function(
        tf.TensorSpec([4, SIDE, SIDE, 3], tf.uint8)
    ).graph.as_graph_def()  # fmt: skip
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert not {"While", "StatelessWhile", "MapDefun", "If", "StatelessIf"} & {node.op for node in nodes}


def test_two_replicas_cut_what_one_would(two_replicas):
    images = canvases(8, SIDE)
    alone = LAYERS["drop"]()(images, step=5)
    with two_replicas.scope():
        layer = LAYERS["drop"]()

    @tf.function(autograph=False)
    def step(x):
        return two_replicas.run(lambda x: layer(x, step=tf.constant(5, tf.int64)), args=(x,))

    dataset = tf.data.Dataset.from_tensor_slices(images).batch(8)
    batch = next(iter(two_replicas.experimental_distribute_dataset(dataset)))
    for together, expected in zip(step(batch), alone):
        parts = two_replicas.experimental_local_results(together)
        np.testing.assert_allclose(np.concatenate(parts), expected, atol=1e-4)


@pytest.mark.parametrize("name", LAYERS)
def test_as_keras_cvs_layers(name):
    layer, images = LAYERS[name](), canvases(2, SIDE)
    pieces, labels = layer(images, step=1)
    out = layer({"images": images, "labels": np.array([7, 8])}, step=1)
    np.testing.assert_array_equal(out["labels"], [7, 8])
    np.testing.assert_array_equal(out["pretext_labels"], labels)
    np.testing.assert_array_equal(out["images"], pieces)
    one, label = layer(images[0], step=1)
    np.testing.assert_allclose(one, pieces[0], atol=1e-5)
    np.testing.assert_array_equal(label, labels[0])
    loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    np.testing.assert_array_equal(loaded(images, step=1)[0], pieces)
    fresh = [np.asarray(layer(images)[1]) for _ in range(8)]
    assert name == "rotations" or len({x.tobytes() for x in fresh}) > 1


def test_wrong_pixels_are_refused():
    with pytest.raises(ValueError, match="int64"):
        Rotations()(np.zeros((1, 8, 8, 3), np.int64), step=0)


def test_a_jigsaw_of_one_channel_shows_nothing_of_the_others():
    images = np.zeros((64, 24, 24, 3), np.float32)
    images[..., 0], images[..., 1], images[..., 2] = 0.25, 0.5, 0.75
    layer = JigsawTiles(permutations.shipped(10), color="drop", normalize=False, channel_shift=0)
    tiles = layer(images, step=0)[0].numpy()
    shown = tiles[:, 0, 0, 0, 0]
    np.testing.assert_array_equal(tiles, np.broadcast_to(shown[:, None, None, None, None], tiles.shape))
    assert set(shown) == {0.25, 0.5, 0.75}
