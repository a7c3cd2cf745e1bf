"""Pictures of what training sees: originals on the left, their views on the right."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ssl_keras import figures, files, methods
from ssl_keras.build.data import open_training_source, resolve
from ssl_keras.build.method import random_views
from ssl_keras.config import Config
from ssl_keras.data import splits
from ssl_keras.data.canvases.memory import load_canvases
from ssl_keras.data.formats.decode import MAXIMUM
from ssl_keras.errors import UserError
from ssl_keras.figures import GAP
from ssl_keras.views.policy import Policy

SOFTWARE = "ssl_keras preview_views"  # in the PNG, by which a later one knows it
PREVIEWED = 256  # images that are decoded to choose from for a picture of views


def preview_views(config: Config, output: str, images: int, draws: int) -> None:
    """Writes a PNG of some images of the data and of their views by the recipe of the settings."""
    check_output(output)
    method_class = methods.load(config.method)
    source = open_training_source(config, method_class)
    config, spec = resolve(config, source, method_class)
    views = random_views(config)
    canvases = load_canvases(splits.take(source, min(len(source), PREVIEWED)), spec, max_bad_fraction=1.0)
    save_views_png(output, views, canvases, images, draws)


def check_output(path: str) -> None:
    """Raises UserError where a picture cannot be written to a path: no .png, or something there that is no preview."""
    if not path.endswith(".png"):
        raise UserError(f"--output must end in .png, got {path!r}")
    files.refuse_foreign(path, is_preview)


def is_preview(path: str) -> bool:
    """Whether a file is a picture that `save_views_png` wrote."""
    return figures.is_marked(path, SOFTWARE)


def views_grid(
    make_views, canvases, images: int = 8, draws: int = 3, batch_size: int | None = None
) -> Callable[[], np.ndarray]:
    """A grid with a row for each of some images spread over the data: the image, then `draws` draws of all its views.

    The views are traced at once. They are compiled and made when the function that is returned is called, which any
    thread may do.

    All are shown at one size; small crops, see `columns`, at half of it, one above the other.

    Args:
        make_views: `views.layer.RandomViews`.
        canvases: `data.canvases`.
        batch_size: that of the training on a device, whose compiled views then make these too; None: `images`.

    Returns:
        () -> uint8 [H, W, 3].
    """
    images = min(images, batch_size or images)
    originals = canvases.sample(images)
    batch = np.resize(_as_stored(originals, canvases.spec.dtype), [batch_size or images, *originals.shape[1:]])
    sizes = np.resize(_sizes(canvases, images), [len(batch), 2])
    # Called from a graph, as in training: XLA compiles what is called from Python once more.
    make = tf.function(lambda step: make_views(batch, sizes, step=step), autograph=False)
    make = make.get_concrete_function(tf.TensorSpec([], tf.int64))

    def drawn() -> np.ndarray:
        shown = [[originals]]
        for step in range(draws):
            made = [view.numpy() for view in make(tf.constant(step, tf.int64))]
            shown += [[made[number] for number in numbers] for numbers in columns(make_views.views)]
        side = _tile_side(make_views.views)
        rows = [
            _joined([_stacked([images[row] for images in column], side) for column in shown], axis=1)
            for row in range(len(originals))
        ]
        return _joined(rows, axis=0)

    return drawn


def columns(views: Sequence[Policy]) -> list[tuple[int, ...]]:
    """The numbers of the views that stand above each other: two small crops, of at most half the largest view's side.

    Args:
        views: policies with their sizes settled.
    """
    largest = max(policy.size for policy in views)
    found, half_full = [], False
    for number, policy in enumerate(views):
        small = 2 * policy.size <= largest
        if small and half_full:
            found[-1] = (*found[-1], number)
        else:
            found.append((number,))
        half_full = small and not half_full
    return found


def save_views_png(path: str, make_views, canvases, images: int, draws: int) -> None:
    """Writes `views_grid` with headings, and under it each operation of the recipe alone, as a PNG, whole or not."""
    views, first = make_views.views, canvases.sample(images)[0]
    grid, size = views_grid(make_views, canvases, images, draws)(), font_size(views, draws)
    width, channels = grid.shape[1], first.shape[-1]
    parts = [_headings(views, draws, size), grid]
    for policy in dict.fromkeys(views):
        text = f"{_which(views, policy)}: {figures.in_words(policy, channels) or 'the whole image'}"
        if make_views.gaps or policy.holes or policy.erosion:
            text += "; red: not measured"
        parts.append(_written(text, width, size))
        if figures.operations(policy, channels):
            parts.append(figures.op_strip(first, policy, make_views.image_size, width, size))
    marked = PngInfo()
    marked.add_text("Software", SOFTWARE)
    with files.replacing(path, is_preview) as beside:
        Image.fromarray(_joined(parts, axis=0)).save(beside, format="PNG", pnginfo=marked)


def headings(views: Sequence[Policy], draws: int) -> list[tuple[str, str]]:
    """What stands above each column of `views_grid`, in two lines."""
    lines = [("", "image")]
    for draw in range(draws):
        for numbers in columns(views):
            above = f"draw {draw + 1}" if draws > 1 and 0 in numbers else ""
            names = f"view {numbers[0] + 1}" if len(numbers) == 1 else ", ".join(str(n + 1) for n in numbers)
            lines.append((above, names) if len(views) > 1 else ("", above or names))
    return lines


def widths(views: Sequence[Policy], draws: int) -> list[int]:
    """Of the columns of `views_grid`, in pixels."""
    side = _tile_side(views)
    return [side] + [_width(len(numbers), side) for numbers in columns(views)] * draws


def font_size(views: Sequence[Policy], draws: int) -> int:
    """Of all words of a picture: larger where its tiles are, and such that every heading fits its column."""
    largest = max(14, _tile_side(views) // 10)
    columns_of_words = zip(headings(views, draws), widths(views, draws))
    return min(figures.fitting(lines, width, largest) for lines, width in columns_of_words)


def _headings(views, draws, size) -> np.ndarray:
    lines, wide = headings(views, draws), widths(views, draws)
    unused = 0 if any(above for above, _ in lines) else 1
    picture = Image.new("RGB", (sum(wide) + GAP * (len(wide) - 1), figures.height(2 - unused, size)), "white")
    for number, words in enumerate(lines):
        figures.write(picture, (sum(wide[:number]) + GAP * number, 0), words[unused:], size)
    return np.asarray(picture)


def _which(views, policy) -> str:
    """The views that a policy makes, and their size, in words."""
    numbers = [number + 1 for number, other in enumerate(views) if other == policy]
    if len(numbers) == 1:
        named = f"view {numbers[0]}"
    elif len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        named = f"views {numbers[0]} to {numbers[-1]}"
    else:
        named = f"views {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
    return f"{named} ({policy.size} px)"


def _written(text, width, size) -> np.ndarray:
    lines = figures.wrapped(text, width, size)
    picture = Image.new("RGB", (width, 2 * GAP + figures.height(len(lines), size)), "white")
    figures.write(picture, (0, 2 * GAP), lines, size)
    return np.asarray(picture)


def _as_stored(images: np.ndarray, dtype: str) -> np.ndarray:
    return images if dtype == "float32" else np.rint(np.nan_to_num(images) * MAXIMUM[dtype]).astype(dtype)


def _sizes(canvases, images: int) -> np.ndarray:
    sizes = getattr(canvases, "sizes", None)
    if sizes is None:
        return np.full([1, 2], canvases.spec.size, np.float32)
    return sizes[np.linspace(0, len(sizes) - 1, min(images, len(sizes))).astype(np.int64)]


def _tile_side(views) -> int:
    """Side of a tile in pixels: the largest view's, enlarged by a whole factor where it is small; even."""
    largest = max(policy.size for policy in views)
    side = largest * math.ceil(figures.SMALLEST_TILE / largest)
    return side + side % 2


def _width(above_each_other: int, side: int) -> int:
    """Of a column with so many views, in pixels."""
    return (side - (above_each_other - 1) * GAP) // above_each_other


def _stacked(images: list[np.ndarray], side: int) -> np.ndarray:
    """Images above each other, together `side` pixels high."""
    return _joined([figures.tile(image, _width(len(images), side)) for image in images], axis=0)


def _joined(parts: list[np.ndarray], axis: int) -> np.ndarray:
    shape = list(parts[0].shape)
    shape[axis] = GAP
    white = np.full(shape, 255, np.uint8)
    return np.concatenate([piece for part in parts for piece in (part, white)][:-1], axis=axis)
