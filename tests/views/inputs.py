"""What the tests of the views are fed with: real photographs, noise, draws."""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssl_keras.views import draws


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


def canvases(count: int = 8, side: int = 24, channels: int = 3, dtype=np.uint8) -> np.ndarray:
    """Noise [count, side, side, channels] over the whole range of the dtype."""
    rng = np.random.default_rng(0)
    if dtype == np.float32:
        return rng.uniform(0, 1, (count, side, side, channels)).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, (count, side, side, channels), endpoint=True).astype(dtype)


def key(batch_size: int, seed: int = 1, step: int = 2, view: int = 0, first: int = 0) -> draws.Key:
    """The key of `batch_size` images that start at place `first` of the global batch."""
    return draws.Key(seed, tf.constant(step, tf.int64), tf.constant(view), first + tf.range(batch_size))


def some_draws(batch_size: int, **kwargs) -> dict[str, tf.Tensor]:
    """The draws of a batch, see `key`."""
    return draws.image_draws(key(batch_size, **kwargs))
