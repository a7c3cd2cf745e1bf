import numpy as np
import pytest

from ssl_keras.data.scenes import cameras as scene_cameras
from ssl_keras.data.scenes import scenes
from ssl_keras.data.scenes import shapes as scene_shapes


def nearest_neighbour_accuracy(train, train_labels, test, test_labels):
    """Vote of the 200 nearest by cosine similarity, weighted by exp(similarity / 0.1)."""
    train, test = (z.reshape(len(z), -1).astype(np.float32) for z in (train, test))
    train, test = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (train, test))
    similarity = test @ train.T
    nearest = np.argpartition(-similarity, 200, axis=1)[:, :200]
    weight = np.exp(np.take_along_axis(similarity, nearest, 1) / 0.1)
    votes = ((train_labels[nearest][..., None] == np.arange(10)) * weight[..., None]).sum(1)
    return np.mean(votes.argmax(1) == test_labels)


@pytest.fixture(scope="module")
def pictures():
    """1,500 training and 750 held-out images of 32 px, with their labels."""
    train, test = range(1500), range(scenes.TEST_OFFSET, scenes.TEST_OFFSET + 750)
    images = [np.stack([scenes.render_image(i) for i in part]) for part in (train, test)]
    labels = [np.array([scenes.label(i) for i in part]) for part in (train, test)]
    return images[0], labels[0], images[1], labels[1]


# Identity


def test_a_scene_is_a_function_of_seed_index_and_size():
    first, again = (scenes.render(7, 48, seed=3, objects="many") for _ in range(2))
    for name, value in vars(first).items():
        np.testing.assert_array_equal(value, getattr(again, name), err_msg=name)
    assert (scenes.render_image(7) != scenes.render_image(8)).any()
    assert (scenes.render_image(7) != scenes.render_image(7, seed=1)).any()


@pytest.mark.parametrize("index", [0, 123, scenes.TEST_OFFSET + 5])
def test_the_fast_paths_equal_the_whole_rendering(index):
    scene = scenes.render(index, 40, seed=2)
    np.testing.assert_array_equal(scene.image, scenes.render_image(index, 40, seed=2))
    np.testing.assert_array_equal(scene.depth_image, scenes.render_depth_image(index, 40, seed=2))
    assert scene.label == scene.labels[0] == scenes.label(index, seed=2)


def test_shapes_and_types():
    scene = scenes.render(4, 24, objects=3)
    n = len(scene.labels)
    assert scene.image.shape == (24, 24, 3) and scene.image.dtype == np.uint8
    assert scene.depth_image.shape == (24, 24, 1) and scene.depth_image.dtype == np.uint16
    assert scene.boxes.shape == (n, 4) and scene.boxes.dtype == np.float32
    assert scene.masks.shape == (n, 24, 24) and scene.masks.dtype == bool
    assert scene.keypoints.shape == (n, len(scenes.KEYPOINT_NAMES), 3) and scene.keypoints.dtype == np.float32
    assert scene.depth.shape == (24, 24) and scene.depth.dtype == np.float32
    assert scene.labels.dtype == np.int32 and len(scenes.CLASS_NAMES) == 10


def test_every_block_of_ten_indices_holds_every_class_once():
    for start in (0, 990, scenes.TEST_OFFSET):
        assert sorted(scenes.label(i) for i in range(start, start + 10)) == list(range(10))
    orders = {tuple(scenes.label(i) for i in range(b, b + 10)) for b in range(0, 200, 10)}
    assert len(orders) == 20  # the place in a block does not tell the class


def test_every_size_shows_the_same_scene():
    for index in range(30):
        small, large = scenes.render(index, 32), scenes.render(index, 96)
        shrunk = large.image.reshape(32, 3, 32, 3, 3).mean((1, 3))
        # What is left is both pictures' noise, at most 3 % of the range each, and the edges' sampling.
        assert np.abs(shrunk - small.image).mean() < 0.05 * 255
        assert np.corrcoef(shrunk.ravel(), small.image.ravel())[0, 1] > 0.9
        np.testing.assert_allclose(large.boxes / 3, small.boxes, atol=2)  # a thin tip may be lost at 32
        np.testing.assert_allclose(large.keypoints[..., :2] / 3, small.keypoints[..., :2], atol=1e-4)
        assert np.median(np.abs(large.depth[1::3, 1::3] / small.depth - 1)) < 0.01


