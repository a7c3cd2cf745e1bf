"""An encoder: the model that is evaluated and shipped, and its contract."""

import dataclasses
import math

import keras
import tensorflow as tf

from ssl_keras.data.formats.decode import MAXIMUM
from ssl_keras.data.values import Values
from ssl_keras.encoders import stages
from ssl_keras.encoders.contract import Contract, of_model
from ssl_keras.nn import policy
from ssl_keras.nn.batch_norm import as_stock
from ssl_keras.nn.images import shows_gaps


@dataclasses.dataclass(frozen=True)
class Encoder:
    """An encoder.

    Args:
        model: raw pixels, float32 [B, S, S, C] -> features, float32 [B, D]; built-in Keras layers alone.
        contract: what its images must be.
    """

    model: keras.Model
    contract: Contract

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """The features of images [B, S, S, C] in [0, 1], NaN where nothing was measured."""
        return self.model(self.contract.raw(images), training=False)

    def cut(self, stage: str) -> "Encoder":
        """The encoder up to a stage, see `stages.cut`."""
        if stage == stages.WHOLE:
            return self
        model = stages.cut(self.model, stage)
        until = self.contract.stages[: self.contract.stages.index(stage) + 1]
        return Encoder(
            model, dataclasses.replace(self.contract, stages=until, dimension=model.output_shape[-1])
        )


def build_encoder(
    backbone: keras.Model, dtype: str, size: int | None = None, values: Values | None = None, **more
) -> Encoder:
    """The encoder that ships a backbone: it scales raw pixel values itself.

    Args:
        backbone: float32 [B, S, S, C] in [0, 1] -> h [B, D].
        size: S, of a backbone that takes images of any size.
        dtype: uint8 (pixels 0..255), uint16 (0..65535) or float32 (0..1): the range of the encoder's float32 input.
        values: what its raw numbers mean, where another range of them counts.
        more: further fields of its contract, such as `origin`.
    """
    _, side, _, channels = backbone.input_shape
    side = side or size
    with policy.using("float32"):  # whatever it was trained in
        backbone = as_stock(backbone)
        images = keras.Input((side, side, channels), name="images")
        x = scaled(images, dtype, values, mark_gaps=shows_gaps(backbone))
        model = keras.Model(images, backbone(x), name="encoder")
    return Encoder(model, of_model(model, dtype, values, **more))


def scaled(
    images: keras.KerasTensor, dtype: str, values: Values | None, mark_gaps: bool = False
) -> keras.KerasTensor:
    """Raw pixels in [0, 1], by Keras's own layers and operations.

    Args:
        mark_gaps: whether what was not measured is NaN; else it is as dark as the lowest value.
    """
    if values is None:
        return keras.layers.Rescaling(1.0 / MAXIMUM[dtype], name="input_scaling")(images)
    x = images
    if values.has_gaps(dtype):
        measured = keras.ops.isfinite(images)
        if values.invalid is not None and values.of_image is None:
            marks = [math.nan if number is None else number for number in values.invalid]
            measured = keras.ops.logical_and(measured, keras.ops.not_equal(images, _constant(marks)))
        x = keras.ops.where(measured, images, _constant([low for low, _ in values.ranges]))
    x = keras.layers.Rescaling(values.scale, values.offset, name="input_scaling")(x)
    x = keras.layers.ReLU(max_value=1.0, name="input_range")(x)
    return keras.ops.where(measured, x, math.nan) if mark_gaps else x


def _constant(numbers: list[float]):
    return keras.ops.convert_to_tensor(numbers, "float32")
