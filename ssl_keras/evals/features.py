"""Features of an encoder: one pass over the canvases, kept in memory for all evaluations."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from ssl_keras.data import batches
from ssl_keras.data.decode import MAXIMUM
from ssl_keras.views.layer import center_view


@dataclasses.dataclass(frozen=True)
class Features:
    """Frozen features with their labels: `x` float32 [N, D], `labels` int32 [N] in 0..classes-1."""

    x: np.ndarray
    labels: np.ndarray
    classes: int


def embedder(encode: Callable[[tf.Tensor], tf.Tensor], image_size: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Canvases [B, S, S, C] of any side and pixel type -> features, traced once.

    Args:
        encode: float32 [B, S, S, C] in [0, 1] -> [B, D].
        image_size: S; canvases of another side are resized with antialiasing.
    """

    def embed(canvases):
        return tf.cast(encode(center_view(canvases, image_size)), tf.float32)

    # Without a fixed batch: the last one is smaller.
    return tf.function(embed, reduce_retracing=True)


def extract(embed: Callable[[tf.Tensor], tf.Tensor], canvases, classes: int, batch_size: int = 256) -> Features:
    """The features of all canvases, in order, by an `embedder`; `canvases` have labels of `classes` classes."""
    x, labels = [], []
    for batch in batches.eval_batches(canvases, batch_size):
        x.append(embed(batch["image"]).numpy())
        labels.append(batch["label"].numpy())
    return Features(np.concatenate(x), np.concatenate(labels), classes)


def encode_with(encoder: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """`encode` for an encoder that takes raw pixel values and scales them itself."""
    maximum = MAXIMUM[input_dtype(encoder)]
    return lambda image: encoder(image * maximum, training=False)


def encode_pixels(image: tf.Tensor) -> tf.Tensor:
    """`encode` of the raw pixels: [B, S, S, C] -> [B, S*S*C]."""
    return tf.reshape(image, [tf.shape(image)[0], -1])


def input_dtype(encoder: keras.Model) -> str:
    """The pixel type whose range the encoder expects, read from its input scaling; uint8 where it has none."""
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.Rescaling):
            for dtype, maximum in MAXIMUM.items():
                if np.allclose(float(np.max(layer.scale)) * maximum, 1.0, rtol=1e-4):
                    return dtype
    return "uint8"
