"""Jigsaw puzzles (Noroozi and Favaro, 2016, arXiv:1603.09246): in which of P known orders are the tiles of this image?

The network sees each of nine tiles alone (the "context-free network") and only then all of them together. So it must
know parts of objects and cannot match borders. Countermeasures close the shortcuts one by one: gaps, random positions,
equal statistics of tiles, gray images, color channels out of register. Each can be switched off to see what it is worth
(table 5).

Departures: any backbone, at the size of the tiles and with shared weights, in place of AlexNet's columns; batch norm in
the head in place of dropout. The paper moves the channels of a tile by up to 2 pixels (`channel_jitter`). A widely used
reimplementation instead adds up to 2 gray levels to them (`channel_shift`), which the tiles' normalization undoes. Both
are on.
"""

import keras
import numpy as np
import tensorflow as tf

from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads, images
from ssl_keras.nn.multi_crop import at_size
from ssl_keras.views.pretext import permutations as sets
from ssl_keras.views.pretext.jigsaw import JigsawTiles


@keras.saving.register_keras_serializable("ssl_keras")
class Jigsaw(SSLModel):
    """Classifies the permutation by a siamese network of nine columns.

    Args:
        permutations: size of the set of permutations: 10, 100 or 1000 (table 4). The shipped sets have the greatest
            mean Hamming distance.
        permutation_file: text file of tools.make_permutations, read in place of a shipped set.
        tile: side of a tile in pixels (section 3: 64). 0: 64/75 of a cell, which is a third of the view.
        gap: whether gaps separate the tiles, against matching borders (table 5).
        jitter: whether each tile lies at a random position in its cell, against matching borders (table 5).
        normalize_tiles: whether all tiles get the same mean and variance, against comparing brightness (table 5).
        color: what hides chromatic aberration: "gray", the paper's means, which weaken it; or "drop", which shows one
            channel drawn at random and ends it.
        grayscale: probability that an image is shown in gray (with color=gray).
        channel_shift: most gray levels by which each channel of a tile is made brighter or darker; 0: none.
        channel_jitter: most pixels by which each channel of a tile is moved. 0: none; -1: 2/64 of the tile, at least 1.
        tile_dim: width of the layer that sees one tile (fc6 of figure 3).
        hidden_dim: width of the layer that sees all tiles (fc7 of figure 3).
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
        mean, std = images.statistics(backbone, np.float32) or (0.0, 1.0)
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
