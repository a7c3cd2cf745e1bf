"""Hiding patches of images, and the decoder that paints them (MAE, arXiv:2111.06377)."""

import keras
import numpy as np
import tensorflow as tf

from ssl_keras.nn import initializers, vit


def split_patches(images, patch):
    """Images [B, S, S, C] -> patches [B, N, patch·patch·C], row by row; the pixels of a patch row by row too."""
    _, side, _, channels = images.shape
    grid = side // patch
    x = tf.reshape(images, [-1, grid, patch, grid, patch, channels])
    return tf.reshape(tf.transpose(x, [0, 1, 3, 2, 4, 5]), [-1, grid * grid, patch * patch * channels])


def shuffle_order(noise, kept):
    """Chooses patches of each image at random: those with the smallest draws are kept.

    Args:
        noise: float32 [B, N], a draw for each patch.
        kept: int, how many patches of each image are kept.

    Returns:
        visible: int32 [B, kept], the patches that are kept.
        restore: int32 [B, N], each patch's rank among the draws of its image: below `kept` where it is visible.
    """
    order = tf.argsort(noise, axis=1)
    return order[:, :kept], tf.argsort(order, axis=1)


class Decoder(keras.layers.Layer):
    """MAE's decoder: encoded visible patches, mask tokens for the others, positional encodings, blocks, pixels.

    Args:
        input_dim: dimension of the encoded tokens.
        output_dim: values of a patch.
        grid: patches along each side.
        dim, depth, heads: width, number and attention heads of its blocks; dim is a multiple of 4 and of heads.
    """

    def __init__(self, input_dim, output_dim, grid, dim, depth, heads, name="decoder"):
        super().__init__(name=name)
        self.embed = _linear(input_dim, dim, f"{name}_embed")
        # It has two dimensions, like a ViT's class token, so it is no bias and decays, as in the released code.
        self.mask_token = self.add_weight(
            shape=(1, dim), initializer=keras.initializers.RandomNormal(stddev=0.02), name="mask_token"
        )
        self.positions = np.add(*vit.sin_cos_positions(grid, dim)).reshape(1, grid * grid, dim).astype(np.float32)
        tokens = x = keras.Input((None, dim), name="tokens")
        for i in range(1, depth + 1):
            x = vit.block(x, vit.Architecture(dim, heads, depth), f"{name}_block{i}", seed=None)
        x = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")(x)
        self.blocks = keras.Model(tokens, x, name=f"{name}_blocks")
        self.to_pixels = _linear(dim, output_dim, f"{name}_pixels")
        self.built = True

    def call(self, encoded, restore):
        """Paints all patches.

        Args:
            encoded: float [B, 1 + n, input_dim], class token and visible patches.
            restore: int32 [B, N], see `shuffle_order`.

        Returns:
            float32 [B, N, output_dim].
        """
        x = self.embed(encoded)
        batch, total = tf.shape(restore)[0], restore.shape[1]
        masked = tf.cast(self.mask_token, x.dtype)
        masked = tf.broadcast_to(masked, [batch, total - (encoded.shape[1] - 1), masked.shape[-1]])
        patches = tf.gather(tf.concat([x[:, 1:], masked], axis=1), restore, axis=1, batch_dims=1)
        patches += tf.cast(self.positions, x.dtype)
        x = self.blocks(tf.concat([x[:, :1], patches], axis=1))  # the class token has no positional encoding
        return tf.cast(self.to_pixels(x[:, 1:]), tf.float32)


def _linear(input_dim, units, name):
    layer = keras.layers.Dense(units, kernel_initializer=initializers.xavier_uniform(None, name), name=name)
    layer.build((None, None, input_dim))
    return layer
