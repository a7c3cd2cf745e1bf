"""The two cameras of the built-in scenes: color and time-of-flight depth.

A camera is given the silhouettes of a scene's objects as signed distances, nearest first, and the random stream
that dresses them. It samples every pixel on a grid of 2 × 2 and averages, so outlines and textures are antialiased.
"""

import functools

import numpy as np

DEPTH_UNIT = 1e-4  # meters per count of a depth image: 16 bits reach 6.55 m; 0 means no return

_SUPERSAMPLING = 2  # samples per pixel along each axis
_TEXTURES = ("shading", "stripes", "checks", "rings", "noise")


# Sampling: S pixels are P = 2 S samples along each axis, at positions that are fractions of the image's side


@functools.lru_cache(maxsize=8)
def sample_grid(size):
    """Sample positions x [1, P] and y [P, 1], float32 in (0, 1)."""
    samples = (np.arange(size * _SUPERSAMPLING, dtype=np.float32) + 0.5) / (size * _SUPERSAMPLING)
    return samples[None, :], samples[:, None]


def coverage(distance, softness=None):
    """How far inside an outline each sample lies: 1 inside, 0 outside, linear across an edge of width `softness`.

    Args:
        distance: float32 [..., P, P], signed distance as a fraction of the image's side.
        softness: as a fraction of the side; the width of one sample by default.
    """
    return np.clip(0.5 - distance * np.float32(1 / softness if softness else distance.shape[-1]), 0, 1)


def pixel_mean(samples):
    """Mean over the samples of each pixel: [..., P, P] -> [..., S, S]."""
    k = _SUPERSAMPLING
    return sum(samples[..., i::k, j::k] for i in range(k) for j in range(k)) * np.float32(1 / k**2)


def _image_size(distances):
    return len(distances[0]) // _SUPERSAMPLING


@functools.lru_cache(maxsize=64)
def _interpolation(size, knots):
    """Weights [P, knots] of linear interpolation at the sample positions between equidistant knots."""
    position = sample_grid(size)[1] * (knots - 1)
    return np.maximum(0, 1 - np.abs(position - np.arange(knots, dtype=np.float32)))


def _smooth_noise(rng, size, knots):
    """Uniform [0, 1) values on a lattice of knots, interpolated: [P, P], the same field at every size."""
    weights = _interpolation(size, knots)
    return weights @ rng.random((knots, knots), np.float32) @ weights.T


def _slope(rng, least, most, x, y):
    """A plane through 0 at the image's center, rising by `least` to `most` across the image in a random direction."""
    angle, rise = rng.uniform(0, 2 * np.pi), rng.uniform(least, most)
    return np.float32(rise * np.cos(angle)) * (x - 0.5) + np.float32(rise * np.sin(angle)) * (y - 0.5)


def _smear(rng, x, y):
    """Signed distance to a stroke or blob: what surrounds a segment, always longer than wide, so never a disk."""
    x, y = x - np.float32(rng.random()), y - np.float32(rng.random())
    angle, width = rng.uniform(0, np.pi), rng.uniform(0.01, 0.09)
    half_length = np.float32(width * rng.uniform(1, 2) + rng.uniform(0.05, 0.4))
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along = c * x + s * y
    return np.hypot(along - np.clip(along, -half_length, half_length), c * y - s * x) - np.float32(width)


def _cover(canvas, material, opacity):
    canvas += (material - canvas) * opacity


# Color


def photograph(distances, rng, noise_rng):
    """Picture of textured objects before a cluttered background: uint8 [S, S, 3].

    Args:
        distances: list of float32 [P, P], signed distances to the objects' outlines, nearest object first.
        rng: np.random.Generator of colors, textures, clutter and light.
        noise_rng: np.random.Generator of the sensor's noise, 0.5 to 3 % of the range.
    """
    size = _image_size(distances)
    x, y = sample_grid(size)
    lightness = rng.random()
    canvas = _material(rng, size, lightness)
    for _ in range(rng.integers(1, 5)):
        clutter = _color(rng, np.clip(lightness + rng.uniform(-0.2, 0.2), 0, 1))
        _cover(canvas, clutter, coverage(_smear(rng, x, y), rng.uniform(0.01, 0.08)))
    for distance in reversed(distances):
        # A third to two thirds round the scale of lightness: an object differs from its background, either way.
        material = _material(rng, size, (lightness + rng.uniform(0.33, 0.67)) % 1)
        _cover(canvas, material, coverage(distance))
    light = rng.uniform(0.75, 1.15) * (1 + _slope(rng, 0, 0.4, x, y))
    pixels = pixel_mean(canvas * light)
    pixels += np.float32(noise_rng.uniform(0.005, 0.03)) * noise_rng.standard_normal(pixels.shape, np.float32)
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)


