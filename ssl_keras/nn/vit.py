"""Vision transformers (Dosovitskiy et al., 2021, arXiv:2010.11929) as MAE builds them (arXiv:2111.06377).

They have fixed 2-D sine-cosine positional encodings, a class token and pre-norm blocks. A ViT is two nested functional
models, so that a method can put something between them: "embed" turns normalized images into patch tokens with
positional encodings, "transformer" takes any number of tokens (MAE gives it the visible ones). They use only built-in
Keras layers and operations: a saved model loads where this package is absent.
"""

from typing import NamedTuple

import keras
import numpy as np

from ssl_keras.errors import UserError
from ssl_keras.nn import initializers
from ssl_keras.nn.images import image_input


class Architecture(NamedTuple):
    """Embedding dimension, attention heads, and blocks."""

    dim: int
    heads: int
    depth: int = 12


ARCHITECTURES = {
    "vit_tiny": Architecture(192, 3),
    "vit_small": Architecture(384, 6),
    "vit_base": Architecture(768, 12),
}
POOLS = ("class", "mean")
MLP_RATIO = 4


def build(name, image_size, channels=3, patch=None, pool="class", mean=None, std=None, seed=None, gaps=None):
    """A ViT from images to a pooled representation.

    Args:
        name: one of `ARCHITECTURES`.
        image_size: int, height and width of the images in pixels, a multiple of `patch`.
        channels: int, channels of the images.
        patch: int, side of a patch in pixels; None: 4 up to 32 pixels, 8 up to 96, 16 above.
        pool: "class": the class token after the final layer norm; "mean": the mean of the patch tokens.
        mean, std: floats, or one per channel, in units of the input: (image - mean) / std; None: left out.
        seed: int for reproducible initial weights, or None.
        gaps: `images.Gaps`: images are NaN where nothing was measured; None: they never are.

    Returns:
        keras.Model: images, float32 [B, image_size, image_size, channels] in [0, 1] -> representation,
        float32 [B, D]. Its layers "embed" and "transformer" are models that can be called on their own.

    Raises:
        UserError: unknown name or pool, a patch that does not tile the image, a mean or std that does not fit.
    """
    if name not in ARCHITECTURES:
        raise UserError(f"unknown ViT {name!r}: use one of {', '.join(ARCHITECTURES)}")
    if pool not in POOLS:
        raise UserError(f"unknown pool {pool!r}: use one of {', '.join(POOLS)}")
    patch = patch or default_patch(image_size)
    if image_size % patch:
        nearest = max(round(image_size / patch), 1) * patch
        raise UserError(f"image_size={image_size} must be a multiple of the patch, {patch}: use {nearest}")
    architecture = ARCHITECTURES[name]
    image, x = image_input(image_size, channels, mean, std, gaps)
    tokens = _embed(image_size, x.shape[-1], patch, architecture.dim, seed)(x)  # [B, N, D]
    tokens = _transformer(architecture, seed)(tokens)  # [B, 1 + N, D], the class token first
    # Float32 under mixed precision too: what follows compares features.
    if pool == "class":
        h = keras.layers.Identity(name="representation", dtype="float32")(tokens[:, 0])
    else:
        h = keras.layers.GlobalAveragePooling1D(name="representation", dtype="float32")(tokens[:, 1:])
    return keras.Model(image, h, name=name)


def default_patch(image_size):
    """Side of a patch in pixels that gives 64 to 196 patches at the usual image sizes."""
    return 4 if image_size <= 32 else 8 if image_size <= 96 else 16


def _embed(image_size, channels, patch, dim, seed):
    """Normalized images [B, S, S, C] -> patch tokens with positional encodings [B, N, D], row by row."""
    grid = image_size // patch
    # MAE initializes the patch projection as the linear layer that it is: fan_out is D, not D·patch².
    projection = initializers.xavier_uniform_of(patch * patch * channels, dim, seed, "patch_projection")
    images = keras.Input((image_size, image_size, channels), name="normalized_image")
    x = keras.layers.Conv2D(
        dim, patch, strides=patch, kernel_initializer=projection, name="patch_projection"
    )(images)
    # The encoding is the sum of a part for the column and a part for the row: constants of the graph, not weights.
    column, row = sin_cos_positions(grid, dim)
    x = keras.layers.Rescaling(1.0, offset=column.tolist(), name="column_position")(x)
    x = keras.layers.Rescaling(1.0, offset=row.tolist(), name="row_position")(x)
    x = keras.layers.Reshape((grid * grid, dim), name="tokens")(x)
    return keras.Model(images, x, name="embed")