# Truth


@pytest.mark.parametrize("objects", [1, "many"])
def test_boxes_bound_masks_tightly_and_masks_do_not_overlap(objects):
    for index in range(40):
        scene = scenes.render(index, 32, objects=objects)
        assert scene.masks.sum(0).max() == 1
        for mask, (x0, y0, x1, y1) in zip(scene.masks, scene.boxes.astype(int)):
            inside = mask[y0:y1, x0:x1]
            assert inside.sum() == mask.sum()
            assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()


def test_a_single_object_fills_much_of_the_image_whatever_its_class():
    sides = np.array([np.ptp(scenes.render(i).boxes[0].reshape(2, 2), axis=0).max() / 32 for i in range(200)])
    assert sides.min() > 0.35 and sides.max() < 0.9
    assert 0.45 < sides.mean() < 0.75


def test_many_means_one_to_four_objects_and_a_number_means_that_many():
    many = [len(scenes.render(i, objects="many").labels) for i in range(60)]
    assert set(many) == {1, 2, 3, 4}
    four = [len(scenes.render(i, objects=4).labels) for i in range(30)]
    assert max(four) == 4 and min(four) >= 2  # fewer only where a nearer object hides one


def test_the_smallest_pictures_still_show_their_main_object():
    for index in range(200):
        scene = scenes.render(index, scenes.MIN_SIZE, objects="many")
        assert scene.labels[0] == scenes.label(index) and scene.masks.any((1, 2)).all()


def test_an_object_is_nearer_than_the_background_along_its_outline():
    nearer = []
    for index in range(40):
        scene = scenes.render(index, 64)
        mask, depth = scene.masks[0], scene.depth
        outline = mask[:, :-1] & ~mask[:, 1:]
        nearer.append(depth[:, :-1][outline] < depth[:, 1:][outline])
    assert np.concatenate(nearer).mean() > 0.995


def test_keypoints_lie_on_the_silhouette():
    for k in range(10):
        points = scene_shapes.keypoints(k)
        assert (scene_shapes.signed_distance(k, *points.T) < 1e-9).all()
        assert (np.hypot(*points.T) <= 1.01).all()


def test_visible_keypoints_lie_at_their_mask():
    for index in range(60):
        scene = scenes.render(index, 96)
        rows, columns = np.nonzero(scene.masks[0])
        for x, y, visible in scene.keypoints[0]:
            assert visible == 1
            assert np.hypot(columns + 0.5 - x, rows + 0.5 - y).min() < 3  # the horns of a crescent are thin


def test_keypoints_behind_a_nearer_object_are_not_visible():
    hidden = 0
    for index in range(120):
        scene = scenes.render(index, 64, objects=4)
        assert scene.keypoints[0, :, 2].all()
        for i, points in enumerate(scene.keypoints):
            x, y = np.clip(points[:, :2].astype(int), 0, 63).T
            under = scene.masks[:i, y, x].any(0)
            assert not points[under, 2].any()
            hidden += under.sum()
    assert hidden > 0


@pytest.mark.parametrize("k", range(10), ids=scenes.CLASS_NAMES)
def test_a_silhouette_is_mirror_symmetric_and_its_distance_never_overstates(k):
    x, y = np.meshgrid(np.linspace(-1.2, 1.2, 201), np.linspace(-1.2, 1.2, 201))
    distance = scene_shapes.signed_distance(k, x, y)
    np.testing.assert_allclose(distance, distance[:, ::-1], atol=1e-9)
    assert (np.hypot(x, y)[distance < 0] <= 1.02).all()
    step = 2.4 / 200  # a signed distance changes by no more than the way gone
    assert np.abs(np.diff(distance, axis=0)).max() <= step * 1.0001
    assert np.abs(np.diff(distance, axis=1)).max() <= step * 1.0001


