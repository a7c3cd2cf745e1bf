"""Built-in scenes: drawn by formulas and seeded by their index, so that nothing has to be downloaded.

A scene is one of ten silhouettes (or several) before a cluttered background. Position, size, rotation, colors,
textures, lighting and clutter are drawn independently of the class: only the shape tells it. A color camera and a
time-of-flight depth camera see the same layout, and its true boxes, masks, keypoints and depth are known.

A scene is a function of (seed, index), and a picture of it one of (seed, index, size): coordinates are fractions of
the image's side, so every size shows the same scene, and only the cameras' noise is drawn per pixel.
"""

from dataclasses import dataclass

import numpy as np

from ssl_keras.data.scenes import cameras as scene_cameras
from ssl_keras.data.scenes import shapes as scene_shapes
from ssl_keras.data.scenes.cameras import DEPTH_UNIT
from ssl_keras.data.scenes.shapes import CLASS_NAMES, KEYPOINT_NAMES
from ssl_keras.errors import UserError

__all__ = [
    "CLASS_NAMES",
    "DEPTH_UNIT",
    "KEYPOINT_NAMES",
    "MAX_OBJECTS",
    "MIN_SIZE",
    "TEST_OFFSET",
    "Scene",
    "label",
    "render",
    "render_depth_image",
    "render_image",
]

TEST_OFFSET = 1_000_000  # training scenes count from 0, held-out ones from here
MAX_OBJECTS = 4
MIN_SIZE = 16  # pixels: in fewer, the thin parts of the smallest shapes are lost

# Each subject of a scene has its own random stream, so that no draw for one moves another's.
_CLASS, _LAYOUT, _COLOR, _COLOR_NOISE, _DEPTH, _DEPTH_NOISE = range(6)


@dataclass(frozen=True)
class Scene:
    """One rendered scene of side S with n visible objects, nearest first; the first is the main object.

    Pixel coordinates are continuous: the pixel of column i covers [i, i + 1).

    Attributes:
        image: uint8 [S, S, 3].
        depth_image: uint16 [S, S, 1], what the depth camera reports in units of `DEPTH_UNIT`; 0 for no return.
        label: class of the main object, an index into `CLASS_NAMES`.
        boxes: float32 [n, 4], (x0, y0, x1, y1) in pixels, tight around the visible part.
        labels: int32 [n], class of each object.
        masks: bool [n, S, S], the visible part of each object; no two overlap.
        keypoints: float32 [n, 4, 3], (x, y, visible) in pixels, in the order of `KEYPOINT_NAMES`.
        depth: float32 [S, S], true distance in meters of what fills most of each pixel.
    """

    image: np.ndarray
    depth_image: np.ndarray
    label: int
    boxes: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    keypoints: np.ndarray
    depth: np.ndarray


def label(index: int, seed: int = 0) -> int:
    """Class of the main object of scene `index`; each block of ten indices holds every class once."""
    if index < 0 or seed < 0:
        raise UserError(f"a scene's index and seed must be 0 or more, got index {index} and seed {seed}")
    block, place = divmod(index, len(CLASS_NAMES))
    return int(_stream(seed, block, _CLASS).permutation(len(CLASS_NAMES))[place])


def render_image(index: int, size: int = 32, seed: int = 0) -> np.ndarray:
    """What the color camera sees of scene `index`: uint8 [size, size, 3], equal to `render(...).image`."""
    distances = [thing.signed_distance(size) for thing in _layout(index, size, seed, 1)]
    return _photograph(index, seed, distances)


def render_depth_image(index: int, size: int = 32, seed: int = 0) -> np.ndarray:
    """What the depth camera reports of scene `index`: uint16 [size, size, 1], equal to `render(...).depth_image`."""
    distances = [thing.signed_distance(size) for thing in _layout(index, size, seed, 1)]
    return _time_of_flight(index, seed, distances, _surfaces(index, seed, distances))


