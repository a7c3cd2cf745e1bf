"""SimSiam (Chen and He, 2020, arXiv:2011.10566): one view's prediction meets the other view's projection, held still.

There are no negatives, no momentum encoder and no large batch: the stop-gradient alone keeps the encoder from giving
every image the same output. The arguments are the paper's studies (section 4); docs/methods.md has their results. The
alternating optimization that explains them (section 5) is the method `simsiam_em`.
"""

import keras
import tensorflow as tf

from ssl_keras import losses
from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn import heads

BATCH_NORMS = {  # table 3: after which linear layers of the projector, and of the predictor
    "none": ("none", "none"),
    "hidden": ("hidden", "hidden"),
    "default": ("all", "hidden"),
    "all": ("all", "all"),
}
CHOICES = {
    "predictor": ("mlp", "fixed", "none"),
    "predictor_lr": ("constant", "decayed"),
    "batch_norm": tuple(BATCH_NORMS),
    "similarity": ("cosine", "cross_entropy"),
    "symmetry": ("symmetric", "asymmetric", "asymmetric_2x"),
}


@keras.saving.register_keras_serializable("ssl_keras")
class SimSiam(SSLModel):
    """SimSiam.

    Args:
        projection_dim: dimension of z and p (section 3: 2048).
        predictor_dim: width of the predictor's hidden layer, a bottleneck (section 3: 512, a quarter of z).
        projector_layers: layers of the projector: 3 (ImageNet, section 3) or 2 (CIFAR-10, appendix D).
        last_bn_affine: whether the projector's last batch norm has gamma and beta: yes in the paper's text, no in its
            released code. Without them z cannot have a common offset, so a collapse shows less in z_std and more in the
            effective rank.
        stop_gradient: whether the target is held still. Without it the outputs collapse (section 4.1).
        predictor: "mlp" trains the predictor; "fixed" leaves it at its random start and does not learn; "none" leaves
            it out and collapses (section 4.2).
        predictor_lr: "constant": the predictor's learning rate does not decay, so that it follows the latest
            representations; "decayed": it decays like all others (section 4.2).
        batch_norm: where the heads have batch norm (table 3): "none"; "hidden" layers only; "default": also the
            projector's output; "all": also the predictor's output, which is unstable.
        similarity: "cosine", or "cross_entropy" between softmaxes over the channels (section 4.5).
        symmetry: "symmetric": each view predicts the other; "asymmetric": only view 1 predicts; "asymmetric_2x": so,
            with two pairs of views per image (section 4.6).
    """

    default_views = "simsiam"

    def __init__(
        self,
        backbone,
        views=None,
        *,
        projection_dim: int = 2048,
        predictor_dim: int = 512,
        projector_layers: int = 3,
        last_bn_affine: bool = True,
        stop_gradient: bool = True,
        predictor: str = "mlp",
        predictor_lr: str = "constant",
        batch_norm: str = "default",
        similarity: str = "cosine",
        symmetry: str = "symmetric",
    ):
        check_choices(
            predictor=predictor,
            predictor_lr=predictor_lr,
            batch_norm=batch_norm,
            similarity=similarity,
            symmetry=symmetry,
        )
        super().__init__(backbone, views, z_dim=projection_dim)
        projector_norm, predictor_norm = BATCH_NORMS[batch_norm]
        self.projector = heads.mlp(
            (backbone.output_shape[-1], *[projection_dim] * projector_layers),
            "projector",
            projector_norm,
            last_bn_center=last_bn_affine,
            last_bn_scale=last_bn_affine,
        )
        self.predictor = None
        if predictor != "none":
            self.predictor = heads.mlp((projection_dim, predictor_dim, projection_dim), "predictor", predictor_norm)
        if predictor == "fixed":
            for variable in self.predictor.trainable_variables:  # not the layers: frozen ones use moving statistics
                variable.trainable = False
        self.constant_lr = ("predictor",) if (predictor, predictor_lr) == ("mlp", "constant") else ()
        self.stop_gradient = stop_gradient
        self.similarity = similarity
        self.symmetry = symmetry

    def train_step(self, batch):
        loss, (z1, *_) = self.minimize(self.project_and_predict, self.siamese_loss, *self.make_views(batch))
        return self.watch(loss, z1)

    def make_views(self, batch, step=None):
        """One pair of views, or two. The second pair is drawn as at a step that no run reaches."""
        views = super().make_views(batch, step)
        if self.symmetry == "asymmetric_2x":
            step = -1 - tf.cast(self.optimizer.iterations, tf.int64)
            return [*views, *super().make_views(batch, step)]
        return views

    def project_and_predict(self, *views):
        """Views [b, S, S, C] -> z1, p1, z2, p2, ... [b, d]; each view with its own batch's statistics."""
        return tuple(embedding for x in views for embedding in self._project_and_predict(x))

    def _project_and_predict(self, x):
        z = self.projector(self.backbone(x, training=True), training=True)
        return z, z if self.predictor is None else self.predictor(z, training=True)

    def siamese_loss(self, z1, p1, z2, p2, *second_pair):
        """Equation (4), or one direction of it (section 4.6), for one pair of views or the mean over two."""
        if self.symmetry == "symmetric":
            return self.distance(p1, z2) / 2 + self.distance(p2, z1) / 2
        if self.symmetry == "asymmetric":
            return self.distance(p1, z2)
        _, p3, z4, _ = second_pair
        return self.distance(p1, z2) / 2 + self.distance(p3, z4) / 2

    def signs(self, x1, x2):
        if self.predictor is None:
            return {}
        z = self.projector(self.backbone(x1, training=False), training=False)
        return {"predictor_cosine": -losses.negative_cosine(self.predictor(z, training=False), z)}

    def distance(self, p, z):
        """D(p, stop_gradient(z)): minus the cosine (equation 1), or the cross-entropy of section 4.5."""
        z = tf.stop_gradient(z) if self.stop_gradient else z
        if self.similarity == "cosine":
            return losses.negative_cosine(p, z)
        p, z = tf.cast(p, tf.float32), tf.cast(z, tf.float32)
        return -tf.reduce_mean(tf.reduce_sum(tf.nn.softmax(z) * tf.nn.log_softmax(p), axis=-1))


def check_choices(**values):
    for name, value in values.items():
        if value not in CHOICES[name]:
            raise UserError(f"{name} must be one of {', '.join(CHOICES[name])}, got {value!r}")


Method = SimSiam
