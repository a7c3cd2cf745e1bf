"""Pictures of what training sees: originals on the left, their views on the right."""

import numpy as np
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from ssl_keras import figures, files, methods
from ssl_keras.build.data import open_training_source, resolve
from ssl_keras.build.method import random_views
from ssl_keras.config import Config
from ssl_keras.data import splits
from ssl_keras.data.canvases.memory import load_canvases
from ssl_keras.errors import UserError

SMALLEST_TILE = 96  # pixels; smaller images are enlarged by whole factors, without smoothing
GAP, HEADER = 4, 18
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
    try:
        with Image.open(path) as picture:
            return picture.info.get("Software") == SOFTWARE
    except (OSError, SyntaxError, ValueError):
        return False


def views_grid(make_views, canvases, images: int = 8, draws: int = 3) -> np.ndarray:
    """A grid with a row for each of some images spread over the data: the image, then `draws` draws of all its views.

    Args:
        make_views: `views.layer.RandomViews`.
        canvases: `data.canvases`.

    Returns:
        uint8 [H, W, 3].
    """
    originals = canvases.sample(images)
    columns = [originals]
    for step in range(draws):
        columns += [view.numpy() for view in make_views(originals, _sizes(canvases, images), step=step)]
    tile = max(SMALLEST_TILE, *(column.shape[1] for column in columns))
    columns = [np.stack([_tile(image, tile) for image in column]) for column in columns]
    rows = [_joined([column[row] for column in columns], axis=1) for row in range(len(originals))]
    return _joined(rows, axis=0)


def save_views_png(path: str, make_views, canvases, images: int, draws: int) -> None:
    """Writes `views_grid` with headings, and under it each operation of the recipe alone, as a PNG, whole or not."""
    grid = views_grid(make_views, canvases, images, draws)
    first = canvases.sample(images)[0]
    strips = [figures.op_strip(first, policy, make_views.image_size) for policy in dict.fromkeys(make_views.views)]
    parts = [grid, *strips]
    size = (max(part.shape[1] for part in parts), HEADER + sum(len(part) + GAP for part in parts))
    picture, top = Image.new("RGB", size, "white"), HEADER
    for part in parts:
        picture.paste(Image.fromarray(part), (0, top))
        top += len(part) + GAP
    pen, views = ImageDraw.Draw(picture), len(make_views.views)
    width = (grid.shape[1] + GAP) // (1 + draws * views)
    for column in range(1 + draws * views):
        text = "image" if column == 0 else f"view {(column - 1) % views + 1}"
        pen.text((column * width + 2, 3), text, fill="black")
    marked = PngInfo()
    marked.add_text("Software", SOFTWARE)
    with files.replacing(path, is_preview) as beside:
        picture.save(beside, format="PNG", pnginfo=marked)


def _sizes(canvases, images: int) -> np.ndarray | None:
    sizes = getattr(canvases, "sizes", None)
    return None if sizes is None else sizes[np.linspace(0, len(sizes) - 1, min(images, len(sizes))).astype(np.int64)]


def _tile(image: np.ndarray, side: int) -> np.ndarray:
    """One image [S, S, C] in [0, 1] as uint8 [side, side, 3], centered on white; channels beyond three are left out."""
    pixels = (np.clip(image, 0, 1) * 255).round().astype(np.uint8)
    pixels = pixels[..., :3] if pixels.shape[-1] >= 3 else np.repeat(pixels[..., :1], 3, axis=-1)
    factor = max(1, side // len(pixels))
    pixels = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    tile = np.full((side, side, 3), 255, np.uint8)
    start = (side - len(pixels)) // 2
    tile[start : start + len(pixels), start : start + len(pixels)] = pixels
    return tile


def _joined(parts: list[np.ndarray], axis: int) -> np.ndarray:
    shape = list(parts[0].shape)
    shape[axis] = GAP
    white = np.full(shape, 255, np.uint8)
    return np.concatenate([piece for part in parts for piece in (part, white)][:-1], axis=axis)
