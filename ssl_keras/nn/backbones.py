"""Backbones by name, and what any other must be to take their place."""

import keras

from ssl_keras.errors import UserError
from ssl_keras.nn import resnet, vit

# Name -> dimension of the representation at width 1.
BACKBONES = {
    **{name: architecture.feature_dim for name, architecture in resnet.ARCHITECTURES.items()},
    **{name: architecture.dim for name, architecture in vit.ARCHITECTURES.items()},
}


def build_backbone(
    name,
    image_size,
    channels=3,
    width=1.0,
    stem=None,
    seed=None,
    mean=None,
    std=None,
    patch=None,
    zero_init_last=False,
    pool=None,
    gaps=None,
):
    """The encoder called `name`: images, float32 [B, S, S, C] in [0, 1] -> representation h, float32 [B, D].

    Args:
        name: one of `BACKBONES`.
        image_size, channels, mean, std, seed, gaps: see `resnet.build` and `vit.build`.
        width, stem, zero_init_last: options of ResNets only.
        patch, pool: options of ViTs only; None: the default.

    Returns:
        A functional keras.Model called `name`; D is `model.output_shape[-1]`.

    Raises:
        UserError: unknown name, an option of the other family, or one that the builder refuses.
    """
    images = {"mean": mean, "std": std, "seed": seed, "gaps": gaps}
    if name in resnet.ARCHITECTURES:
        if patch is not None or pool is not None:
            raise UserError(f"patch and pool are options of a ViT: {name} has none")
        return resnet.build(name, image_size, channels, width, stem, zero_init_last, **images)
    if name in vit.ARCHITECTURES:
        if width != 1.0 or stem is not None or zero_init_last:
            raise UserError(f"width, stem and zero_init_last are options of a ResNet: {name} has none")
        return vit.build(name, image_size, channels, patch, pool or "class", **images)
    raise UserError(f"unknown backbone {name!r}: use one of {', '.join(BACKBONES)}")


def check(backbone: keras.Model) -> None:
    """Raises UserError unless a model maps square images to vectors, as a method's backbone must.

    Args:
        backbone: functional or built Sequential model, [B, S, S, C] -> [B, D]; S may be None: images of any size.
    """
    if not isinstance(backbone, keras.Model):
        raise UserError(f"the backbone must be a keras.Model, got {type(backbone).__name__}")
    try:
        images, h = backbone.input_shape, backbone.output_shape
    except AttributeError as error:
        raise UserError(
            f"the backbone {backbone.name} does not know the shapes of its input and output: wrap it as "
            "keras.Model(x, backbone(x)) with x = keras.Input((S, S, C))"
        ) from error
    if not isinstance(images, tuple) or len(images) != 4 or images[1] != images[2] or images[3] is None:
        raise UserError(
            f"the backbone {backbone.name} takes {images}: it must take one batch of square images, channels last, "
            "[B, S, S, C] with C known"
        )
    if not isinstance(h, tuple) or len(h) != 2 or not isinstance(h[1], int):
        raise UserError(
            f"the backbone {backbone.name} gives {h}: it must give a vector for each image, [B, D]. End it with "
            "keras.layers.GlobalAveragePooling2D() (keras.applications: include_top=False, pooling='avg')"
        )
