"""Small networks, views and methods as a user of the library makes them, for its tests."""

import keras
import numpy as np

import ssl_keras

N, SIDE, BATCH = 50, 16, 16


def convolutions(side: int | None = SIDE, normalize: bool = False, pool: bool = True) -> keras.Sequential:
    """A backbone of a user's own: Keras's layers alone."""
    layers = [keras.Input((side, side, 3)), keras.layers.Conv2D(8, 3, strides=2)]
    layers += [keras.layers.BatchNormalization()] if normalize else []
    return keras.Sequential([*layers, keras.layers.ReLU(), *([keras.layers.GlobalAveragePooling2D()] if pool else [])])


def plain_views(side: int = SIDE, count: int = 2) -> ssl_keras.RandomViews:
    return ssl_keras.RandomViews([ssl_keras.Policy()] * count, side, jit_compile=False)


def simclr(**arguments) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = ssl_keras.SimCLR(convolutions(), plain_views(), **arguments)
    model.compile("adam")
    return model


def some_images(count: int = N, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype(np.uint8)


def values(model: keras.Model) -> list[np.ndarray]:
    """Everything that a method and its optimizer are."""
    return [keras.ops.convert_to_numpy(v) for v in (*model.variables, *model.optimizer.variables)]


def assert_same(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    for v, w in zip(a, b, strict=True):
        np.testing.assert_array_equal(v, w)
