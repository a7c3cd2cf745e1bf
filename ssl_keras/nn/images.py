"""The first layers of every backbone: images in [0, 1], and their normalization."""

import keras
import numpy as np

from ssl_keras.errors import UserError


def image_input(image_size, channels, mean=None, std=None):
    """The input tensor of a backbone, and its normalized form.

    Args:
        image_size: int, height and width in pixels.
        channels: int.
        mean, std: floats or sequences of `channels` floats, in units of the input: (image - mean) / std.
            None: 0 and 1, and no layer when both are None.

    Returns:
        image: symbolic float32 [B, image_size, image_size, channels], values in [0, 1].
        x: the same, normalized.

    Raises:
        UserError: a size below 1, a mean or std of another length than `channels`, or a std that is not
            positive.
    """
    if image_size < 1 or channels < 1:
        raise UserError(f"image_size={image_size} and channels={channels} must be at least 1")
    image = keras.Input((image_size, image_size, channels), name="image", dtype="float32")
    if mean is None and std is None:
        return image, image
    mean = _per_channel("mean", 0.0 if mean is None else mean, channels)
    std = _per_channel("std", 1.0 if std is None else std, channels)
    if min(std) <= 0:
        raise UserError(f"std={std} must be positive in every channel")
    # Float32 under mixed precision too: bfloat16 keeps 8 bits, as many as the pixels have.
    normalize = keras.layers.Rescaling(
        scale=[1 / s for s in std],
        offset=[-m / s for m, s in zip(mean, std)],
        name="normalization",
        dtype="float32",
    )
    return image, normalize(image)


def statistics(model: keras.Model, dtype=np.float64) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean and standard deviation per channel [C] that a model made with `image_input` takes away.

    Args:
        model: it, or one that contains it.
        dtype: in which they are found from the layer's scale and offset.

    Returns:
        (mean, std); None where the model has no such layer.
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            if (found := statistics(layer, dtype)) is not None:
                return found
        elif layer.name == "normalization" and isinstance(layer, keras.layers.Rescaling):
            scale, offset = (np.atleast_1d(np.asarray(value, dtype)) for value in (layer.scale, layer.offset))
            return -offset / scale, 1 / scale
    return None


def _per_channel(what, value, channels):
    values = [float(value)] * channels if isinstance(value, (int, float)) else [float(v) for v in value]
    if len(values) != channels:
        raise UserError(f"{what} has {len(values)} values for {channels} channels: give 1 or {channels}")
    return values
