"""A contact sheet: some images in all that their type holds, and each beside it in the range that is used."""

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ssl_keras import figures, files
from ssl_keras.inspection.values import WIDTHS

SOFTWARE = "ssl_keras inspect_data"  # in the PNG, by which a later one knows it
IMAGES, COLUMNS, SIDE, FONT = 24, 4, 128, 13
LOST = (200, 0, 140)  # color of what was not measured


def is_sheet(path: str) -> bool:
    """Whether a file is a contact sheet that this program wrote."""
    return figures.is_marked(path, SOFTWARE)


def draw(images: list[np.ndarray], values: dict) -> Image.Image:
    """Pairs of pictures in rows, with two lines of words above.

    Args:
        images: [H, W, C], raw.
        values: see `values.values`.
    """
    raw, used = _raw_range(images, values), _used_range(values)
    pairs = [figures_of(image, raw, used, values["invalid"]) for image in images]
    wide = 2 * SIDE + figures.GAP
    columns = max(1, min(COLUMNS, len(pairs)))
    width = columns * (wide + 4 * figures.GAP)
    text = f"left: {raw[0]:g} to {raw[1]:g}. right: {_in_words(used)}; not measured is magenta"
    lines = figures.wrapped(text, width, FONT)
    top = figures.height(len(lines), FONT) + 2 * figures.GAP
    rows = -(-len(pairs) // columns)
    sheet = Image.new("RGB", (width, top + rows * (SIDE + 3 * figures.GAP)), "white")
    figures.write(sheet, (figures.GAP, figures.GAP // 2), lines, FONT)
    for number, (left, right) in enumerate(pairs):
        x = number % columns * (wide + 4 * figures.GAP) + figures.GAP
        y = top + number // columns * (SIDE + 3 * figures.GAP)
        sheet.paste(left, (x, y))
        sheet.paste(right, (x + SIDE + figures.GAP, y))
    return sheet


def save(path: str, sheet: Image.Image) -> None:
    """Writes a sheet as PNG, whole or not at all."""
    marked = PngInfo()
    marked.add_text("Software", SOFTWARE)
    with files.replacing(path, is_sheet) as beside:
        sheet.save(beside, format="PNG", pnginfo=marked)


def figures_of(image: np.ndarray, raw: tuple[float, float], used: np.ndarray, invalid: str) -> tuple:
    """(raw, normalized) pictures of an image, SIDE x SIDE, in its own proportions."""
    shown = [0, 1, 2] if image.shape[2] >= 3 else [0]
    pixels = image[..., shown].astype(np.float32)
    lost = ~np.isfinite(pixels).all(-1)
    if invalid != "none":
        lost |= (pixels == float(invalid)).all(-1)
    pixels = np.where(np.isfinite(pixels), pixels, raw[0])
    low, high = used[shown, 0], used[shown, 1]
    spread = np.clip((pixels - low) / (high - low), 0, 1)
    left, right = (figures.as_rgb(part) for part in (np.clip((pixels - raw[0]) / (raw[1] - raw[0]), 0, 1), spread))
    right = np.where(lost[..., np.newaxis], np.array(LOST, np.uint8), right)
    return _fitted(left), _fitted(right)


def _fitted(pixels: np.ndarray) -> Image.Image:
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    resampling = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.BOX
    small = Image.fromarray(pixels).resize(size, resampling)
    tile = Image.new("RGB", (SIDE, SIDE), (figures.BEHIND,) * 3)
    tile.paste(small, ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))
    return tile


def _raw_range(images: list[np.ndarray], values: dict) -> tuple[float, float]:
    """All that the type holds; of others than 8 and 16 bits all that there is, and 0."""
    dtype = values["dtype"]
    if dtype in ("uint8", "uint16"):
        return 0.0, WIDTHS[dtype]
    if dtype == "int16":
        return -32768.0, 32767.0
    known = [channel for channel in values["channels"] if channel["minimum"] is not None]
    low = min([0.0, *(channel["minimum"] for channel in known)])
    return low, max([low + 1e-6, *(channel["maximum"] for channel in known)])


def _used_range(values: dict) -> np.ndarray:
    """(low, high) of each channel: 1 % to 99 % of what was measured; float32 [C, 2]."""
    pairs = []
    for channel in values["channels"]:
        low, high = channel["p1"], channel["p99"]
        if low is None:
            low, high = 0.0, 1.0
        elif not low < high:
            low, high = channel["minimum"], max(channel["maximum"], channel["minimum"] + 1.0)
        pairs.append((low, high))
    return np.array(pairs, np.float32)


def _in_words(used: np.ndarray) -> str:
    first = f"{used[0, 0]:.5g} to {used[0, 1]:.5g}"
    return first if len(used) == 1 else f"the range of each channel, the first {first}"
