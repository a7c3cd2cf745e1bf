"""SwAV (Caron et al., 2020, arXiv:2006.09882): predict one view's cluster assignment from the other views.

Each view is compared with learned prototypes. The two large views are assigned to the prototypes online; Sinkhorn's
iterations balance the assignments over the batch, so that not all images fall into one cluster. Every other view, small
crops included, predicts them. Small batches use the features of a queue for the balance, too.

Departure: `queue_start` is a fraction of the run, not an epoch.
"""

import math

import keras
import tensorflow as tf

from ssl_keras import distribute, losses
from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads
from ssl_keras.nn.multi_crop import MultiCrop
from ssl_keras.nn.prototypes import Prototypes, code_signs, sinkhorn
from ssl_keras.nn.state import FeatureQueue


@keras.saving.register_keras_serializable("ssl_keras")
class SwAV(SSLModel):
    """SwAV.

    Args:
        hidden_dim: width of the projector's hidden layer (the released code: 2048).
        projection_dim: dimension of z (the released code: 128).
        prototypes: K, number of prototypes (the released code: 3000).
        temperature: temperature of the softmax over prototypes in the predictions, > 0 (the released code: 0.1).
        epsilon: smoothness of the assignments in Sinkhorn's iterations, > 0 (section 3.1): the smaller, the harder they
            are.
        sinkhorn_iterations: number of Sinkhorn's iterations, at least 1 (section 3.1: 3).
        queue_length: features of each large view that are kept to balance the assignments of small batches (section
            3.1), a multiple of the batch size. 0: none. The released code at batch 256: 3840.
        queue_start: fraction of the run, in [0, 1], after which the queue begins to fill; it counts when it is full.
            The released code: epoch 15 of 200.
        freeze_epochs: epochs at the start in which the optimizer leaves the prototypes alone (the released code: 1).
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
        # It takes in features from the first step on; once it counts, it holds only those since `queue_start`.
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

        All views of one size share a batch's statistics in the backbone, and all views in the projector, as in the
        released code.
        """
        z = self.projector(tf.concat(self.crops(*views), axis=0), training=True)
        scores = tf.split(self.prototypes(z), len(views))
        return *(losses.l2_normalize(part) for part in tf.split(z, len(views))[:2]), *scores

    def chance_loss(self, batch_size):
        return math.log(self.prototypes.count)

    def signs(self, x1, x2):
        scores = [self.prototypes(self.projector(self.backbone(x, training=False), training=False)) for x in (x1, x2)]
        codes = sinkhorn(scores[0], self.epsilon, self.sinkhorn_iterations)
        return code_signs(codes, tf.nn.softmax(scores[1] / self.temperature))

    def swapped_prediction(self, scores, remembered, use_queue):
        """Equation (1), as the mean over all pairs of a large view's assignment and another view (section 3.2).

        Args:
            scores: scores of all views, [b, K] each; the first two are those of the large views.
            remembered: scores of the two queues, [length, K] each; or nothing.
            use_queue: bool scalar, whether the queues count.
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
