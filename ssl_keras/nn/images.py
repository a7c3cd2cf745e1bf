"""The first layers of every backbone: images in [0, 1], what stands for what was not measured, and normalization."""

from typing import NamedTuple

import keras
import numpy as np

from ssl_keras.errors import UserError


class Gaps(NamedTuple):
    """How a network sees pixels in which nothing was measured, which are NaN in its images.

    Fields:
        fill: of each channel, the value in [0, 1] that stands in their place.
        as_channel: whether one channel more says where they are: 1 where every channel was measured, else 0.
    """

    fill: tuple[float, ...]
    as_channel: bool = False


def image_input(image_size, channels, mean=None, std=None, gaps=None):
    """The input tensor of a backbone, and its normalized form.

    Args:
        image_size: int, height and width in pixels.
        channels: int.
        mean, std: floats or sequences of `channels` floats, in units of the input: (image - mean) / std.
            None: 0 and 1, and no layer when both are None.
        gaps: `Gaps`, or None: every pixel is a number.

    Returns:
        image: symbolic float32 [B, image_size, image_size, channels], values in [0, 1].
        x: the same, normalized, gaps filled; with `Gaps.as_channel` one channel more, 1 or -1.

    Raises:
        UserError: a size below 1, a mean or std of another length than `channels`, or a std that is not
            positive.
    """
    if image_size < 1 or channels < 1:
        raise UserError(f"image_size={image_size} and channels={channels} must be at least 1")
    image = keras.Input((image_size, image_size, channels), name="image", dtype="float32")
    x = image
    if gaps is not None:
        filled = _filled(image_size, channels, gaps)
        x, channels = filled(image), filled.output_shape[-1]
    if mean is None and std is None:
        return image, x
    extra = channels - image.shape[-1]
    mean = _per_channel("mean", 0.0 if mean is None else mean, image.shape[-1]) + [0.5] * extra
    std = _per_channel("std", 1.0 if std is None else std, image.shape[-1]) + [0.5] * extra
    if min(std) <= 0:
        raise UserError(f"std={std} must be positive in every channel")
    # Float32 under mixed precision too: bfloat16 keeps 8 bits, as many as the pixels have.
    normalize = keras.layers.Rescaling(
        scale=[1 / s for s in std],
        offset=[-m / s for m, s in zip(mean, std)],
        name="normalization",
        dtype="float32",
    )
    return image, normalize(x)


def _filled(image_size, channels, gaps):
    """A model of Keras's own operations: NaN in its images become what `gaps` says."""
    image = keras.Input((image_size, image_size, channels), name="image_with_gaps", dtype="float32")
    measured = keras.ops.isfinite(image)
    x = keras.ops.where(measured, image, keras.ops.convert_to_tensor(gaps.fill, "float32"))
    if gaps.as_channel:
        everywhere = keras.ops.all(measured, axis=-1, keepdims=True)
        x = keras.ops.concatenate([x, keras.ops.cast(everywhere, "float32")], axis=-1)
    return keras.Model(image, x, name="gaps")


def shows_gaps(model: keras.Model) -> bool:
    """Whether a model made with `image_input`, or one that contains it, takes images with NaN."""
    return any(
        layer.name == "gaps" or shows_gaps(layer) for layer in model.layers if isinstance(layer, keras.Model)
    )


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
