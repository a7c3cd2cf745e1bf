"""LeJEPA (Balestriero and LeCun, 2025, arXiv:2511.08544): the views of an image meet, and embeddings become Gaussian.

Each view's projection is drawn to the mean of the projections of the image's large views. SIGReg (sketched isotropic
Gaussian regularization) keeps the embeddings from collapsing: projected on random directions, they are compared with a
standard normal distribution by their characteristic functions (the test of Epps and Pulley). There is no stop-gradient,
no momentum encoder, no predictor and no queue. The means over the batch are those of the global batch, so steps are the
same on any number of devices.

Departure: none is known in the loss. The paper's views are not told in all details; the recipe `lejepa` takes bicubic
resizing and the jitter of DINO's.
"""

import math

import keras
import tensorflow as tf

from ssl_keras import distribute
from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads
from ssl_keras.nn.multi_crop import MultiCrop

POINTS = 17  # at which characteristic functions are compared, from 0
LAST = 3.0  # the last of them


@keras.saving.register_keras_serializable("ssl_keras")
class LeJEPA(SSLModel):
    """LeJEPA.

    Args:
        weight: lambda, in [0, 1]: share of SIGReg in the loss, against the distance of the views (the released scripts:
            0.05). With 0 the embeddings collapse.
        slices: M, random directions on which embeddings are projected, new in each step (the released scripts: 1024).
        hidden_dim: width of the projector's two hidden layers (the released scripts: 2048).
        projection_dim: dimension of z (the released scripts: 16 to 512).
    """

    default_views = "lejepa"
    smallest_batch = 2
    multi_crop = True

    def __init__(
        self,
        backbone,
        views=None,
        *,
        weight: float = 0.05,
        slices: int = 1024,
        hidden_dim: int = 2048,
        projection_dim: int = 64,
    ):
        if not 0 <= weight <= 1:
            raise UserError(f"weight must be in [0, 1], got {weight}")
        if slices < 1:
            raise UserError(f"slices must be at least 1, got {slices}")
        super().__init__(backbone, views, z_dim=projection_dim)
        sizes = [policy.size for policy in self.views.views]
        self.crops, self.large = MultiCrop(backbone, sizes), sizes.count(sizes[0])
        self.projector = heads.mlp((backbone.output_shape[-1], hidden_dim, hidden_dim, projection_dim), "projector")
        self.weight, self.slices = weight, slices

    def train_step(self, batch):
        directions = random_directions(self.draws(tf.range(self.z_dim), 2 * self.slices))  # [d, M]

        def loss_of(*z):
            return self.jepa(z, directions)

        loss, (z1, *_) = self.minimize(self.project, loss_of, *self.make_views(batch))
        return self.watch(loss, z1)

    def project(self, *views):
        """Views [b, s_v, s_v, C], the large ones first -> for each z [b, d].

        All views of one size share a batch's statistics in the backbone, and all views in the projector.
        """
        z = self.projector(tf.concat(self.crops(*views), axis=0), training=True)
        return tuple(tf.split(tf.cast(z, tf.float32), len(views)))

    def jepa(self, z, directions):
        """(1 - lambda) · prediction + lambda · SIGReg, each a mean over the views.

        Args:
            z: a float32 [b, d] for each view.
            directions: float32 [d, M], unit columns.
        """
        center = tf.add_n(z[: self.large]) / self.large  # of the large views
        prediction = tf.add_n([tf.reduce_mean((view - center) ** 2) for view in z]) / len(z)
        gaussian = tf.add_n([sigreg(view, directions) for view in z]) / len(z)
        return (1.0 - self.weight) * prediction + self.weight * gaussian


def sigreg(z, directions):
    """SIGReg: how far the global batch's embeddings are from a standard normal distribution.

    N · ∫ |φ_z(t) - exp(-t²/2)|² exp(-t²/2) dt over [-3, 3], by the trapezoidal rule; the mean over the directions. φ_z
    is the characteristic function of the N embeddings' projections on a direction.

    Args:
        z: float32 [b, d], this replica's rows of the global batch.
        directions: float32 [d, M], unit columns, the same on all replicas.

    Returns:
        float32 scalar >= 0, the same on all replicas. For N draws of a standard normal distribution about 1, whatever
        N is: sampling noise falls as 1/N.
    """
    total = tf.cast(tf.shape(z)[0] * distribute.num_replicas(), tf.float32)
    cosines, sines = map(distribute.mean, characteristic_function(tf.matmul(z, directions)))  # [T, M] each
    t = tf.linspace(0.0, LAST, POINTS)[1:, tf.newaxis]  # at 0 every characteristic function is 1
    normal = tf.exp(-(t**2) / 2)
    step = LAST / (POINTS - 1)
    # The integrand is even: an inner point stands for its mirror image too, the last one for half of its step.
    weights = tf.concat([tf.fill([POINTS - 2, 1], 2.0 * step), [[step]]], axis=0)
    error = (cosines - normal) ** 2 + sines**2
    return total * tf.reduce_mean(tf.reduce_sum(weights * normal * error, axis=0))


@tf.custom_gradient
def characteristic_function(u):
    """The means over the rows of cos(t·u) and sin(t·u) at the points t but 0: [n, M] -> [T, M] each.

    cos and sin of a multiple follow from those before by rotation. The gradient makes them once more: TensorFlow's own
    would keep [T, n, M] of them.
    """
    step = LAST / (POINTS - 1)
    n = tf.cast(tf.shape(u)[0], tf.float32)

    def multiples():
        c1, s1 = tf.cos(step * u), tf.sin(step * u)
        c, s = c1, s1
        for k in range(1, POINTS):
            yield k * step, c, s
            c, s = c * c1 - s * s1, s * c1 + c * s1

    means = [(tf.reduce_mean(c, axis=0), tf.reduce_mean(s, axis=0)) for _, c, s in multiples()]

    def gradient(to_cosines, to_sines):
        parts = [t * (to_sines[k] * c - to_cosines[k] * s) for k, (t, c, s) in enumerate(multiples())]
        return tf.add_n(parts) / n

    cosines, sines = (tf.stack(part) for part in zip(*means))
    return (cosines, sines), gradient


def random_directions(draws):
    """Directions uniform on the sphere, float32 [d, M] with unit columns, from draws U(0, 1) [d, 2 M]."""
    radius, angle = tf.split(draws, 2, axis=1)
    normals = tf.sqrt(-2.0 * tf.math.log(1.0 - radius)) * tf.cos(2.0 * math.pi * angle)  # Box and Muller (1958)
    return tf.math.l2_normalize(normals, axis=0)


Method = LeJEPA
