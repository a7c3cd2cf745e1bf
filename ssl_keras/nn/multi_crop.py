"""Views of several sizes through one backbone (multi-crop: SwAV, arXiv:2006.09882, section 3.2)."""

import keras
import numpy as np
import tensorflow as tf

from ssl_keras.errors import UserError
from ssl_keras.nn import vit


class MultiCrop:
    """Takes views of several sizes through one backbone: one pass for all views of a size, as SwAV and DINO do.

    It holds no weights: the models for the other sizes share the backbone's.

    Args:
        backbone: functional model of `nn.backbones`.
        sizes: side in pixels of each view; the first two are the large ones, of the backbone's own size.

    Raises:
        UserError: fewer than two large views in front, or a size that the backbone cannot take.
    """

    def __init__(self, backbone, sizes):
        side = backbone.input_shape[1] or sizes[0]
        if list(sizes[:2]) != [side, side]:
            raise UserError(
                f"the views must begin with two of the image size {side}, got sizes {list(sizes)}: use the views "
                "swav, dino or any recipe of two views of full size"
            )
        self.sizes = tuple(sizes)
        self.models = {size: at_size(backbone, size) for size in dict.fromkeys(sizes)}

    def __call__(self, *views, training=True):
        """Views [b, s_v, s_v, C] -> their representations, a list of [b, D] in the order of the views."""
        h = [None] * len(views)
        for size, model in self.models.items():
            members = [i for i, own in enumerate(self.sizes) if own == size]
            together = model(tf.concat([views[i] for i in members], axis=0), training=training)
            for i, part in zip(members, tf.split(together, len(members))):
                h[i] = part
        return h


def at_size(backbone, size):
    """The same backbone, weights shared, for images of another size.

    A ViT's positional encodings stretch with its grid of patches: a patch of the smaller grid takes the encoding of the
    point in the larger grid where its center lies.

    Args:
        backbone: functional model of `nn.backbones`, images [B, S, S, C] -> h [B, D].
        size: int, side of the images in pixels; for a ViT a multiple of the patch. None: any, which a ViT cannot take.

    Returns:
        Functional keras.Model, images [B, size, size, C] -> h [B, D]; the backbone itself if the size is its own.

    Raises:
        UserError: a backbone that does not take images of this size.
    """
    _, side, _, channels = backbone.input_shape
    if side in (size, None):
        return backbone
    image = keras.Input((size, size, channels), name="image", dtype="float32")

    def shared(layer):
        return _embed_at(layer, size) if layer.name == "embed" else layer

    try:
        return keras.models.clone_model(backbone, input_tensors=image, clone_function=shared)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(
            f"the backbone {backbone.name} does not take images of {size or 'other'} pixels beside its own {side}: "
            f"use views of one size, or a backbone that takes any ({str(error).splitlines()[0]})"
        ) from error


def _embed_at(embed, size):
    """A ViT's "embed" model for another size: the same projection, other positional encodings."""
    if size is None:
        raise UserError("a ViT takes images of one size, for which its positions are made: use a ResNet")
    projection = embed.get_layer("patch_projection")
    patch, dim = projection.kernel_size[0], projection.filters
    if size % patch:
        nearest = max(round(size / patch), 1) * patch
        raise UserError(f"views of {size} pixels are not a multiple of the backbone's patch, {patch}: use {nearest}")
    grid, full_grid = size // patch, embed.input_shape[1] // patch
    centers = (np.arange(grid) + 0.5) * full_grid / grid - 0.5
    images = keras.Input((size, size, embed.input_shape[-1]), name="normalized_image")
    column, row = vit.sin_cos_positions(centers, dim)
    x = keras.layers.Rescaling(1.0, offset=column.tolist())(projection(images))
    x = keras.layers.Rescaling(1.0, offset=row.tolist())(x)
    return keras.Model(images, keras.layers.Reshape((grid * grid, dim))(x), name="embed")
