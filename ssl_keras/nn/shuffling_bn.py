"""Shuffling BN (MoCo, arXiv:1911.05722, section 3.3): a query and its key are not normalized by the same images.

If they were, the batch's statistics would tell which key belongs to a query, and the loss would fall without learning.
The paper normalizes on each of its 8 GPUs separately, and lets keys change places among them. Here the groups are parts
of the batch that go through the network one after another. So one device does what 8 do, and several do what one does.

The moving statistics move once a step, by the mean over the groups. This is a departure: each of the paper's GPUs moves
its own once, and the shipped model has those of the first GPU, which have the same mean and more noise.
"""

import math

import keras
import tensorflow as tf

from ssl_keras import distribute
from ssl_keras.errors import UserError
from ssl_keras.nn.batch_norm import one_pass, stock_layers


class ShufflingBN:
    """Says which images of a global batch are normalized together.

    Args:
        batch_size: images in the global batch.
        splits: groups in which a batch is normalized, the paper's number of GPUs; 1: the whole batch together.
        networks: networks that are called in groups.

    Raises:
        UserError: a batch that does not divide into `splits` equal groups on each replica.
    """

    def __init__(self, batch_size: int, splits: int, *networks: keras.layers.Layer):
        replicas = distribute.num_replicas()
        if splits < 1 or batch_size % (splits * replicas):
            possible = math.gcd(batch_size // replicas, max(splits, 1))
            nearest = max(round(batch_size / (max(splits, 1) * replicas)), 1) * max(splits, 1) * replicas
            raise UserError(
                f"bn_splits must be at least 1, and the batch size a multiple of bn_splits x replicas; got bn_splits="
                f"{splits}, {replicas} replica(s) and batch size {batch_size}: use bn_splits={possible} or a batch "
                f"size of {nearest}"
            )
        self.batch_size, self.splits = batch_size, splits
        self.others = stock_layers(*networks)
        self.replica_rows = batch_size // replicas
        self.group_rows = self.replica_rows // splits

    def in_groups(self, encode, x):
        """`encode(x)`, where batch normalization sees one group at a time; its moving statistics move once for all.

        With synchronized batch normalization, group g of all replicas is what group g of one would be.

        Args:
            encode: [n, ...] -> [n, ...].
            x: [b, ...], this replica's batch, or an equal piece of it. Groups keep their size, unless that does not
                divide the piece.

        Returns:
            [b, ...], rows in the order of `x`.
        """
        groups = math.gcd(x.shape[0], max(x.shape[0] // self.group_rows, 1))
        outputs = []
        for g in range(groups):
            with one_pass(g + 1, groups, self.others):
                outputs.append(encode(x[g::groups]))
        return tf.reshape(tf.stack(outputs, axis=1), [x.shape[0], *outputs[0].shape[1:]])

    def order(self, draws):
        """A permutation of the global batch: int32 [B], from draws U(0, 1) [B, 1] that are the same on all replicas."""
        return tf.argsort(draws[:, 0]) if self.splits > 1 else tf.range(self.batch_size)

    def shuffle(self, x, order):
        """This replica's part [b, ...] of the global batch in another order."""
        return self.mine(distribute.gather(x), order)

    def restore(self, shuffled, order):
        """The *global* batch [B, ...] in its own order again, from this replica's part [b, ...]."""
        return tf.gather(distribute.gather(shuffled), tf.argsort(order))

    def mine(self, x, order=None):
        """This replica's rows [b, ...] of a global [B, ...]; if an `order` is given, of the rows in that order."""
        places = distribute.replica_id() * self.replica_rows + tf.range(self.replica_rows)
        return tf.gather(x, places if order is None else tf.gather(order, places))
