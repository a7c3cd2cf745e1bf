"""Jigsaw puzzles (Noroozi and Favaro, 2016, arXiv:1603.09246): in which of P known orders are the tiles of this image?

The network sees each of nine tiles alone (the "context-free network") and only then all of them together, so that it
must know parts of objects, not match borders. Shortcuts are closed one by one: gaps, random places, equal statistics
of tiles, images without colour, channels out of register; each can be opened to see its worth (table 5).

Departures: any backbone, at the size of the tiles and with shared weights, in place of AlexNet's columns; batch norm
in the head in place of dropout. The paper moves the channels of a tile by up to 2 pixels (`channel_jitter`); a widely
used reimplementation adds up to 2 levels to them (`channel_shift`), which the tiles' normalization undoes. Both are on.
"""

import keras
import tensorflow as tf

from ssl_keras.data import permutations as sets
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads
from ssl_keras.nn.multi_crop import at_size
from ssl_keras.views.patches import JigsawTiles, input_statistics


@keras.saving.register_keras_serializable("ssl_keras")
class Jigsaw(SSLModel):
    """Classification of the permutation by a siamese network of nine columns.

    Args:
        permutations: how many: 10, 100 or 1000, the shipped sets of greatest mean Hamming distance.
        permutation_file: instead, a text file of `tools.make_permutations`.
        tile: side of a tile in pixels; 0: 64/75 of a cell, which is a third of the view.
        gap, jitter, normalize_tiles, grayscale, channel_shift: the countermeasures; False or 0: without (see
            `patches.JigsawTiles`).
        color: "gray", the paper's means against chromatic aberration, which weaken it; or "drop", which ends it.
        channel_jitter: pixels by which a tile's channels are moved; 0: none; -1: 2/64 of the tile, at least 1.
        tile_dim: width of the layer that each tile has (fc6).
        hidden_dim: width of the layer that all tiles share (fc7).
    """

    default_views = "supervised"  # crop and flip
    cuts_views = True

    def __init__(
        self,
        backbone,
        views=None,
        *,
        permutations: int = 1000,
        permutation_file: str = "",
        tile: int = 0,
        gap: bool = True,
        jitter: bool = True,
        normalize_tiles: bool = True,
        color: str = "gray",
        grayscale: float = 0.3,
        channel_shift: int = 2,
        channel_jitter: int = -1,
        tile_dim: int = 512,
        hidden_dim: int = 4096,
    ):
        super().__init__(backbone, views)
        orders = sets.read(permutation_file) if permutation_file else sets.shipped(permutations)
        mean, std = input_statistics(backbone)
        channel_jitter = None if channel_jitter < 0 else channel_jitter
        countermeasures = (gap, jitter, normalize_tiles, color, grayscale, channel_shift, channel_jitter)
        self.tiles = JigsawTiles(orders, tile or None, *countermeasures, mean, std, self.views.seed)
        self.column = at_size(backbone, self.tiles.geometry(self.views.image_size)[0])
        h_dim = backbone.output_shape[-1]
        self.tile_head = heads.mlp((h_dim, tile_dim), "tile_head", batch_norm="all")
        self.classifier = heads.mlp((9 * tile_dim, hidden_dim, len(orders)), "classifier")
        self.accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        self.chance = keras.metrics.Mean(name="chance")

    def train_step(self, batch):
        (x,) = self.make_views(batch)
        tiles, order = self.tiles(x, step=self.optimizer.iterations)

        def cross_entropy(logits):
            return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(order, logits))

        loss, (logits,) = self.minimize(self.solve, cross_entropy, tiles)
        self.accuracy.update_state(order, logits)
        self.chance.update_state(1 / logits.shape[-1])
        return self.watch(loss)

    def solve(self, tiles):
        """Tiles in the order presented [b, 9, t, t, C] -> (logits [b, P],)."""
        h = self.column(tf.reshape(tiles, [-1, *tiles.shape[2:]]), training=True)
        fc6 = tf.nn.relu(self.tile_head(h, training=True))
        together = tf.reshape(fc6, [-1, 9 * fc6.shape[-1]])
        return (tf.cast(self.classifier(together, training=True), tf.float32),)


Method = Jigsaw
