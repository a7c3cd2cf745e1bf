"""The ten silhouettes of the built-in scenes, as signed distances and keypoints.

Every shape lives in its own frame: origin at its center, x to the right, y down, inside the unit circle, and
mirror-symmetric about the y axis, so that a horizontally flipped scene still shows the same class.
"""

import math

import numpy as np

KEYPOINT_NAMES = ("top", "right", "bottom", "left")

# These look the same at every rotation: rotating their keypoints would make a target that no image shows.
ROTATION_INVARIANT = ("disk", "ring")

_NOTCH_X, _NOTCH_Y = 0.45 * math.cos(math.pi / 5), 0.45 * math.sin(math.pi / 5)  # of the star, where a tip is (1, 0)
_LOBE = 0.52  # of the heart: the radius of its lobes and half the side of the square between them
_LOBE_X = _LOBE / math.sqrt(2)  # offset of a lobe's center from the square's, along x and y
_HEART_Y = 0.04  # the square's center
_BITE_Y = -0.45  # center of the circle that the crescent lacks
_HORN_Y = (_BITE_Y**2 + 0.95**2 - 0.75**2) / (2 * _BITE_Y)  # where the crescent's two circles meet


def signed_distance(label, x, y):
    """Signed distance to the outline of a silhouette: negative inside; its size is exact or a lower bound.

    Args:
        label: int in [0, 10), an index into `CLASS_NAMES`.
        x, y: float arrays [P, P], positions in the shape's frame.
    """
    distance, _ = _SHAPES[CLASS_NAMES[label]]
    return distance(x, y)


def keypoints(label):
    """Points on a silhouette, in the order of `KEYPOINT_NAMES`: float64 [4, 2], (x, y) in the shape's frame."""
    _, (top, right, bottom) = _SHAPES[CLASS_NAMES[label]]
    return np.array([top, right, bottom, (-right[0], right[1])], np.float64)


def _disk(x, y):
    return np.hypot(x, y) - 0.85


def _square(x, y):
    return np.maximum(np.abs(x), np.abs(y)) - 0.72


def _triangle(x, y):
    return np.maximum(math.sqrt(0.75) * np.abs(x) - 0.5 * y, y) - 0.5


def _star(x, y):
    sector = 2 * math.pi / 5
    angle = np.abs(np.mod(np.arctan2(x, -y) + sector / 2, sector) - sector / 2)
    radius = np.hypot(x, y)
    along, across = _NOTCH_X - 1, _NOTCH_Y  # the edge from a tip to its notch
    return ((radius * np.cos(angle) - 1) * across - radius * np.sin(angle) * along) / math.hypot(along, across)


def _cross(x, y):
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.maximum(x, y) - 0.9, np.minimum(x, y) - 0.28)


def _ring(x, y):
    return np.abs(np.hypot(x, y) - 0.7) - 0.22


def _crescent(x, y):
    return np.maximum(np.hypot(x, y) - 0.95, 0.75 - np.hypot(x, y - _BITE_Y))


def _heart(x, y):
    x, y = np.abs(x), y - _HEART_Y
    lobe = np.hypot(x - _LOBE_X, y + _LOBE_X)
    square = (x + np.abs(y)) / math.sqrt(2)
    return np.minimum(lobe, square) - _LOBE


def _arrow(x, y):
    x = np.abs(x)
    head = np.maximum((x - 0.75 * (y + 1)) / 1.25, y)
    shaft = np.maximum(x - 0.25, np.abs(y - 0.4) - 0.55)
    return np.minimum(head, shaft)


def _hourglass(x, y):
    x, y = np.abs(x), np.abs(y)
    return np.maximum(y - 0.8, (x - 0.12 - 0.6 * y) / math.hypot(1, 0.6))


# name: (signed distance, keypoints top, right and bottom; left mirrors right)
_SHAPES = {
    "disk": (_disk, [(0, -0.85), (0.85, 0), (0, 0.85)]),
    "square": (_square, [(0, -0.72), (0.72, 0), (0, 0.72)]),
    "triangle": (_triangle, [(0, -1), (math.sqrt(0.75), 0.5), (0, 0.5)]),
    "star": (_star, [(0, -1), (math.sin(0.4 * math.pi), -math.cos(0.4 * math.pi)), (0, 0.45)]),
    "cross": (_cross, [(0, -0.9), (0.9, 0), (0, 0.9)]),
    "ring": (_ring, [(0, -0.7), (0.7, 0), (0, 0.7)]),
    "crescent": (_crescent, [(0, _BITE_Y + 0.75), (math.sqrt(0.95**2 - _HORN_Y**2), _HORN_Y), (0, 0.95)]),
    "heart": (
        _heart,
        [(0, _HEART_Y - 2 * _LOBE_X), (_LOBE_X + _LOBE, _HEART_Y - _LOBE_X), (0, _HEART_Y + 2 * _LOBE_X)],
    ),
    "arrow": (_arrow, [(0, -1), (0.75, 0), (0, 0.95)]),
    "hourglass": (_hourglass, [(0, -0.8), (0.12, 0), (0, 0.8)]),
}

CLASS_NAMES = tuple(_SHAPES)
