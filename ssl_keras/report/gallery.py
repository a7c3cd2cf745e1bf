"""The images of a report: all thumbnails in one picture (a sprite), each known by its number."""

import base64
import io
import math

import numpy as np
from PIL import Image

from ssl_keras.data.canvases import batches
from ssl_keras.data.formats.decode import MAXIMUM
from ssl_keras.evals.data import Data, Images
from ssl_keras.figures import as_rgb

SIDE, COLUMNS, QUALITY = 48, 64, 75  # pixels of a thumbnail, thumbnails in a row of the sprite, of the JPEG
BEHIND = 127  # gray beside an image that is no square
TRAIN, TEST = 0, 1


class Gallery:
    """Collects images, and draws them once at the end.

    Args:
        data: names the images' files.
        images: their canvases.
    """

    def __init__(self, data: Data, images: Images):
        self.sources, self.canvases = (data.train, data.test), images.canvases
        self.numbers: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    def add(self, part: int, row: int) -> int:
        """The number of an image: `part` is TRAIN or TEST, `row` its place among the canvases."""
        return self.numbers.setdefault((part, int(row)), len(self.numbers))

    def label(self, part: int, row: int) -> str:
        """The name of an image's class, "" where it has none."""
        return self.class_name(int(self.canvases[part].labels[row]))

    def class_name(self, label: int) -> str:
        """The name of a class, "" for none (-1)."""
        names = self.canvases[TRAIN].class_names
        return "" if label < 0 else names[label] if names else str(label)

    def captions(self) -> list[list[str]]:
        """[class, file, "training" or "test"] of each image."""
        found = []
        for part, row in self.numbers:
            name = self.sources[part].describe(int(self.canvases[part].index[row]))
            found.append([self.label(part, row), name, "test" if part == TEST else "training"])
        return found

    def sprite(self) -> str:
        """All thumbnails in rows of `COLUMNS`, a JPEG as a data URI."""
        rows = max(1, math.ceil(len(self) / COLUMNS))
        sheet = np.full((rows * SIDE, COLUMNS * SIDE, 3), BEHIND, np.uint8)
        for part in (TRAIN, TEST):
            wanted = np.array(sorted(row for p, row in self.numbers if p == part), np.int64)
            if not len(wanted):
                continue
            chosen = self.canvases[part].subset(wanted)
            scale = _brightest(chosen)
            for batch in batches.eval_batches(chosen, 256):
                parts = (batch[key].numpy() for key in ("image", "size", "index"))
                for image, size, place in zip(*parts):
                    number = self.numbers[part, int(wanted[place])]
                    top, left = number // COLUMNS * SIDE, number % COLUMNS * SIDE
                    sheet[top : top + SIDE, left : left + SIDE] = thumbnail(image / scale, size)
        file = io.BytesIO()
        Image.fromarray(sheet).save(file, format="JPEG", quality=QUALITY)
        return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def thumbnail(image: np.ndarray, size: np.ndarray) -> np.ndarray:
    """uint8 [SIDE, SIDE, 3] of a squashed canvas [S, S, C] in [0, 1], in its true proportions, see `figures.as_rgb`.

    Args:
        size: the image's true height and width, px.
    """
    height, width = (max(1, round(SIDE * side / max(size))) for side in size)
    small = np.asarray(Image.fromarray(as_rgb(image)).resize((width, height), Image.Resampling.BICUBIC))
    full = np.full((SIDE, SIDE, 3), BEHIND, np.uint8)
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    full[top : top + height, left : left + width] = small
    return full


def _brightest(canvases) -> float:
    """The value that is shown as white: the largest of 8-bit images, else what 99.5 % of the pixels stay below."""
    largest = MAXIMUM[canvases.spec.dtype]
    if canvases.spec.dtype == "uint8":
        return largest
    return float(np.quantile(canvases.sample(64), 0.995)) * largest or largest