def _material(rng, size, lightness):
    """Two colors of about this lightness in [0, 1], mixed by a texture: float32 [3, P, P]."""
    first = _color(rng, lightness)
    second = _color(rng, np.clip(lightness + rng.uniform(-0.12, 0.12), 0, 1))
    return first + (second - first) * _texture(rng, size)


def _color(rng, lightness):
    """A muted color of this lightness and a random hue: float32 [3, 1, 1] in [0, 1].

    Muted, because in vivid scenes a contrastive method tells images apart by their palettes and learns no shapes.
    """
    hue = rng.uniform(0, 2 * np.pi) + np.array([0, 2, 4]) * np.pi / 3
    color = 0.12 + 0.76 * lightness + rng.uniform(0, 0.12) * np.cos(hue)
    return np.clip(color, 0, 1).astype(np.float32)[:, None, None]


def _texture(rng, size):
    """A pattern of a random kind, direction and frequency: float32 [P, P] in [0, 1]."""
    x, y = sample_grid(size)
    kind = _TEXTURES[rng.integers(len(_TEXTURES))]
    if kind == "shading":
        return np.clip(0.5 + _slope(rng, 0.3, 1.4, x, y), 0, 1)
    if kind == "noise":
        return _smooth_noise(rng, size, int(rng.integers(5, 13)))
    angle, frequency = rng.uniform(0, 2 * np.pi), rng.uniform(2.5, 6) * 2 * np.pi
    x = np.float32(frequency) * (x - np.float32(rng.random()))
    y = np.float32(frequency) * (y - np.float32(rng.random()))
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    if kind == "rings":
        wave = np.sin(np.hypot(x, y))
    elif kind == "stripes":
        wave = np.sin(c * x + s * y)
    else:
        wave = np.sin(c * x + s * y) * np.sin(c * y - s * x)
    return np.clip(0.5 + np.float32(rng.uniform(0.5, 2)) * wave, 0, 1)


# Depth


def surfaces(distances, rng):
    """Distances in meters to each object's surface and, last, to the background's: list of float32 [P, P].

    The background is a tilted, bumpy wall about 1.2 to 5 m away with a few low ridges. An object stands before it by
    a seventh to a third of its distance, leans, is rounded towards its outline, and stays at least 4 % of that
    distance before everything that it hides.

    Args:
        distances: list of float32 [P, P], signed distances to the objects' outlines, nearest object first.
        rng: np.random.Generator of distances, tilts and relief.
    """
    size = _image_size(distances)
    x, y = sample_grid(size)
    wall = np.float32(rng.uniform(1.2, 5.0))
    background = wall * (1 + _slope(rng, 0, 0.35, x, y) + np.float32(0.1) * (_smooth_noise(rng, size, 5) - 1))
    for _ in range(rng.integers(2, 5)):
        ridge = coverage(_smear(rng, x, y), rng.uniform(0.03, 0.1))
        background -= wall * np.float32(rng.uniform(0.01, 0.06)) * ridge
    found, behind = [background], background
    for distance in reversed(distances):
        standoff, relief = np.float32(rng.uniform(0.15, 0.32)), np.float32(rng.uniform(0, 1))
        surface = wall * (1 - standoff + _slope(rng, 0, 0.2, x, y) - relief * np.clip(-distance, 0, 0.1))
        surface = np.minimum(surface, behind - np.float32(0.04) * wall)
        behind = np.where(distance < 0, surface, behind)
        found.insert(0, surface)
    return found


def time_of_flight(distances, depths, rng):
    """What a time-of-flight camera reports of these surfaces: uint16 [S, S, 1] in `DEPTH_UNIT`, 0 for no return.

    A pixel across an outline returns a mixture of both depths (a flying pixel). Noise has a standard deviation of
    2 mm + 1 mm/m² · depth², as the returned light fades. A pixel without return is rare close by, likelier far away
    (0.2 % + 0.15 %/m² · depth²), and frequent on outlines (up to 30 % more).

    Args:
        distances: list of float32 [P, P], signed distances to the objects' outlines, nearest object first.
        depths: their surfaces' and the background's distances in meters, as `surfaces` returns them.
        rng: np.random.Generator of noise and lost pixels.
    """
    mixture, outline = depths[-1].copy(), np.float32(0)
    for distance, depth in zip(reversed(distances), reversed(depths[:-1])):
        opacity = coverage(distance)
        _cover(mixture, depth, opacity)
        share = pixel_mean(opacity)
        outline = np.maximum(outline, 4 * share * (1 - share))
    metres = pixel_mean(mixture)
    spread = np.float32(2e-3) + np.float32(1e-3) * metres**2
    no_return = np.float32(2e-3) + np.float32(1.5e-3) * metres**2 + np.float32(0.3) * outline
    counts = (metres + spread * rng.standard_normal(metres.shape, np.float32)) / np.float32(DEPTH_UNIT)
    counts = np.clip(np.rint(counts), 1, 65535)
    counts[rng.random(metres.shape, np.float32) < no_return] = 0
    return counts.astype(np.uint16)[..., None]