def sin_cos_positions(grid, dim):
    """Fixed 2-D positional encodings of grid² patches, as two arrays that add up by broadcasting (MAE, App. A.1).

    Sines and cosines of the column in the first half of the channels, of the row in the second, at frequencies
    10000^(-4i/D).

    Args:
        grid: int, patches along each side; or their coordinates, float [grid], in units of a patch.
        dim: int, D, a multiple of 4.

    Returns:
        column: float64 [1, grid, D], zero in the second half.
        row: float64 [grid, 1, D], zero in the first half.
    """
    frequencies = 1 / 10000 ** (np.arange(dim // 4) / (dim // 4))
    coordinates = np.arange(grid) if np.ndim(grid) == 0 else np.asarray(grid)
    angles = coordinates[:, None] * frequencies
    position = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)  # [grid, D/2]
    nothing = np.zeros_like(position)
    column = np.concatenate([position, nothing], axis=1)[None]
    row = np.concatenate([nothing, position], axis=1)[:, None]
    return column, row


def _transformer(architecture, seed):
    """Tokens [B, N, D], N of any size -> [B, 1 + N, D]: class token in front, blocks, final layer norm."""
    tokens = keras.Input((None, architecture.dim), name="patch_tokens")
    x = _prepend_class_token(tokens, architecture.dim, seed)
    for i in range(1, architecture.depth + 1):
        x = block(x, architecture, f"block{i}", seed)
    x = keras.layers.LayerNormalization(epsilon=1e-6, name="final_norm")(x)
    return keras.Model(tokens, x, name="transformer")


def _prepend_class_token(tokens, dim, seed):
    """Puts a learned token without positional encoding in front of every sequence: an embedding of one word."""
    word = keras.ops.zeros_like(tokens[:, :1, 0], dtype="int32")  # [B, 1]
    initial = keras.initializers.RandomNormal(
        stddev=0.02, seed=initializers.layer_seed(seed, "class_token")
    )
    class_token = keras.layers.Embedding(1, dim, embeddings_initializer=initial, name="class_token")(word)
    return keras.layers.Concatenate(axis=1, name="class_and_patches")([class_token, tokens])


def block(x, architecture, name, seed):
    """Pre-norm: x + attention(norm(x)), then x + mlp(norm(x)); symbolic tokens [B, N, D] -> [B, N, D]."""
    y = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm1")(x)
    x = keras.layers.Add(name=f"{name}_add1")([x, _attention(y, architecture, f"{name}_attention", seed)])
    y = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm2")(x)
    y = _dense(y, MLP_RATIO * architecture.dim, f"{name}_mlp1", seed)
    y = keras.layers.Activation(keras.activations.gelu, name=f"{name}_gelu")(y)  # the exact one, with erf
    y = _dense(y, architecture.dim, f"{name}_mlp2", seed)
    return keras.layers.Add(name=f"{name}_add2")([x, y])


def _attention(x, architecture, name, seed):
    """Multi-head self-attention. (With a seed, Keras's own layer starts query, key and value alike.)"""
    dim = architecture.dim
    split = (-1, architecture.heads, dim // architecture.heads)

    def projected(part):
        # In the released code one matrix gives all three: its fan_out is 3 D.
        initial = initializers.xavier_uniform_of(dim, 3 * dim, seed, f"{name}_{part}")
        y = keras.layers.Dense(dim, kernel_initializer=initial, name=f"{name}_{part}")(x)
        return keras.layers.Reshape(split, name=f"{name}_{part}_heads")(y)

    query, key, value = map(projected, ("query", "key", "value"))
    y = keras.ops.dot_product_attention(query, key, value)  # [B, N, heads, D / heads]
    y = keras.layers.Reshape((-1, architecture.dim), name=f"{name}_merge")(y)
    return _dense(y, dim, f"{name}_output", seed)


def _dense(x, units, name, seed):
    return keras.layers.Dense(units, kernel_initializer=initializers.xavier_uniform(seed, name), name=name)(x)
