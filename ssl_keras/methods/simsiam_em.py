"""SimSiam as alternating optimization (Chen and He, 2020, arXiv:2011.10566, section 5).

There are two sets of unknowns: the weights θ, and for each image x a representation η_x. They take turns. First θ is
held still and η is solved for: η_x <- F_θ(T'(x)) of a random view. Then θ takes k steps of SGD towards that η. k = 1 is
SimSiam. A moving average over a run's views can take the place of the single view: η_x <- m η_x + (1 - m) F_θ(T'(x)).
It needs no predictor (section 5.2): the predictor stands in for the expectation over augmentations.

The paper fills a cache with the η of the next k batches. Here a copy of the encoder keeps the weights of that moment
and computes η when each batch comes: the same η without the cache. The moving average is kept in a memory bank like
that of Wu et al., to which the paper points: it starts at random and has unit length. The paper leaves one thing open:
here the two views of the symmetric loss share one η, which moves by the mean of both.
"""

import keras
import tensorflow as tf

from ssl_keras import losses
from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads
from ssl_keras.nn.state import MemoryBank, MomentumEncoder


@keras.saving.register_keras_serializable("ssl_keras")
class SimSiamEM(SSLModel):
    """SimSiam with k steps per alternation.

    Args:
        inner_steps: k, optimizer steps between two updates of the weights that make η (section 5.2).
        average: m in [0, 1), the share of its old value that η_x keeps when its image comes (section 5.2: 0.8, without
            a predictor). 0: no moving average. The averages take 4 num_examples projection_dim bytes.
        predictor: whether there is a predictor. Without it and with average=0 the outputs collapse (section 5.2).
        projection_dim: dimension of z and p (section 3: 2048).
        predictor_dim: width of the predictor's hidden layer, a bottleneck (section 3: 512, a quarter of z).
        projector_layers: layers of the projector: 3 (ImageNet, section 3) or 2 (CIFAR-10, appendix D).
        num_examples: images of the data, known from it.
    """

    default_views = "simsiam"
    state = ("target/", "bank/")

    def __init__(
        self,
        backbone,
        views=None,
        *,
        inner_steps: int = 10,
        average: float = 0.0,
        predictor: bool = True,
        projection_dim: int = 2048,
        predictor_dim: int = 512,
        projector_layers: int = 3,
        num_examples: int,
    ):
        if inner_steps < 1:
            raise UserError(f"inner_steps must be at least 1, got {inner_steps}")
        if not 0 <= average < 1:
            raise UserError(f"average must be in [0, 1), got {average}")
        super().__init__(backbone, views, z_dim=projection_dim)
        self.projector = heads.simsiam_projector(backbone.output_shape[-1], projector_layers, projection_dim)
        self.predictor = heads.simsiam_predictor(projection_dim, predictor_dim) if predictor else None
        self.constant_lr = ("predictor",) if predictor else ()
        self.target = MomentumEncoder(backbone, self.projector, name="target")
        self.bank = MemoryBank(num_examples, projection_dim, name="bank") if average else None
        self.needs_index = self.bank is not None
        self.inner_steps = inner_steps
        self.average = average

    def train_step(self, batch):
        x1, x2 = self.make_views(batch)
        f1, f2 = self.without_gradient(self.project_target, x1, x2)
        eta1, eta2 = self.moved(batch["index"], f1), self.moved(batch["index"], f2)

        def symmetric_loss(z1, p1, p2):
            """Equation (5) as a cosine: each view moves towards the η that the other view's projection went into."""
            return losses.negative_cosine(p1, eta2) / 2 + losses.negative_cosine(p2, eta1) / 2

        loss, (z1, *_) = self.minimize(self.project_and_predict, symmetric_loss, x1, x2)
        if self.bank is not None:
            self.bank.update(batch["index"], (losses.l2_normalize(f1) + losses.l2_normalize(f2)) / 2, self.average)
        self.refresh()
        return self.watch(loss, z1)

    def project_target(self, x1, x2):
        """Two views [b, S, S, C] -> F(x1), F(x2) [b, d] with the weights of the last alternation."""
        return self.target(x1), self.target(x2)

    def project_and_predict(self, x1, x2):
        """Two views [b, S, S, C] -> z1, p1, p2 [b, d]; without a predictor, p is z."""
        z1, z2 = (self.projector(self.backbone(x, training=True), training=True) for x in (x1, x2))
        if self.predictor is None:
            return z1, z1, z2
        return z1, self.predictor(z1, training=True), self.predictor(z2, training=True)

    def moved(self, index, f):
        """η [b, d] of the images `index` [b], after the projection f [b, d] has gone into it."""
        if self.bank is None:
            return f
        return self.average * self.bank.lookup(index) + (1.0 - self.average) * losses.l2_normalize(f)

    def refresh(self):
        """Every k steps the copy takes the weights of the trained network."""
        due = tf.equal(tf.cast(self.optimizer.iterations, tf.int64) % self.inner_steps, 0)
        self.target.update(tf.where(due, 0.0, 1.0))


Method = SimSiamEM
