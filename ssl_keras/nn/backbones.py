"""Backbones by name."""

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
):
    """The encoder called `name`: images, float32 [B, S, S, C] in [0, 1] -> representation h, float32 [B, D].

    Args:
        name: one of `BACKBONES`.
        image_size, channels, mean, std, seed: see `resnet.build` and `vit.build`.
        width, stem, zero_init_last: options of ResNets only.
        patch, pool: options of ViTs only; None: the default.

    Returns:
        A functional keras.Model called `name`; D is `model.output_shape[-1]`.

    Raises:
        UserError: unknown name, an option of the other family, or one that the builder refuses.
    """
    images = {"mean": mean, "std": std, "seed": seed}
    if name in resnet.ARCHITECTURES:
        if patch is not None or pool is not None:
            raise UserError(f"patch and pool are options of a ViT: {name} has none")
        return resnet.build(name, image_size, channels, width, stem, zero_init_last, **images)
    if name in vit.ARCHITECTURES:
        if width != 1.0 or stem is not None or zero_init_last:
            raise UserError(f"width, stem and zero_init_last are options of a ResNet: {name} has none")
        return vit.build(name, image_size, channels, patch, pool or "class", **images)
    raise UserError(f"unknown backbone {name!r}: use one of {', '.join(BACKBONES)}")
