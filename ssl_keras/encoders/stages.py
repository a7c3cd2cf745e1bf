"""Encoders cut at a stage: a pretext task is solved by the last layers, and middle layers often generalize best.

A ResNet's stages are "stage1", "stage2", ...; a ViT's are its blocks, "block1", "block2", ....
"""

import re

import keras

from ssl_keras.errors import UserError

WHOLE = "representation"  # the encoder's own output

_STAGE = re.compile(r"stage\d+$|block\d+_add2$")  # a ViT's block ends with its second addition


def names(encoder: keras.Model) -> list[str]:
    """The stages of an encoder, from the first to the last; [] if it has none that are known."""
    return [layer.name.removesuffix("_add2") for layer in _body(encoder).layers if _STAGE.match(layer.name)]


def cut(encoder: keras.Model, stage: str) -> keras.Model:
    """The encoder up to a stage, with mean pooling: same images -> float32 [B, channels of the stage].

    Args:
        encoder: a backbone, or an `encoder.keras`, of this package.
        stage: one of `names(encoder)`, or `WHOLE`, which gives the encoder itself.

    Raises:
        UserError: the encoder has no such stage.
    """
    if stage == WHOLE:
        return encoder
    if stage not in names(encoder):
        known = ", ".join([*names(encoder), WHOLE])
        raise UserError(f"the encoder has no stage {stage!r}: use one of {known}, or all")
    images = keras.Input(encoder.input_shape[1:], dtype="float32", name="images")
    return keras.Model(images, _pooled(encoder, stage, images), name=f"encoder_{stage}")


def _pooled(model, stage, x):
    """The pooled stage of a model on `x`; it also goes through the models in front of the one that holds the stage."""
    body = _body(model)
    if body is model:
        names = [layer.name for layer in model.layers]
        layer = model.get_layer(stage if stage in names else f"{stage}_add2")
        y = keras.Model(model.inputs, layer.output, name=f"until_{stage}")(x)
        pool = keras.layers.GlobalAveragePooling2D if len(y.shape) == 4 else keras.layers.GlobalAveragePooling1D
        return pool(name=WHOLE, dtype="float32")(y)
    for layer in model.layers[1:]:  # the first is the input
        if isinstance(layer, keras.Model) and _body(layer) is body:
            return _pooled(layer, stage, x)
        x = layer(x)
    raise AssertionError(f"{model.name} lost its body")


def _body(model):
    """The (nested) model whose layers hold the stages; the model itself if none does."""
    if any(_STAGE.match(layer.name) for layer in model.layers):
        return model
    bodies = [_body(layer) for layer in model.layers if isinstance(layer, keras.Model)]
    return next((body for body in bodies if any(_STAGE.match(layer.name) for layer in body.layers)), model)
