"""SwAV (Caron et al., 2020, arXiv:2006.09882): one view's cluster assignment is predicted from the other views.

Each view is compared with learned prototypes. Assignments of the two large views are computed online, balanced over the
batch by Sinkhorn's iterations so that not all images fall into one cluster, and every other view, small crops included,
predicts them. Small batches borrow the features of a queue for the balance.

Departure: from where on the queue fills is a fraction of the run, not an epoch.
"""

import math

import keras
import tensorflow as tf

from ssl_keras import distribute, losses
from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads
from ssl_keras.nn.multi_crop import MultiCrop
from ssl_keras.nn.prototypes import Prototypes, sinkhorn
from ssl_keras.nn.state import FeatureQueue


@keras.saving.register_keras_serializable("ssl_keras")
class SwAV(SSLModel):
    """SwAV.

    Args:
        hidden_dim: width of the projector's hidden layer.
        projection_dim: dimension of z.
        prototypes: how many.
        temperature: of the predictions, > 0.
        epsilon: of Sinkhorn's iterations, > 0: the smaller, the harder are the assignments.
        sinkhorn_iterations: at least 1.
        queue_length: features of each large view, a multiple of the batch size, that help to balance the
            assignments; 0: none (3840 at batch 256).
        queue_start: fraction of the run after which the queue fills (epoch 15 of 200), in [0, 1]; it is used once it
            is full.
        freeze_epochs: epochs at the start in which the optimizer leaves the prototypes alone (see `optim`).
    """

    default_views = "swav"
    smallest_batch = 2
    multi_crop = True
    state = ("queue",)

    def __init__(
        self,
        backbone,
        views=None,
        *,
        num_examples: int,
        batch_size: int,
        total_steps: int,
        hidden_dim: int = 2048,
        projection_dim: int = 128,
        prototypes: int = 3000,
        temperature: float = 0.1,
        epsilon: float = 0.05,
        sinkhorn_iterations: int = 3,
        queue_length: int = 0,
        queue_start: float = 0.075,
        freeze_epochs: float = 1.0,
    ):
        for name, value in {"temperature": temperature, "epsilon": epsilon, "prototypes": prototypes}.items():
            if value <= 0:
                raise UserError(f"{name} must be greater than 0, got {value}")
        if sinkhorn_iterations < 1:
            raise UserError(f"sinkhorn_iterations must be at least 1, got {sinkhorn_iterations}")
        if not 0 <= queue_start <= 1:
            raise UserError(f"queue_start must be a fraction of the run, in [0, 1], got {queue_start}")
        super().__init__(backbone, views, z_dim=projection_dim)
        self.crops = MultiCrop(backbone, [policy.size for policy in self.views.views])
        dims = (backbone.output_shape[-1], hidden_dim, projection_dim)
        self.projector = heads.mlp(dims, "projector", use_bias=(True, True))
        self.prototypes = Prototypes(prototypes, projection_dim)
        self.temperature, self.epsilon, self.sinkhorn_iterations = temperature, epsilon, sinkhorn_iterations
        self.queues = []
        if queue_length:
            self.queues = [FeatureQueue(queue_length, projection_dim, batch_size, f"queue{i}") for i in (1, 2)]
        # It holds the newest features at any time: what came in before its start is gone once it counts.
        self.queue_from = math.ceil(queue_start * total_steps) + queue_length // batch_size
        self.held = {"prototypes": math.ceil(freeze_epochs * (num_examples // batch_size))}

    def train_step(self, batch):
        step = tf.cast(self.optimizer.iterations, tf.float32)
        self.prototypes.normalize()
        remembered = [self.prototypes(queue.read()) for queue in self.queues]  # the queue's scores

        def loss_of(z1, z2, *scores):
            return self.swapped_prediction(scores, remembered, step >= self.queue_from)

        loss, (z1, z2, *_) = self.minimize(self.compare, loss_of, *self.make_views(batch))
        for queue, z in zip(self.queues, (z1, z2)):
            queue.enqueue(z)
        return self.watch(loss, z1)

    def compare(self, *views):
        """Views [b, s_v, s_v, C] -> z1, z2 [b, d] of unit length, and the scores [b, K] of all views.

        One batch of statistics for all views of a size, and one for all in the projector, as in the released code.
        """
        z = self.projector(tf.concat(self.crops(*views), axis=0), training=True)
        scores = tf.split(self.prototypes(z), len(views))
        return *(losses.l2_normalize(part) for part in tf.split(z, len(views))[:2]), *scores

    def swapped_prediction(self, scores, remembered, use_queue):
        """Equation (1), as the mean over all pairs of a large view's assignment and another view (section 3.2).

        Args:
            scores: of all views, [b, K] each; the first two are those of the large ones.
            remembered: of the two queues, [length, K] each; or nothing.
            use_queue: bool scalar, whether those count.
        """
        log_p = [tf.nn.log_softmax(s / self.temperature) for s in scores]
        loss = 0.0
        for i in range(2):
            queue = remembered[i] if remembered else None
            assignment = self.assign(scores[i], queue, use_queue)
            others = sum(log_p[v] for v in range(len(scores)) if v != i) / (len(scores) - 1)
            loss -= tf.reduce_mean(tf.reduce_sum(assignment * others, axis=-1)) / 2
        return loss

    def assign(self, scores, queue, use_queue):
        """Balanced assignments [b, K] of this replica's scores [b, K], held still: equation (3), global batch."""
        everything, used = distribute.gather(scores), None
        if queue is not None:
            counted = tf.fill(tf.shape(queue)[:1], tf.cast(use_queue, tf.float32))
            used = tf.concat([tf.ones(tf.shape(everything)[:1]), counted], axis=0)
            everything = tf.concat([everything, queue], axis=0)
        q = sinkhorn(everything, self.epsilon, self.sinkhorn_iterations, used)
        b = tf.shape(scores)[0]
        first = distribute.replica_id() * b
        return q[first : first + b]


Method = SwAV
