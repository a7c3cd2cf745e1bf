"""Pictures of the operations of a recipe: each alone, at both ends of its range. And tiles, thumbnails and words."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from ssl_keras.data.formats.decode import MAXIMUM
from ssl_keras.views import draws
from ssl_keras.views.policy import PROBABILITIES, Policy
from ssl_keras.views.render import make_view

GAP = 4  # pixels between tiles
SMALLEST_TILE, LARGEST_TILE = 96, 192  # pixels, of the operations' tiles
THUMBNAIL, BEHIND = 48, 127  # side of a thumbnail in pixels, gray beside an image that is no square
GAP_COLOR = (150, 30, 50)
LINE = 1.35  # height of a line of words, in sizes of its font


class Operation(NamedTuple):
    """Something that a recipe does to an image.

    name: as the papers call it.
    ends: what one end of its range looks like, and what the other; a single word where it has no range.
    switches: the fields of `Policy` that switch it on.
    shapes: the fields that shape it.
    quantity: the draw that moves it from one end of its range to the other.
    """

    name: str
    ends: tuple[str, ...]
    switches: tuple[str, ...]
    shapes: tuple[str, ...] = ()
    quantity: str | None = None


GEOMETRY = (
    Operation("crop", ("smallest", "largest"), ("crop_area",), ("crop_aspect",), "crop_area"),
    Operation("crop", ("narrowest", "widest"), ("crop_area",), ("crop_aspect",), "crop_aspect"),
    Operation("crop", ("at the top", "at the bottom"), ("crop_padding",), (), "crop_top"),
    Operation("zoom", ("out", "in"), ("zoom",), (), "zoom"),
    Operation("flip", ("",), ("flip",)),
    Operation("rotation", ("to the left", "to the right"), ("quarter_turn",), (), "quarter_turns"),
    Operation("rotation", ("to the left", "to the right"), ("tilt",), (), "tilt"),
)
COLOR = (
    Operation("color jitter", ("darkest", "brightest"), ("jitter", "brightness"), (), "brightness"),
    Operation("color jitter", ("low contrast", "high contrast"), ("jitter", "contrast"), (), "contrast"),
    Operation("color jitter", ("palest", "most vivid"), ("jitter", "saturation"), (), "saturation"),
    Operation("color jitter", ("hue down", "hue up"), ("jitter", "hue"), (), "hue"),
    Operation("grayscale", ("",), ("grayscale",)),
    Operation("contrast", ("lowest", "highest"), ("component_gain",), (), "component_1"),
    Operation("HSV jitter", ("brightest", "darkest"), ("hsv_power",), ("hsv_gain", "hsv_shift"), "value_power"),
)
# What `views.channels` does in the place of it where images are not RGB.
CHANNELS = (
    Operation("jitter", ("darkest", "brightest"), ("jitter", "brightness"), (), "brightness"),
    Operation("jitter", ("low contrast", "high contrast"), ("jitter", "contrast"), (), "contrast"),
    Operation("jitter", ("low gamma", "high gamma"), ("jitter", "saturation"), (), "saturation"),
    Operation("jitter", ("offset",), ("jitter", "hue")),
    Operation("noise", ("",), ("grayscale",)),
)
LAST = (
    Operation("blur", ("least", "most"), ("blur",), ("blur_sigma", "blur_kernel"), "blur_sigma"),
    Operation("gain", ("least", "most"), ("gain",), (), "gain"),
    Operation("shift", ("down", "up"), ("shift",), (), "shift"),
    Operation("gamma", ("low", "high"), ("gamma",), (), "gamma"),
    Operation("bias field", ("bright above", "bright below"), ("bias_field",), (), "bias_1"),
    Operation("channel gains", ("",), ("channel_gain",)),
    Operation("channel drop", ("",), ("channel_drop",)),
    Operation("channel mean", ("",), ("channel_mean",)),
    Operation("solarize", ("",), ("solarize",), ("solarize_threshold",)),
    Operation("Sobel filter", ("",), ("sobel",)),
    Operation("noise", ("least", "most"), ("noise",), ("noise_sigma",), "noise_sigma"),
    Operation("own noise", ("least", "most"), ("own_noise",), (), "own_noise"),
    Operation("cutout", ("smallest", "largest"), ("cutout",), ("cutout_side",), "cutout_side"),
    Operation("holes", ("smallest", "largest"), ("holes",), ("hole_share",), "hole_share"),
    Operation("erosion", ("",), ("erosion",), ("erosion_step",)),
)


def operations(policy: Policy, channels: int) -> list[Operation]:
    """What a policy does to images of that many channels, in the papers' order: blur after color, which is the same."""
    every = (*GEOMETRY, *(COLOR if channels == 3 else CHANNELS), *LAST)
    return [operation for operation in every if all(getattr(policy, field) for field in operation.switches)]


