"""An encoder: the model that is evaluated and shipped, and its contract."""

import dataclasses

import keras
import tensorflow as tf

from ssl_keras.data.formats.decode import MAXIMUM
from ssl_keras.data.values import Values
from ssl_keras.encoders import stages
from ssl_keras.encoders.contract import Contract, of_model
from ssl_keras.nn import policy
from ssl_keras.nn.batch_norm import as_stock


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
        """The features of images [B, S, S, C] in [0, 1], as canvases hold them."""
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
        model = keras.Model(images, backbone(scaled(images, dtype, values)), name="encoder")
    return Encoder(model, of_model(model, dtype, values, **more))


def scaled(images: keras.KerasTensor, dtype: str, values: Values | None) -> keras.KerasTensor:
    """Raw pixels in [0, 1], by layers of Keras's own. What was not measured is as dark as the lowest value."""
    if values is None:
        return keras.layers.Rescaling(1.0 / MAXIMUM[dtype], name="input_scaling")(images)
    x = images
    lows = [low for low, _ in values.ranges]
    invalid = [low if number is None else number for number, low in zip(values.invalid or lows, lows)]
    if any(number > low for number, low in zip(invalid, lows)):  # what is below the range is the lowest by itself
        x = keras.ops.where(keras.ops.equal(x, invalid), keras.ops.convert_to_tensor(lows, "float32"), x)
    if dtype == "float32":
        x = keras.ops.where(keras.ops.isfinite(x), x, keras.ops.convert_to_tensor(lows, "float32"))
    x = keras.layers.Rescaling(values.scale, values.offset, name="input_scaling")(x)
    return keras.layers.ReLU(max_value=1.0, name="input_range")(x)
