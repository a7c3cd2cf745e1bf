"""The 15 common corruptions of images in 5 severities (Hendrycks & Dietterich, 2019, arXiv:1903.12261).

Written anew on NumPy, SciPy and Pillow, with the published constants (`corruption_tables`). What differs:

- images have any number of channels and any sides from 8 px;
- pixels stay floats in between, where the published code rounds to 8 bits after some steps;
- elastic_transform's lengths grow with the shorter side; other lengths are pixels, as published;
- frost has a texture that is made here, where the published code pastes photos.
"""

import functools
import io

import numpy as np
from PIL import Image
from scipy import ndimage, signal

from ssl_keras.errors import UserError
from ssl_keras.scores.corruption_tables import LARGE, NAMES, SEVERITIES, SMALL, SMALL_SIDE, disk, magnifying, smoothing

SMALLEST_SIDE = 8  # px
LUMA = (0.299, 0.587, 0.114)  # of red, green, blue (ITU-R BT.601)


def check(name: str, severity: int) -> None:
    """Raises UserError for a corruption or a severity that there is not."""
    if name not in NAMES:
        raise UserError(f"unknown corruption {name!r}: expected one of {', '.join(NAMES)}")
    if severity not in SEVERITIES:
        raise UserError(f"severity {severity}: expected one of {', '.join(map(str, SEVERITIES))}")


def generator(seed: int, image: int, name: str, severity: int) -> np.random.Generator:
    """The random numbers of one corruption of one image: always the same for the same four arguments."""
    return np.random.default_rng([seed, image, NAMES.index(name), severity])


def corrupt(image: np.ndarray, name: str, severity: int, rng: np.random.Generator) -> np.ndarray:
    """A corrupted copy of an image.

    Args:
        image: float [H, W, C] in [0, 1]; H and W at least 8, any C.
        name: of `corruption_tables.NAMES`.
        severity: 1 to 5.
        rng: where random numbers come from, see `generator`.

    Returns:
        float32 [H, W, C] in [0, 1].

    Raises:
        UserError: an unknown corruption or severity, or an image of another shape.
    """
    check(name, severity)
    if np.ndim(image) != 3 or min(image.shape[:2]) < SMALLEST_SIDE:
        raise UserError(f"an image of shape {np.shape(image)}: expected [H, W, C], H and W at least {SMALLEST_SIDE}")
    table = SMALL if max(image.shape[:2]) <= SMALL_SIDE else LARGE
    corrupted = globals()[f"_{name}"](np.asarray(image, np.float64), table[name][severity - 1], rng)
    return np.clip(corrupted, 0, 1).astype(np.float32)


# Noise


def _gaussian_noise(x, deviation, rng):
    return x + rng.normal(scale=deviation, size=x.shape)


def _shot_noise(x, photons, rng):
    """Poisson noise; `photons` is the mean number of white."""
    return rng.poisson(x * photons) / photons


def _impulse_noise(x, share, rng):
    """A share of all values, in each channel on its own, becomes 0 or 1."""
    hit, salt = rng.random(x.shape) < share, rng.random(x.shape) < 0.5
    return np.where(hit, salt, x)


# Blur


