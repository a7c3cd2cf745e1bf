"""MAE (He et al., 2022, arXiv:2111.06377): hide three quarters of an image's patches and paint them from the rest.

The encoder, a vision transformer, sees the visible patches alone, which makes it cheap. A small decoder gets a shared
mask token in place of the hidden patches and predicts all pixels; it is thrown away after training. Only the hidden
patches count in the loss.

What is shipped is the backbone, applied to whole images. Its features separate classes poorly by distances: judge them
by a linear probe or by fine-tuning, not by nearest neighbors.
"""

from typing import ClassVar

import keras
import tensorflow as tf

from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import masking, vit

EPSILON = 1e-6  # added to a patch's variance


@keras.saving.register_keras_serializable("ssl_keras")
class MAE(SSLModel):
    """Masked autoencoder; the backbone must be one of `vit.ARCHITECTURES`.

    Args:
        mask_ratio: share of the patches that is hidden, in (0, 1) (section 4.1: 0.75).
        decoder_dim: width of the decoder's tokens, a multiple of 4 and of decoder_heads (table 1b: 512).
        decoder_depth: transformer blocks of the decoder (table 1a: 8).
        decoder_heads: attention heads of the decoder.
        normalize_patches: whether each patch of the target has mean 0 and variance 1 (table 1d).
    """

    default_views = "mae"
    caveats: ClassVar[dict[str, str]] = {"knn": "distances tell a masked autoencoder's features poorly: go by linear"}

    def __init__(
        self,
        backbone,
        views=None,
        *,
        mask_ratio: float = 0.75,
        decoder_dim: int = 512,
        decoder_depth: int = 8,
        decoder_heads: int = 16,
        normalize_patches: bool = True,
    ):
        super().__init__(backbone, views)
        parts = {layer.name: layer for layer in backbone.layers}
        if not {"embed", "transformer"} <= set(parts):
            known = ", ".join(vit.ARCHITECTURES)
            raise UserError(
                f"mae hides patches of a vision transformer, got the backbone {backbone.name}: use {known}"
            )
        if decoder_dim % decoder_heads or decoder_dim % 4:
            raise UserError(
                f"decoder_dim must be a multiple of 4 and of decoder_heads={decoder_heads}, got {decoder_dim}"
            )
        self.input_parts = [parts[name] for name in ("gaps", "normalization") if name in parts]
        self.embed, self.transformer = parts["embed"], parts["transformer"]
        self.num_patches, dim = self.embed.output_shape[1:]
        self.patch = self.embed.get_layer("patch_projection").kernel_size[0]
        self.kept = int(self.num_patches * (1.0 - mask_ratio))  # cut off, as in the released code
        if not 0 < self.kept < self.num_patches:
            raise UserError(
                f"mask_ratio must hide some of the {self.num_patches} patches and leave some, got {mask_ratio}"
            )
        channels, side = self.embed.input_shape[-1], backbone.input_shape[1]
        self.decoder = masking.Decoder(
            dim, self.patch**2 * channels, side // self.patch, decoder_dim, decoder_depth, decoder_heads
        )
        self.normalize_patches = normalize_patches

    def train_step(self, batch):
        (images,) = self.make_views(batch)
        noise = self.draws(self.places(batch), self.num_patches)

        def loss_of(painted):
            return self.error(painted, images, noise)

        loss, _ = self.minimize(self.paint, loss_of, images, noise)
        return self.watch(loss)

    def paint(self, images, noise):
        """Images [b, S, S, C] and draws [b, N], of which the smallest are visible -> all patches [b, N, p·p·C]."""
        visible, restore = masking.shuffle_order(noise, self.kept)
        tokens = self.embed(self.normalized(images), training=True)
        encoded = self.transformer(tf.gather(tokens, visible, axis=1, batch_dims=1), training=True)
        return (self.decoder(encoded, restore),)

    def normalized(self, images):
        """Images as the backbone takes them into patches: what was not measured is filled, and is painted so."""
        for part in self.input_parts:
            images = part(images)
        return images

    def error(self, painted, images, noise):
        """Mean squared error of the hidden patches (section 3, "Reconstruction target")."""
        target = masking.split_patches(self.normalized(images), self.patch)
        if self.normalize_patches:
            target = _standardized(target)
        _, restore = masking.shuffle_order(noise, self.kept)
        hidden = tf.cast(restore >= self.kept, tf.float32)
        errors = tf.reduce_mean((painted - target) ** 2, axis=-1)
        return tf.reduce_mean(tf.reduce_sum(errors * hidden, axis=1)) / (self.num_patches - self.kept)


def _standardized(patches):
    """Gives each patch mean 0 and (unbiased) variance 1, as the released code does."""
    centered = patches - tf.reduce_mean(patches, axis=-1, keepdims=True)
    variance = tf.reduce_sum(centered**2, axis=-1, keepdims=True) / (patches.shape[-1] - 1)
    return centered * tf.math.rsqrt(variance + EPSILON)


Method = MAE