# Depth camera


def wall(metres, size=64):
    """An object-free view: a flat wall, and an outline that no sample is inside of."""
    outside, depth = np.ones((2 * size, 2 * size), np.float32), np.full((2 * size, 2 * size), metres, np.float32)
    return [outside], [depth, depth]


def test_depth_noise_and_lost_pixels_grow_with_distance():
    def measured(metres):
        report = scene_cameras.time_of_flight(*wall(metres), np.random.default_rng(0)).astype(float)
        returned = report[report > 0] * scenes.DEPTH_UNIT
        return returned.mean(), returned.std(), np.mean(report == 0)

    for metres in (1.0, 3.0, 5.0):
        mean, spread, lost = measured(metres)
        assert mean == pytest.approx(metres, abs=2e-3)
        assert spread == pytest.approx(2e-3 + 1e-3 * metres**2, rel=0.1)
        assert lost == pytest.approx(2e-3 + 1.5e-3 * metres**2, abs=6e-3)


def test_pixels_on_an_outline_mix_depths_or_return_nothing():
    flying = lost_at_outline = lost_elsewhere = 0
    for index in range(30):
        scene = scenes.render(index, 64)
        truth, report = scene.depth, scene.depth_image[..., 0] * scenes.DEPTH_UNIT
        mask = scene.masks[0]
        near_outline = np.zeros_like(mask)
        near_outline[1:-1, 1:-1] = (mask[1:-1, 1:-1] != mask[:-2, 1:-1]) | (mask[1:-1, 1:-1] != mask[1:-1, :-2])
        elsewhere = ~near_outline & (report > 0)
        assert np.median(np.abs(report - truth)[elsewhere]) < 0.03
        flying += np.mean(np.abs(report - truth)[near_outline & (report > 0)] > 0.05) / 30
        lost_at_outline += np.mean(report[near_outline] == 0) / 30
        lost_elsewhere += np.mean(report[~near_outline] == 0) / 30
    assert flying > 0.2
    assert lost_at_outline > 2 * lost_elsewhere > 0


def test_depth_images_use_a_good_part_of_sixteen_bits():
    counts = np.stack([scenes.render_depth_image(i) for i in range(100)])
    low, high = np.percentile(counts[counts > 0], [1, 99])
    assert low < 12_000 and high > 40_000 and counts.max() < 65_535


# Independence of the class


def test_raw_pixels_are_a_poor_classifier(pictures):
    assert nearest_neighbour_accuracy(*pictures) < 0.3


def test_colours_do_not_tell_the_class(pictures):
    train, train_labels, test, test_labels = pictures

    def colours(images):
        pixels = images.reshape(len(images), -1, 3).astype(np.float32)
        return np.concatenate([pixels.mean(1), pixels.std(1)], axis=1)

    centre, spread = colours(train).mean(0), colours(train).std(0)
    train, test = ((colours(z) - centre) / spread for z in (train, test))
    assert nearest_neighbour_accuracy(train, train_labels, test, test_labels) < 0.17


def test_the_background_beside_the_object_does_not_tell_the_class(pictures):
    train, train_labels, test, test_labels = pictures
    corners = [np.concatenate([z[:, :4, :4], z[:, -4:, :4], z[:, :4, -4:], z[:, -4:, -4:]], 1) for z in (train, test)]
    assert nearest_neighbour_accuracy(corners[0], train_labels, corners[1], test_labels) < 0.16


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"index": -1}, "index and seed must be 0 or more"),
        ({"index": 0, "seed": -1}, "index and seed must be 0 or more"),
        ({"index": 0, "size": 4}, "size must be at least"),
        ({"index": 0, "objects": 5}, 'objects must be 1 to 4 or "many", got 5'),
        ({"index": 0, "objects": "few"}, "objects must be"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        scenes.render(**arguments)
