"""DenseCL (Wang et al., 2020, arXiv:2011.09157): MoCo v2, and the same once more for each position of the feature map.

A second head embeds every position of the backbone's last feature map. A position of the query's view belongs to the
position of the key's view whose backbone feature is most like its own, and must find it among the keys of a queue of
its own, which holds the mean dense embedding of each earlier image. It is made for tasks that tell where something is:
detection, segmentation.

As in MoCo (`moco.py`), the momentum encoder moves after the optimizer's step, and one device normalizes in `bn_splits`
groups what the paper spreads over 8 GPUs.
"""

import keras
import tensorflow as tf

from ssl_keras import losses
from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads, state
from ssl_keras.nn.shuffling_bn import ShufflingBN


@keras.saving.register_keras_serializable("ssl_keras")
class DenseCL(SSLModel):
    """DenseCL. The backbone's representation must be the mean of its last feature map, as a ResNet's is.

    Args:
        batch_size: images in the global batch, known from the settings.
        dense_weight: lambda of equation (3), in [0, 1]: share of the dense loss (section 3.2: 0.5). 0 is MoCo v2.
        queue_length: keys in each of the two queues (the released code: 65536); a multiple of the batch size.
        temperature: temperature of both softmaxes, > 0 (section 4.1: 0.2).
        momentum: the share of its old weights that the momentum encoder keeps in each step, in [0, 1) (the released
            code: 0.999).
        hidden_dim: width of the heads' hidden layers (section 4.1: 2048).
        projection_dim: dimension of queries and keys (section 4.1: 128).
        bn_splits: groups of the batch that are normalized separately, shuffled for the keys (the paper: 8 GPUs). 1: the
            whole batch together, without shuffling.
    """

    default_views = "moco_v2"
    compares_places = "matches the places of two views of one image"
    state = ("target", "queue", "dense_queue")

    def __init__(
        self,
        backbone,
        views=None,
        *,
        batch_size: int,
        dense_weight: float = 0.5,
        queue_length: int = 65536,
        temperature: float = 0.2,
        momentum: float = 0.999,
        hidden_dim: int = 2048,
        projection_dim: int = 128,
        bn_splits: int = 8,
    ):
        if not 0 <= dense_weight <= 1:
            raise UserError(f"dense_weight must be in [0, 1], got {dense_weight}")
        if temperature <= 0:
            raise UserError(f"temperature must be greater than 0, got {temperature}")
        if not 0 <= momentum < 1:
            raise UserError(f"momentum must be in [0, 1), got {momentum}")
        super().__init__(backbone, views, z_dim=projection_dim)
        trunk, channels = until_pooling(backbone), backbone.output_shape[-1]
        self.feature_map = trunk.__call__  # not the model itself: its layers are the backbone's
        self.projector = heads.moco_head(channels, hidden_dim, projection_dim)
        self.dense_projector = heads.moco_head(channels, hidden_dim, projection_dim, name="dense_projector")
        self.target = state.MomentumEncoder(trunk)
        self.target_projector = state.MomentumEncoder(self.projector, name="target_projector")
        self.target_dense_projector = state.MomentumEncoder(self.dense_projector, name="target_dense_projector")
        self.queue = state.FeatureQueue(queue_length, projection_dim, batch_size)
        self.dense_queue = state.FeatureQueue(queue_length, projection_dim, batch_size, name="dense_queue")
        self.bn, self.normalized_in = ShufflingBN(batch_size, bn_splits, backbone, self.target), bn_splits
        self.dense_weight, self.temperature, self.momentum = dense_weight, temperature, momentum

    def train_step(self, batch):
        x_q, x_k = self.make_views(batch)
        order = self.bn.order(self.draws(tf.range(self.bn.batch_size), 1))  # [B], the order in which keys are made
        shuffled = self.without_gradient(self.embed_keys, self.bn.shuffle(x_k, order))
        k, f_k, dense_k = (self.bn.mine(self.bn.restore(part, order)) for part in shuffled)

        def loss_of(q, f_q, dense_q):
            whole, dense = self.contrast(q, k), self.dense_contrast(f_q, dense_q, f_k, dense_k)
            return (1.0 - self.dense_weight) * whole + self.dense_weight * dense  # equation (3)

        loss, (q, *_) = self.minimize(self.embed_queries, loss_of, x_q)
        for encoder in (self.target, self.target_projector, self.target_dense_projector):
            encoder.update(self.momentum)
        self.queue.enqueue(k)
        self.dense_queue.enqueue(losses.l2_normalize(tf.reduce_mean(dense_k, axis=1)))
        return self.watch(loss, q)

    def embed_queries(self, x_q):
        """View [b, S, S, C] -> q [b, d], unit length; features f [b, P, c] and dense embeddings [b, P, d] of the P
        positions of the feature map."""
        maps = self.bn.in_groups(lambda x: self.feature_map(x, training=True), x_q)
        return _embedded(maps, self.projector, self.dense_projector)

    def embed_keys(self, x_k):
        """The same of the other view, by the momentum encoder."""
        return _embedded(self.bn.in_groups(self.target, x_k), self.target_projector, self.target_dense_projector)

    def contrast(self, q, k):
        """Equation (1): q [b, d] finds k [b, d] among the queue as it was before this step's keys."""
        return losses.info_nce(q, k, self.queue.read(), self.temperature, constant_negatives=True)

    def dense_contrast(self, f_q, dense_q, f_k, dense_k):
        """Equation (2): each position of the query finds that of the key which matches it.

        Args:
            f_q, f_k: features [b, P, c], of any norm.
            dense_q, dense_k: dense embeddings [b, P, d], of any norm.
        """
        positives = tf.gather(dense_k, matches(f_q, f_k), batch_dims=1)  # [b, P, d]
        queries, positives = (tf.reshape(losses.l2_normalize(x), [-1, self.z_dim]) for x in (dense_q, positives))
        return losses.info_nce(queries, positives, self.dense_queue.read(), self.temperature, constant_negatives=True)