def in_words(policy: Policy, channels: int) -> str:
    """What a policy does, with its probability where it is not always done: "crop and flip, grayscale (20%)"."""
    chances = {
        operation.name: min([getattr(policy, field) for field in operation.switches if field in PROBABILITIES]
                            or [1.0])
        for operation in operations(policy, channels)
    }  # fmt: skip
    if "crop" in chances and chances.get("flip") == 0.5:
        del chances["flip"]
        chances = {"crop and flip" if name == "crop" else name: chance for name, chance in chances.items()}
    return ", ".join(name + (f" ({chance:.0%})" if chance < 1 else "") for name, chance in chances.items())


def op_strip(
    image: np.ndarray, policy: Policy, image_size: int, width: int, font_size: int = 14
) -> np.ndarray:
    """A strip with headings: the image, then every operation of a policy alone, at the two ends of its range.

    As many tiles stand in a row as leaves the fewest places empty, and they fill the width.

    Args:
        image: [H, W, C], uint8 in 0..255, uint16 in 0..65535 or float32 in [0, 1], NaN in gaps.
        policy: a view of a recipe.
        image_size: side in pixels of views whose policy does not state its own.
        width: of the strip in pixels, at least `SMALLEST_TILE`.
        font_size: of the headings, made smaller where they would not fit.

    Returns:
        uint8 [h, width, 3].
    """
    tiles = _each_alone(image, policy.sized(image_size))
    columns = _columns(len(tiles), width)
    rows, side = math.ceil(len(tiles) / columns), min((width + GAP) // columns - GAP, LARGEST_TILE)
    size = fitting([line for lines, _ in tiles for line in lines], side, font_size)
    head = height(2, size)
    picture = Image.new("RGB", (width, rows * (head + side + GAP) - GAP), "white")
    for place, (lines, pixels) in enumerate(tiles):
        left, top = place % columns * (side + GAP), place // columns * (head + side + GAP)
        write(picture, (left, top + height(2 - len(lines), size)), lines, size)
        picture.paste(Image.fromarray(tile(pixels, side)), (left, top + head))
    return np.asarray(picture)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """An image [H, W, C] in [0, 1], or uint8, as uint8 [H, W, 3]; of other than three or more channels the first is
    shown. Pixels that are NaN, in which nothing was measured, are red.
    """
    shown = image[..., :3] if image.shape[-1] >= 3 else np.repeat(image[..., :1], 3, axis=-1)
    if image.dtype == np.uint8:
        return shown
    pixels = (np.nan_to_num(shown).clip(0, 1) * 255).round().astype(np.uint8)
    pixels[np.isnan(shown).any(axis=-1)] = GAP_COLOR
    return pixels


def tile(image: np.ndarray, side: int) -> np.ndarray:
    """One image [S, S, C] in [0, 1] as uint8 [side, side, 3], see `as_rgb`.

    Enlarged without smoothing, so that pixels are seen as they are; where that would make them uneven, with it.
    """
    pixels = as_rgb(image)
    even = side % len(pixels) == 0 or side >= 4 * len(pixels)
    resampling = Image.Resampling.NEAREST if even else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(pixels).resize((side, side), resampling))


def thumbnail(image: np.ndarray, size: np.ndarray, white: float = 1.0) -> np.ndarray:
    """uint8 [THUMBNAIL, THUMBNAIL, 3] of a squashed canvas [S, S, C] in its true proportions, see `as_rgb`.

    Args:
        size: the image's true height and width, px.
        white: the value that is shown as white, see `brightest`; uint8 is shown as it is.
    """
    image = image if image.dtype == np.uint8 else image / np.float32(white)
    height, width = (max(1, round(THUMBNAIL * side / max(size))) for side in size)
    small = np.asarray(Image.fromarray(as_rgb(image)).resize((width, height), Image.Resampling.BICUBIC))
    full = np.full((THUMBNAIL, THUMBNAIL, 3), BEHIND, np.uint8)
    top, left = (THUMBNAIL - height) // 2, (THUMBNAIL - width) // 2
    full[top : top + height, left : left + width] = small
    return full