def _defocus_blur(x, radius_deviation, rng):
    """A mean over a disk, whose edge is softened by a small Gaussian."""
    kernel = disk(*radius_deviation)
    rows, columns = (side // 2 for side in kernel.shape)
    padded = np.pad(x, ((rows, rows), (columns, columns), (0, 0)), mode="reflect")
    return signal.oaconvolve(padded, kernel[..., np.newaxis], mode="valid", axes=(0, 1))


def _glass_blur(x, deviation_reach_rounds, rng):
    """A Gaussian before and after pixels change their places, from the last pixel to the first.

    The published code means to swap two pixels, but as NumPy assigns, the pixel becomes a copy of its neighbor, which
    stays: so are the images of CIFAR-10-C and ImageNet-C, and so are these.
    """
    deviation, reach, rounds = deviation_reach_rounds
    height, width, channels = x.shape
    blurred = ndimage.gaussian_filter(x, (deviation, deviation, 0), mode="nearest")
    pixels = blurred.reshape(-1, channels)
    for _ in range(rounds):
        pixels = pixels[_moved(height, width, reach, rng)]
    return ndimage.gaussian_filter(pixels.reshape(x.shape), (deviation, deviation, 0), mode="nearest")


def _moved(height: int, width: int, reach: int, rng: np.random.Generator) -> np.ndarray:
    """The pixel whose value each pixel takes, int [H * W], when one after the other, from the last to the first, takes
    a neighbor's value of that time. Pixels closer than `reach` to the edge keep theirs."""
    places = np.arange(height * width).reshape(height, width)
    rows, columns = np.mgrid[reach + 1 : height - reach + 1, reach + 1 : width - reach + 1]
    taken = places.copy()
    steps = rng.integers(-reach, reach, (2, *rows.shape))
    taken[rows, columns] = places[rows + steps[0], columns + steps[1]]
    moves = np.zeros((height, width), bool)
    moves[rows, columns] = True
    taken, moves, places = taken.ravel(), moves.ravel(), places.ravel()
    # A neighbor behind the pixel has taken its value before, so that one is passed on. Chains are followed by doubling.
    passed_on = (taken > places) & moves[taken]
    origin = np.where(passed_on, taken, places)  # the end of a chain is its own origin
    while not np.array_equal(origin, following := origin[origin]):
        origin = following
    return taken[origin]


def _motion_blur(x, radius_deviation, rng):
    return _streaked(x, *radius_deviation, angle=rng.uniform(-45, 45))


def _streaked(x: np.ndarray, radius: float, deviation: float, angle: float) -> np.ndarray:
    """Half a Gaussian along a line, as ImageMagick's motion blur: 2 radius + 1 whole steps from the pixel.

    Args:
        x: [H, W, C].
        radius, deviation: px.
        angle: degrees, from right to down.
    """
    steps = np.arange(2 * int(np.ceil(radius)) + 1)
    weights = np.exp(-(steps**2) / (2 * deviation**2))
    weights /= weights.sum()
    radians = np.deg2rad(angle)
    right, down = (np.ceil(steps * part - 0.5).astype(int) for part in (np.cos(radians), np.sin(radians)))
    (before, after), (left, beyond) = ((-min(0, line.min()), max(0, line.max())) for line in (down, right))
    padded = np.pad(x, ((before, after), (left, beyond), (0, 0)), mode="edge")
    height, width = x.shape[:2]
    out = np.zeros_like(x)
    for weight, i, j in zip(weights, down + before, right + left):
        out += weight * padded[i : i + height, j : j + width]
    return out


def _zoom_blur(x, zooms, rng):
    """The mean of the image and of ever larger ones."""
    return (x + sum(_zoomed(x, zoom) for zoom in zooms)) / (len(zooms) + 1)


def _zoomed(x: np.ndarray, zoom: float) -> np.ndarray:
    """The middle of an image [H, W, C], magnified to its size."""
    for axis in (0, 1):
        first, share = magnifying(x.shape[axis], zoom)
        share = share[:, np.newaxis, np.newaxis] if axis == 0 else share[:, np.newaxis]
        x = x.take(first, axis) * (1 - share) + x.take(first + 1, axis) * share
    return x


# Weather


def _snow(x, constants, rng):
    """Flakes that fall in streaks, from both sides, over an image that is paler.

    Constants: mean and deviation of the noise that flakes are made of, its magnification, the value below which there
    is no flake, radius and deviation of the streaks in px, and how much of the image's color stays.
    """
    mean, deviation, zoom, threshold, radius, spread, kept = constants
    flakes = _zoomed(rng.normal(mean, deviation, (*x.shape[:2], 1)), zoom)
    flakes = np.clip(np.where(flakes < threshold, 0, flakes), 0, 1)
    flakes = _streaked(flakes, radius, spread, rng.uniform(-135, -45))
    pale = np.maximum(x, 1.5 * _gray(x) + 0.5)
    return kept * x + (1 - kept) * pale + flakes + flakes[::-1, ::-1]


def _gray(x: np.ndarray) -> np.ndarray:
    """[H, W, 1]: luma of three channels, else the mean of all."""
    weights = LUMA if x.shape[2] == 3 else np.full(x.shape[2], 1 / x.shape[2])
    return (x @ np.asarray(weights))[..., np.newaxis]


def _frost(x, shares, rng):
    """The image's share, and a share of ice.

    The published code pastes photos of frosted glass. Here the ice is made: a cloudy film, the same in all channels,
    with bright needles in three directions, 60 degrees apart, as crystals grow. Numbers for frost compare among
    encoders that are scored here, less with published ones.
    """
    image, ice = shares
    film = _cloud(x.shape[:2], 2.0, rng)
    turn = rng.uniform(0, 60)
    needles = 0.0
    for angle in (turn, turn + 60, turn + 120):
        seeds = (rng.random((*x.shape[:2], 1)) < 0.02) * rng.random((*x.shape[:2], 1))
        needles = np.maximum(needles, _streaked(seeds, 6, 4, angle))
    needles = needles / max(float(needles.max()), 1e-12)  # no seed, no needle
    return image * x + ice * np.clip(0.7 * film + 0.6 * needles, 0, 1)


def _fog(x, strength_decay, rng):
    """A cloud is added, and the whole brought back below the image's highest value."""
    strength, decay = strength_decay
    highest = x.max()
    return (x + strength * _cloud(x.shape[:2], decay, rng)) * highest / (highest + strength)


def _cloud(shape: tuple[int, int], decay: float, rng: np.random.Generator) -> np.ndarray:
    """A landscape of random heights by diamonds and squares, [H, W, 1] in [0, 1]; a small decay makes it rough."""
    side = 1 << (max(shape) - 1).bit_length()
    heights = np.zeros((side, side))
    step, roughness = side, 100.0
    while step >= 2:
        half = step // 2
        # The published code's range is the roughness squared: its constants are made for that.
        mean = functools.partial(_rough_mean, reach=roughness**2, rng=rng)
        corners = heights[::step, ::step]
        right, below = np.roll(corners, -1, axis=1), np.roll(corners, -1, axis=0)
        centers = mean(corners + right + below + np.roll(below, -1, axis=1))
        heights[half::step, half::step] = centers
        heights[::step, half::step] = mean(corners + right + centers + np.roll(centers, 1, axis=0))
        heights[half::step, ::step] = mean(corners + below + centers + np.roll(centers, 1, axis=1))
        step, roughness = half, roughness / decay
    heights -= heights.min()
    return (heights / heights.max())[: shape[0], : shape[1], np.newaxis]


def _rough_mean(total: np.ndarray, reach: float, rng: np.random.Generator) -> np.ndarray:
    """The mean of four neighbors, of which the total is given, and a random number."""
    return total / 4 + rng.uniform(-reach, reach, total.shape)


# Digital


def _brightness(x, added, rng):
    """The value of HSV, the largest channel, grows; hue and saturation stay.

    So all channels are multiplied by the same number, which is how this goes on to any number of channels. Black
    becomes gray.
    """
    value = x.max(axis=2, keepdims=True)
    brighter = np.minimum(value + added, 1)
    return np.where(value > 0, x * brighter / np.where(value > 0, value, 1), brighter)


def _contrast(x, share, rng):
    means = x.mean(axis=(0, 1), keepdims=True)
    return (x - means) * share + means


def _elastic_transform(x, amount_deviation_jitter, rng):
    """A random affine map, then displacements of a smooth random field; all lengths are shares of the shorter side."""
    height, width = x.shape[:2]
    amount, deviation, jitter = (min(height, width) * share for share in amount_deviation_jitter)
    center, reach = np.array([height // 2, width // 2]), min(height, width) // 3
    corners = center + reach * np.array([[1, 1], [-1, 1], [-1, -1]])
    moved = corners + rng.uniform(-jitter, jitter, corners.shape)
    # The inverse map, from places in the result to places in the image: [3, 2], the last row is the offset.
    back = np.linalg.solve(np.column_stack([moved, np.ones(3)]), corners)
    places = np.indices((height, width)).astype(np.float64)
    x = _sampled(x, np.einsum("khw,kl->lhw", places, back[:2]) + back[2][:, np.newaxis, np.newaxis], "mirror")
    if not amount:
        return x
    down, right = smoothing(height, deviation), smoothing(width, deviation)
    fields = [down @ rng.uniform(-1, 1, (height, width)) @ right.T for _ in places]
    return _sampled(x, places + amount * np.stack(fields), "reflect")


def _sampled(x: np.ndarray, places: np.ndarray, mode: str) -> np.ndarray:
    """The values [H, W, C] of an image at places [2, H, W], linearly interpolated."""
    channels = np.moveaxis(x, 2, 0)
    return np.stack([ndimage.map_coordinates(channel, places, order=1, mode=mode) for channel in channels], axis=2)


def _pixelate(x, share, rng):
    """Smaller by box means, and as large as before by boxes."""
    height, width, channels = x.shape
    small = int(width * share), int(height * share)
    parts = [Image.fromarray(x[..., channel].astype(np.float32)) for channel in range(channels)]
    parts = [part.resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BOX) for part in parts]
    return np.stack([np.asarray(part) for part in parts], axis=2)


def _jpeg_compression(x, quality, rng):
    """Three channels as one color image, any other number each as a gray one."""
    pixels = np.rint(255 * x).astype(np.uint8)
    parts = [pixels] if x.shape[2] == 3 else [pixels[..., channel] for channel in range(x.shape[2])]
    found = []
    for part in parts:
        file = io.BytesIO()
        Image.fromarray(part).save(file, "JPEG", quality=quality)
        found.append(np.asarray(Image.open(file)))
    return (found[0] if x.shape[2] == 3 else np.stack(found, axis=2)) / 255
