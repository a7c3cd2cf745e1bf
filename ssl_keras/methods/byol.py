"""BYOL (Grill et al., 2020, arXiv:2006.07733): predict what a slowly moving copy of yourself says of another view.

The online network (backbone, projector, predictor) learns to predict the projections of a target network. The target's
weights are an exponential moving average of the online ones. There are no negatives: predictor and moving target
together keep the outputs from collapsing.

Departure: the released code changes colors by other operations. It adds to the brightness, takes the contrast about
each channel's own mean, and changes the saturation in HSV. Here, as in all methods, they are torchvision's: a factor on
the brightness, the contrast about the mean of the gray image, and a blend with the gray image.
"""

import keras
import tensorflow as tf

from ssl_keras import losses
from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads
from ssl_keras.nn.state import MomentumEncoder
from ssl_keras.optim import schedules


@keras.saving.register_keras_serializable("ssl_keras")
class BYOL(SSLModel):
    """BYOL.

    Args:
        hidden_dim: width of the hidden layer of the projector and of the predictor (section 3.3: 4096).
        projection_dim: dimension of z and of its prediction (section 3.3: 256).
        base_momentum: tau_base in [0, 1], the share of its old weights that the target keeps in the first step (section
            3.3: 0.996). The share rises to 1 at the end of the run. 1 freezes the target; 0 stays 0 and makes the
            target the online network of the step before (table 5a).
        predictor: whether the online network has a predictor (table 5b). Without one, the outputs collapse.
        total_steps: K, optimizer steps of the whole run.
    """

    default_views = "byol"
    state = ("target/",)

    def __init__(
        self,
        backbone,
        views=None,
        *,
        hidden_dim: int = 4096,
        projection_dim: int = 256,
        base_momentum: float = 0.996,
        predictor: bool = True,
        total_steps: int,
    ):
        if not 0 <= base_momentum <= 1:
            raise UserError(f"base_momentum must be in [0, 1], got {base_momentum}")
        super().__init__(backbone, views, z_dim=projection_dim)
        self.projector = heads.byol_mlp(backbone.output_shape[-1], hidden_dim, projection_dim, "projector")
        self.predictor = heads.byol_mlp(projection_dim, hidden_dim, projection_dim, "predictor") if predictor else None
        # It starts with other weights, as in the released code: the first targets come from another random network.
        self.target = MomentumEncoder(backbone, self.projector, name="target", reseed=True)
        self.base_momentum = base_momentum
        self.total_steps = total_steps

    def train_step(self, batch):
        x1, x2 = self.make_views(batch)
        momentum = self.target_momentum(self.optimizer.iterations)
        t1, t2 = self.without_gradient(self.project_target, x1, x2)

        def regression(z1, p1, p2):
            """Equation (2) in both directions: a view's prediction meets the target's projection of the other view."""
            return self.distance(p1, t2) + self.distance(p2, t1)

        loss, (z1, *_) = self.minimize(self.project_and_predict, regression, x1, x2)
        self.target.update(momentum)
        return self.watch(loss, z1)

    def project_target(self, x1, x2):
        """Two views [b, S, S, C] -> the target's projections [b, d]; each view with its own batch's statistics."""
        return self.target(x1), self.target(x2)

    def project_and_predict(self, x1, x2):
        """Two views [b, S, S, C] -> z1, p1, p2 [b, d] of the online network."""
        z1, z2 = (self.projector(self.backbone(x, training=True), training=True) for x in (x1, x2))
        if self.predictor is None:
            return z1, z1, z2
        return z1, self.predictor(z1, training=True), self.predictor(z2, training=True)

    def signs(self, x1, x2):
        if self.predictor is None:
            return {}
        z = self.projector(self.backbone(x1, training=False), training=False)
        return {"predictor_cosine": -losses.negative_cosine(self.predictor(z, training=False), z)}

    @staticmethod
    def distance(p, t):
        """Mean over the rows of ‖N(p) - N(t)‖² = 2 - 2 cos(p, t), in [0, 4]: equation (2)."""
        return 2.0 + 2.0 * losses.negative_cosine(p, t)

    def target_momentum(self, step):
        """tau = 1 - (1 - tau_base) (1 + cos(pi k / K)) / 2 at step k (section 3.3); tau_base = 0 stays 0 (table 5a).

        Args:
            step: integer scalar, optimizer steps made before this one.
        """
        if self.base_momentum == 0:
            return tf.constant(0.0)
        progress = tf.cast(step, tf.float32) / self.total_steps
        return 1.0 - (1.0 - self.base_momentum) * schedules.half_cosine(progress)


Method = BYOL
