"""The images of a report: all thumbnails in one picture (a sprite), each known by its number."""

import base64
import io

import numpy as np
from PIL import Image

from ssl_keras.data.canvases import batches
from ssl_keras.evals.data import Data, Images
from ssl_keras.figures import THUMBNAIL, brightest, sprite, thumbnail

SIDE, COLUMNS, QUALITY = THUMBNAIL, 64, 75  # pixels of a thumbnail, thumbnails in a row of the sprite, of the JPEG
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
        thumbnails = {}
        for part in (TRAIN, TEST):
            wanted = np.array(sorted(row for p, row in self.numbers if p == part), np.int64)
            if not len(wanted):
                continue
            chosen = self.canvases[part].subset(wanted)
            white = brightest(chosen)
            for batch in batches.eval_batches(chosen, 256):
                parts = (batch[key].numpy() for key in ("image", "size", "index"))
                for image, size, place in zip(*parts):
                    thumbnails[self.numbers[part, int(wanted[place])]] = thumbnail(image, size, white)
        file = io.BytesIO()
        Image.fromarray(sprite(thumbnails, COLUMNS)).save(file, format="JPEG", quality=QUALITY)
        return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
