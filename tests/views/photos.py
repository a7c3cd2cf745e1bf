"""Real photographs for the tests of the views."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def photographs(count: int, side: int | None = None) -> list[np.ndarray]:
    """Reads photographs as uint8 [H, W, 3], squashed to `side` pixels where it is given."""
    folder = os.environ.get("SSL_KERAS_TEST_DATA")
    if not folder:
        pytest.skip("SSL_KERAS_TEST_DATA is not set: no real photographs")
    files = [*sorted(Path(folder, "camvid").rglob("*.jpg")), *sorted(Path(folder, "bccd").rglob("*.jpg"))]
    if not files:
        pytest.skip(f"no JPEG photographs under {folder}")
    images = [Image.open(file).convert("RGB") for file in files[:: max(1, len(files) // count)][:count]]
    if side:
        images = [image.resize((side, side), Image.Resampling.BILINEAR) for image in images]
    return [np.asarray(image) for image in images]
