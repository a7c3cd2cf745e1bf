"""NNCLR (Dwibedi et al., 2021, arXiv:2104.14548): the positive is another image, the nearest among recent ones.

It is SimCLR with another anchor: not a view's own projection, but the nearest neighbor of that projection in a queue of
projections of earlier batches. So positives vary more than augmentations alone can make them. A predictor on the other
branch learns to reach them.
"""

import keras
import tensorflow as tf

from ssl_keras import chunked_loss, distribute, losses
from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads
from ssl_keras.nn.state import FeatureQueue


@keras.saving.register_keras_serializable("ssl_keras")
class NNCLR(SSLModel):
    """NNCLR.

    Args:
        temperature: temperature of the contrastive loss, > 0 (the paper: 0.1; usual on CIFAR-10: 0.2).
        queue_length: projections in the queue, among which neighbors are looked for; a multiple of the batch size (the
            paper: 98304).
        projection_dim: dimension of z and of its prediction (the paper: 256).
        projector_dim: width of the projector's two hidden layers (the paper: 2048).
        predictor_dim: width of the predictor's hidden layer (the paper: 4096).
        batch_size: images in the global batch, known from the settings.
    """

    default_views = "nnclr"
    smallest_batch = 2
    state = ("queue/",)

    def __init__(
        self,
        backbone,
        views=None,
        *,
        temperature: float = 0.1,
        queue_length: int = 98304,
        projection_dim: int = 256,
        projector_dim: int = 2048,
        predictor_dim: int = 4096,
        batch_size: int,
    ):
        if temperature <= 0:
            raise UserError(f"temperature must be greater than 0, got {temperature}")
        super().__init__(backbone, views, z_dim=projection_dim)
        h_dim = backbone.output_shape[-1]
        self.projector = heads.mlp((h_dim, projector_dim, projector_dim, projection_dim), "projector", "all")
        self.predictor = heads.mlp((projection_dim, predictor_dim, projection_dim), "predictor")
        self.queue = FeatureQueue(queue_length, projection_dim, batch_size)
        self.temperature = temperature

    def train_step(self, batch):
        x1, x2 = self.make_views(batch)
        loss, (z1, *_) = self.minimize(self.project_and_predict, self.contrast, x1, x2)
        self.queue.enqueue(losses.l2_normalize(z1))  # after the search: else each would find itself
        return self.watch(loss, z1)

    def project_and_predict(self, x1, x2):
        """Two views [b, S, S, C] -> z1, p1, z2, p2 [b, d]; each view with its own batch's statistics."""
        return *self._project_and_predict(x1), *self._project_and_predict(x2)

    def _project_and_predict(self, x):
        z = self.projector(self.backbone(x, training=True), training=True)
        return z, self.predictor(z, training=True)

    def contrast(self, z1, p1, z2, p2):
        """The loss of section 3.2 and the same with the views exchanged: the mean of both."""
        keys = self.queue.read()
        return (self.info_nce(nearest(z1, keys), p2) + self.info_nce(nearest(z2, keys), p1)) / 2

    def info_nce(self, neighbors, p):
        """Each neighbor tells its own image's prediction from those of all other images of the global batch.

        Args:
            neighbors: float32 [b, d], unit length, this replica's anchors.
            p: float [b, d], predictions of this replica's images; the gradient flows to those of all replicas.
        """
        p = losses.l2_normalize(p)
        b = tf.shape(p)[0]
        mine = distribute.replica_id() * b + tf.range(b)  # places in the global batch
        places = tf.range(distribute.num_replicas() * b)
        return losses.info_nce(neighbors, p, distribute.gather(p), self.temperature, mine, places)


def nearest(z, keys):
    """NN(z, Q): for each row of z the key with the largest cosine, without gradient.

    Args:
        z: float [b, d], of any norm.
        keys: float32 [length, d], unit length.

    Returns:
        float32 [b, d], rows of `keys`.
    """
    z = losses.l2_normalize(tf.stop_gradient(z))

    def closest(some):
        return tf.argmax(tf.matmul(some, keys, transpose_b=True), axis=1)

    if chunked_loss.fits(z.shape[0], keys.shape[0]):
        return tf.gather(keys, closest(z))
    chosen = tf.map_fn(
        closest, chunked_loss.chunks(z, keys.shape[0]), parallel_iterations=1, fn_output_signature=tf.int64
    )
    return tf.gather(keys, tf.reshape(chosen, [-1])[: z.shape[0]])


Method = NNCLR
