"""Features of an encoder: one pass over the canvases, kept in memory for all evaluations."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ssl_keras.data.canvases import batches
from ssl_keras.errors import UserError
from ssl_keras.progress import Bar
from ssl_keras.views.layer import center_view, crop_of

LARGEST = 1e18  # the squares of larger features are no float32


@dataclasses.dataclass(frozen=True)
class Features:
    """Frozen features: `x` float32 [N, D]; `labels` int32 [N], any numbers from 0; `rows` int64 [N], each image's place
    among its canvases, or None; `groups` int [N], a number for each group of images that belong together, or None where
    these are not known."""

    x: np.ndarray
    labels: np.ndarray
    rows: np.ndarray | None = None
    groups: np.ndarray | None = None


def check(train: Features, test: Features) -> None:
    """Raises UserError where no evaluation can be made of the features: none are there, or not all are numbers."""
    for name, part in (("training", train), ("test", test)):
        if not len(part.x):
            raise UserError(f"there are no {name} images")
        wrong = int((~(np.abs(part.x).max(axis=1) < LARGEST)).sum())
        if wrong:
            raise UserError(
                f"the features of {wrong} of {len(part.x)} {name} images are not finite (NaN, or beyond {LARGEST:g}): "
                "the encoder is of a run that diverged, or expects images of another range"
            )


def sizes(train: Features, test: Features) -> dict:
    """What a row says of the features that it was measured on."""
    return {"train_examples": len(train.x), "test_examples": len(test.x), "dimension": train.x.shape[1]}


def embedder(
    encode: Callable[[tf.Tensor], tf.Tensor], image_size: int, crop: str = "center"
) -> Callable[..., tf.Tensor]:
    """(Canvases [B, S, S, C] of any side and pixel type, their images' true heights and widths [B, 2], whether they
    have gaps) -> features, traced once for each kind of canvas.

    Args:
        encode: float32 [B, S, S, C] in [0, 1], NaN in gaps -> [B, D].
        image_size: S; canvases of another side are resized with antialiasing.
        crop: of `views.layer.CROPS`: "center" cuts the central square out of the image in its own proportions, "squash"
            takes the whole canvas.
    """

    traced = {}

    def run(canvases, sizes, gaps=False):
        def embed(canvases, sizes):
            share = crop_of(crop, canvases.shape[1], image_size)
            return tf.cast(encode(center_view(canvases, image_size, sizes, share, gaps)), tf.float32)

        key = tuple(canvases.shape[1:]), canvases.dtype, gaps
        if key not in traced:  # without a fixed batch: the last one is smaller
            specs = tf.TensorSpec([None, *key[0]], key[1]), tf.TensorSpec([None, 2], tf.float32)
            traced[key] = tf.function(embed, autograph=False).get_concrete_function(*specs)
        return traced[key](canvases, sizes)

    return run


def extract(embed: Callable[..., tf.Tensor], canvases, batch_size: int = 256) -> Features:
    """The features of all canvases, in order, by an `embedder`.

    Raises:
        UserError: there are no images.
    """
    x, labels, rows = [], [], []
    with Bar("computing features", len(canvases)) as bar:
        for batch in batches.eval_batches(canvases, batch_size):
            x.append(embed(batch["image"], batch["size"], canvases.spec.gaps).numpy())
            labels.append(batch["label"].numpy())
            rows.append(batch["index"].numpy())
            bar.show(batch_size * len(x))
    if not x:
        raise UserError("there are no images to take features of")
    found = np.concatenate(rows)
    return Features(np.concatenate(x), np.concatenate(labels), found, groups_of(canvases, found))


def groups_of(canvases, rows: np.ndarray) -> np.ndarray | None:
    """The groups of the images at some rows of canvases, int [M]; None where they are not known."""
    return None if canvases.groups is None else canvases.groups[rows]


def encode_pixels(image: tf.Tensor) -> tf.Tensor:
    """`encode` of the raw pixels: [B, S, S, C] -> [B, S*S*C]; what was not measured is as the lowest value."""
    image = tf.where(tf.math.is_finite(image), image, 0.0)
    return tf.reshape(image, [tf.shape(image)[0], -1])
