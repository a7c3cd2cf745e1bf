"""Constants and weights of the 15 corruptions (Hendrycks & Dietterich, 2019, arXiv:1903.12261), in severities 1 to 5.

The constants are those of github.com/hendrycks/robustness (Apache-2.0), folder ImageNet-C/create_c: `SMALL` of
make_cifar_c.py, which makes CIFAR-10-C out of images of 32 px, `LARGE` of make_imagenet_c.py, which makes ImageNet-C
out of images of 224 px. What each number means, the function of `corruptions` says that takes it.
"""

import functools

import numpy as np
from scipy import ndimage

SEVERITIES = (1, 2, 3, 4, 5)
SMALL_SIDE = 64  # px: images whose longer side is no longer than this take SMALL, others LARGE


def _zooms(*ends_and_steps: tuple[float, float]) -> tuple[tuple[float, ...], ...]:
    """Magnifications from 1 to an end, as the published code counts them."""
    return tuple(tuple(np.arange(1, end, step).tolist()) for end, step in ends_and_steps)


SMALL = {
    "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
    "shot_noise": (500, 250, 100, 75, 50),
    "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
    "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    "glass_blur": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    "motion_blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    "zoom_blur": _zooms((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    "snow": (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
    "frost": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
    "elastic_transform": ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
    "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
    "jpeg_compression": (80, 65, 58, 50, 40),
}

_E = 244 / 224  # the published code multiplies by 244 where its images have 224 px

LARGE = {
    "gaussian_noise": (0.08, 0.12, 0.18, 0.26, 0.38),
    "shot_noise": (60, 25, 12, 5, 3),
    "impulse_noise": (0.03, 0.06, 0.09, 0.17, 0.27),
    "defocus_blur": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    "glass_blur": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    "motion_blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    "zoom_blur": _zooms((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    "snow": (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ),
    "frost": ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    "fog": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
    "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
    "elastic_transform": (
        (2 * _E, 0.7 * _E, 0.1 * _E),
        (2 * _E, 0.08 * _E, 0.2 * _E),
        (0.05 * _E, 0.01 * _E, 0.02 * _E),
        (0.07 * _E, 0.01 * _E, 0.02 * _E),
        (0.12 * _E, 0.01 * _E, 0.02 * _E),
    ),
    "pixelate": (0.6, 0.5, 0.4, 0.3, 0.25),
    "jpeg_compression": (25, 18, 15, 10, 7),
}

NAMES = tuple(SMALL)


@functools.cache
def disk(radius: float, deviation: float) -> np.ndarray:
    """Weights [K, K] of a disk, K odd."""
    reach, window = (8, 1) if radius <= 8 else (radius, 2)
    steps = np.arange(-reach, reach + 1)
    disk = (steps[:, np.newaxis] ** 2 + steps**2 <= radius**2).astype(np.float64)
    softened = ndimage.gaussian_filter(disk / disk.sum(), deviation, mode="mirror", radius=window)
    used = np.flatnonzero(softened.sum(axis=0))
    return softened[used[0] : used[-1] + 1, used[0] : used[-1] + 1]


@functools.cache
def magnifying(side: int, zoom: float) -> tuple[np.ndarray, np.ndarray]:
    """Linear interpolation that magnifies a line's middle, as `scipy.ndimage.zoom` of it, cut to the side.

    Returns:
        For each place of the result the first of the two places, int [side], that it lies between, and the share of
        the second one, float64 [side].
    """
    middle = int(np.ceil(side / zoom))
    magnified = round(middle * zoom)
    places = np.linspace(0, middle - 1, magnified)[(magnified - side) // 2 :][:side] + (side - middle) // 2
    first = np.minimum(places.astype(int), side - 2)
    return first, places - first


@functools.cache
def smoothing(side: int, deviation: float) -> np.ndarray:
    """A Gaussian filter along a line as a matrix [side, side]: it may be much longer than the line."""
    return ndimage.gaussian_filter1d(np.eye(side), deviation, axis=0, mode="reflect", truncate=3)