def matches(f_q, f_k):
    """For each position of a query the position of its key whose feature has the highest cosine: int [b, P].

    Section 3.3, equation (4).

    Args:
        f_q, f_k: features [b, P, c], of any norm.
    """
    return tf.argmax(tf.matmul(losses.l2_normalize(f_q), losses.l2_normalize(f_k), transpose_b=True), axis=2)


def until_pooling(backbone):
    """The backbone without its last layer: images [B, S, S, C] -> feature map [B, s, s, c].

    Raises:
        UserError: the last layer is no global average pooling.
    """
    last = backbone.layers[-1]
    if not isinstance(last, keras.layers.GlobalAveragePooling2D):
        raise UserError(
            "dense_cl compares the positions of a feature map, so the backbone must end with GlobalAveragePooling2D, "
            f"as a ResNet does; {backbone.name} ends with {type(last).__name__}"
        )
    return keras.Model(backbone.inputs, last.input, name=f"{backbone.name}_map")


def _embedded(maps, projector, dense_projector):
    """Feature maps [b, s, s, c] -> global embedding [b, d], unit length; features [b, P, c]; dense [b, P, d].

    A head on each position is what the paper calls one of 1x1 convolutions.
    """
    b, positions, channels = tf.shape(maps)[0], maps.shape[1] * maps.shape[2], maps.shape[3]
    features = tf.reshape(tf.cast(maps, tf.float32), [b, positions, channels])
    whole = projector(tf.reduce_mean(features, axis=1), training=True)
    dense = dense_projector(tf.reshape(features, [b * positions, channels]), training=True)
    dense = tf.reshape(tf.cast(dense, tf.float32), [b, positions, dense.shape[-1]])
    return losses.l2_normalize(whole), features, dense


Method = DenseCL