def sprite(thumbnails: Mapping[int, np.ndarray], columns: int) -> np.ndarray:
    """Thumbnails in one picture, each at the place of its number, in rows of `columns`: uint8 [H, W, 3]."""
    rows = max(thumbnails, default=0) // columns + 1
    sheet = np.full((rows * THUMBNAIL, columns * THUMBNAIL, 3), BEHIND, np.uint8)
    for number, pixels in thumbnails.items():
        top, left = number // columns * THUMBNAIL, number % columns * THUMBNAIL
        sheet[top : top + THUMBNAIL, left : left + THUMBNAIL] = pixels
    return sheet


def brightest(canvases) -> float:
    """The value that is shown as white: the largest of 8-bit images, else what 99.5 % of the pixels stay below."""
    largest = MAXIMUM[canvases.spec.dtype]
    if canvases.spec.dtype == "uint8":
        return largest
    return float(np.nan_to_num(np.nanquantile(canvases.sample(64), 0.995))) * largest or largest


def write(picture: Image.Image, corner: tuple[int, int], lines: Sequence[str], size: int) -> None:
    """Writes lines of words into a picture, the upper left corner of the first at `corner`."""
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size)
    for number, line in enumerate(lines):
        pen.text((corner[0], corner[1] + round(number * LINE * size)), line, fill="black", font=font)


def height(lines: int, size: int) -> int:
    """Pixels that so many lines of words take."""
    return round(lines * LINE * size)


def fitting(lines: Iterable[str], width: int, largest: int) -> int:
    """The largest size of font in which every line is at most `width` pixels long; not below 6."""
    lines = list(lines)
    sizes = range(largest, 6, -1)
    return next((size for size in sizes if all(_length(line, size) <= width for line in lines)), 6)


def wrapped(text: str, width: int, size: int) -> list[str]:
    """Breaks a text between words, into lines of at most `width` pixels where its words allow."""
    lines = []
    for word in text.split(" "):
        if lines and _length(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _length(text: str, size: int) -> float:
    return ImageFont.load_default(size).getlength(text)


def _columns(count: int, width: int) -> int:
    """How many of `count` tiles stand in a row."""
    most = min(count, (width + GAP) // (SMALLEST_TILE + GAP))
    filling = [n for n in range(1, most + 1) if (width + GAP) // n - GAP <= LARGEST_TILE]
    return min(filling or [most], key=lambda n: (-count % n, -n))


def _each_alone(image, policy) -> list[tuple[list[str], np.ndarray]]:
    """(the lines of its heading, float32 [s, s, C]) of the image and of each end of each operation."""
    off = Policy(size=policy.size, crop_area=None, flip=0.0, interpolation=policy.interpolation)
    tiles = [(["image"], _view(image, off, {}))]
    for operation in operations(policy, image.shape[-1]):
        shown = {field: getattr(policy, field) for field in (*operation.switches, *operation.shapes)}
        for word, end in zip(operation.ends, (0.0, 1 - 2.0**-24)):
            ends = {operation.quantity: end} if operation.quantity else {}
            tiles.append(([operation.name, word][: 1 + bool(word)], _view(image, replace(off, **shown), ends)))
    return tiles


def _view(image, policy, ends) -> np.ndarray:
    """One view with every draw in the middle of its range, gates open, and some quantities at given values."""
    policy = replace(policy, **{name: 1.0 for name in PROBABILITIES if getattr(policy, name)})
    key, images = draws.Key(0, tf.constant(0), tf.constant(0), tf.range(1)), tf.convert_to_tensor(image)[None]
    gaps = bool(image.dtype.kind == "f" and np.isnan(image).any())
    draw = {name: tf.constant([ends.get(name, 0.5)], tf.float32) for name in draws.QUANTITIES}
    sizes = tf.constant([image.shape[:2]], tf.float32)
    return make_view(policy, images, sizes, draw, key, gaps=gaps, mark_gaps=True)[0].numpy()


def is_marked(path: str, software: str) -> bool:
    """Whether a file is a picture that names this as the software that wrote it."""
    try:
        with Image.open(path) as picture:
            return picture.info.get("Software") == software
    except (OSError, SyntaxError, ValueError):
        return False