def render(index: int, size: int = 32, seed: int = 0, objects: int | str = 1) -> Scene:
    """Both cameras' images of scene `index`, and all that is true of it.

    Args:
        index: int >= 0; training scenes count from 0, held-out ones from `TEST_OFFSET`.
        size: side of the images in pixels, at least `MIN_SIZE`.
        seed: int >= 0; another seed is another world.
        objects: how many, 1 to `MAX_OBJECTS`, or "many" for a number drawn with the scene. Objects of which less than
            a third can be seen are drawn but not listed.

    Raises:
        UserError: an argument is out of its range.
    """
    things = _layout(index, size, seed, objects)
    distances = [thing.signed_distance(size) for thing in things]
    surfaces = _surfaces(index, seed, distances)

    areas = scene_cameras.pixel_mean(scene_cameras.coverage(np.stack(distances)))  # of each pixel, [n, S, S]
    unhidden = np.cumprod(np.concatenate([np.ones_like(areas[:1]), 1 - areas]), axis=0)
    visible_areas = np.concatenate([areas * unhidden[:-1], unhidden[-1:]])  # [n + 1, S, S], background last
    owner = np.argmax(visible_areas, axis=0)
    masks = owner == np.arange(len(things))[:, None, None]
    listed = [i for i, mask in enumerate(masks) if mask.sum() > areas[i].sum() / 3]
    return Scene(
        image=_photograph(index, seed, distances),
        depth_image=_time_of_flight(index, seed, distances, surfaces),
        label=things[0].label,
        boxes=np.stack([_box(masks[i]) for i in listed]),
        labels=np.array([things[i].label for i in listed], np.int32),
        masks=masks[listed],
        keypoints=np.stack([_keypoints(things[i], masks[:i], size) for i in listed]),
        depth=np.choose(owner, [scene_cameras.pixel_mean(surface) for surface in surfaces]),
    )


@dataclass(frozen=True)
class _Object:
    """A silhouette and where it lies in the image; lengths are fractions of the image's side, the angle in radians."""

    label: int
    x: float
    y: float
    radius: float
    rotation: float

    def signed_distance(self, size):
        """Signed distance to the outline at the samples of an image, float32 [P, P], as a fraction of the side."""
        x, y = scene_cameras.sample_grid(size)
        x, y, radius = x - np.float32(self.x), y - np.float32(self.y), np.float32(self.radius)
        c, s = np.float32(np.cos(self.rotation)) / radius, np.float32(np.sin(self.rotation)) / radius
        return radius * scene_shapes.signed_distance(self.label, c * x + s * y, c * y - s * x)

    def keypoints(self):
        """Keypoints in the image, float64 [4, 2], as fractions of the side."""
        c, s = np.cos(self.rotation), np.sin(self.rotation)
        return self.radius * scene_shapes.keypoints(self.label) @ [[c, s], [-s, c]] + (self.x, self.y)


def _layout(index, size, seed, objects):
    """The scene's objects, nearest first; also the place where a caller's arguments are checked."""
    if size < MIN_SIZE:
        raise UserError(f"size must be at least {MIN_SIZE} pixels for every shape to be seen, got {size}")
    if objects != "many" and objects not in range(1, MAX_OBJECTS + 1):
        raise UserError(f'objects must be 1 to {MAX_OBJECTS} or "many", got {objects!r}')
    main_label = label(index, seed)
    rng = _stream(seed, index, _LAYOUT)
    drawn_number = int(rng.integers(1, MAX_OBJECTS + 1))
    number = drawn_number if objects == "many" else objects
    if number == 1:
        return [_place(rng, main_label, (0.5, 0.5), 0.5, rng.uniform(0.26, 0.4))]
    labels = [main_label, *rng.integers(len(CLASS_NAMES), size=number - 1)]
    quarters = rng.permutation(4)[:number]
    return [
        # A room wider than its quarter of the image lets neighbors overlap.
        _place(rng, int(k), (0.3 + 0.4 * (q % 2), 0.3 + 0.4 * (q // 2)), 0.3, rng.uniform(0.14, 0.24))
        for k, q in zip(labels, quarters)
    ]


def _place(rng, class_index, centre, room, radius):
    """An object at random within `room` of a center, so that its circle of this radius stays inside."""
    dx, dy = rng.uniform(-1, 1, 2) * (room - radius)
    rotation = rng.uniform(-1, 1) * np.radians(40)  # from 45 degrees on, a square's top would be its side
    if CLASS_NAMES[class_index] in scene_shapes.ROTATION_INVARIANT:
        rotation = 0.0
    return _Object(class_index, centre[0] + dx, centre[1] + dy, radius, rotation)


def _box(mask):
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def _keypoints(thing, nearer_masks, size):
    """Keypoints (x, y, visible) of an object in pixels; one behind a nearer object's mask is not visible."""
    points = thing.keypoints() * size
    column, row = np.clip(np.floor(points).astype(int), 0, size - 1).T
    visible = ~nearer_masks[:, row, column].any(0)
    return np.column_stack([points, visible]).astype(np.float32)


def _stream(seed, index, subject):
    # Philox is a counter-based generator: its key names the scene, the last word of its counter the subject.
    return np.random.Generator(np.random.Philox(key=[seed, index], counter=[0, 0, 0, subject]))


def _photograph(index, seed, distances):
    return scene_cameras.photograph(distances, _stream(seed, index, _COLOR), _stream(seed, index, _COLOR_NOISE))


def _surfaces(index, seed, distances):
    return scene_cameras.surfaces(distances, _stream(seed, index, _DEPTH))


def _time_of_flight(index, seed, distances, surfaces):
    return scene_cameras.time_of_flight(distances, surfaces, _stream(seed, index, _DEPTH_NOISE))
