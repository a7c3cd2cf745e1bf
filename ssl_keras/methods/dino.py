"""DINO (Caron et al., 2021, arXiv:2104.14294): a student matches the output of its own moving average, a teacher.

Student and teacher turn each view into a distribution over K outputs. The teacher sees only the two large views. Two
things keep it from giving every image the same output: a center that is subtracted, and a low temperature. The
teacher's backbone is what is evaluated and shipped.

Departures: the student has no drop-path (its ViT has none). Positional encodings are sines and cosines and weights
start as Xavier's; the paper's ViT learns its positional encodings and stretches them for small crops.
"""

import math

import keras
import tensorflow as tf

from ssl_keras import distribute
from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel
from ssl_keras.nn.multi_crop import MultiCrop
from ssl_keras.nn.norm import normalization
from ssl_keras.nn.prototypes import Prototypes, code_signs
from ssl_keras.nn.state import MomentumEncoder
from ssl_keras.optim.schedules import half_cosine


@keras.saving.register_keras_serializable("ssl_keras")
class DINO(SSLModel):
    """DINO.

    Args:
        hidden_dim: width of the head's two hidden layers (section 3.1: 2048).
        bottleneck_dim: dimension of the head's normalized output, which the last layer compares with its directions.
        head_batch_norm: whether the head's two hidden layers have batch normalization. The paper's ViTs have none
            (section 3.1); ResNets start much faster with it.
        prototypes: K, outputs of the last layer, over which the distributions are.
        student_temperature: temperature of the student's softmax, > 0 (section 3.2: 0.1).
        teacher_temperature: temperature of the teacher's softmax after its warm-up, > 0 (section 3.2: 0.07).
        teacher_temperature_start: temperature of the teacher's softmax in the first step, > 0 (section 3.2: 0.04).
        teacher_warmup: fraction of the run, in [0, 1], in which the teacher's temperature rises (section 3.2).
        momentum: share of its old weights that the teacher keeps in the first step, in [0, 1]; it rises to 1 along a
            cosine (section 3.1: 0.996; the authors' code advises 0.9995 for small batches such as 256).
        center_momentum: share of the old center in the new one, in [0, 1] (equation (4)).
        freeze_epochs: epochs at the start in which the optimizer leaves the last layer alone.
        norm_last_layer: whether the last layer's directions keep unit length. False: each learns its length; the
            authors' README advises this for ViT-S and calls it unstable otherwise.
    """

    default_views = "dino"
    multi_crop = True
    state = ("target/", "center/")

    def __init__(
        self,
        backbone,
        views=None,
        *,
        num_examples: int,
        batch_size: int,
        total_steps: int,
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        head_batch_norm: bool = False,
        prototypes: int = 65536,
        student_temperature: float = 0.1,
        teacher_temperature: float = 0.07,
        teacher_temperature_start: float = 0.04,
        teacher_warmup: float = 0.1,
        momentum: float = 0.996,
        center_momentum: float = 0.9,
        freeze_epochs: float = 1.0,
        norm_last_layer: bool = True,
    ):
        temperatures = {
            "student_temperature": student_temperature,
            "teacher_temperature": teacher_temperature,
            "teacher_temperature_start": teacher_temperature_start,
        }
        for name, value in temperatures.items():
            if value <= 0:
                raise UserError(f"{name} must be greater than 0, got {value}")
        shares = {"teacher_warmup": teacher_warmup, "momentum": momentum, "center_momentum": center_momentum}
        for name, value in shares.items():
            if not 0 <= value <= 1:
                raise UserError(f"{name} must lie in [0, 1], got {value}")
        super().__init__(backbone, views, z_dim=bottleneck_dim)
        self.crops = MultiCrop(backbone, [policy.size for policy in self.views.views])
        self.head = projection_head(backbone.output_shape[-1], hidden_dim, bottleneck_dim, head_batch_norm)
        self.prototypes = Prototypes(prototypes, bottleneck_dim, weight_norm=True, learn_length=not norm_last_layer)
        last = keras.Sequential([keras.Input((bottleneck_dim,)), self.prototypes])
        self.target = MomentumEncoder(backbone, self.head, last)
        self.center = Center(prototypes, center_momentum)
        self.student_temperature = student_temperature
        self.teacher_temperatures = teacher_temperature_start, teacher_temperature
        self.warmup_steps = max(teacher_warmup * total_steps, 1.0)
        self.momentum, self.total_steps = momentum, total_steps
        self.held = {"prototypes": math.ceil(freeze_epochs * (num_examples // batch_size))}

    @property
    def encoder(self):
        """The teacher's backbone: it is better than the student's throughout training (section 3.1)."""
        return self.target.models[0]

    def train_step(self, batch):
        step = tf.cast(self.optimizer.iterations, tf.float32)
        views = self.make_views(batch)
        teacher = self.without_gradient(self.teach, *views[:2])
        temperature = self.temperature_at(step)

        def loss_of(z1, *scores):
            return self.cross_entropy(teacher, scores, temperature)

        loss, (z1, *_) = self.minimize(self.compare, loss_of, *views)
        self.target.update(1.0 - (1.0 - self.momentum) * half_cosine(step / self.total_steps))
        self.center.update(teacher)
        return self.watch(loss, z1)

    def teach(self, x1, x2):
        """The large views [b, S, S, C] -> the teacher's outputs [b, K] of each, before the center is subtracted."""
        return tuple(tf.split(self.target(tf.concat([x1, x2], axis=0)), 2))

    def compare(self, *views):
        """Views [b, s_v, s_v, C] -> the first view's z [b, d], and the student's outputs [b, K] of all views."""
        z = self.head(tf.concat(self.crops(*views), axis=0), training=True)
        return tf.split(z, len(views))[0], *tf.split(self.prototypes(z), len(views))

    def cross_entropy(self, teacher, student, temperature):
        """Equation (3): the mean over all pairs of a teacher's large view and another view of the student's."""
        log_p = [tf.nn.log_softmax(s / self.student_temperature) for s in student]
        loss = 0.0
        for i, output in enumerate(teacher):
            target = tf.nn.softmax((output - self.center.mean) / temperature)
            others = sum(log_p[v] for v in range(len(student)) if v != i) / (len(student) - 1)
            loss -= tf.reduce_mean(tf.reduce_sum(target * others, axis=-1)) / len(teacher)
        return loss

    def chance_loss(self, batch_size):
        return math.log(self.prototypes.count)

    def signs(self, x1, x2):
        temperature = self.temperature_at(tf.cast(self.optimizer.iterations, tf.float32))
        codes = tf.nn.softmax((self.target(x1, training=False) - self.center.mean) / temperature)
        student = self.prototypes(self.head(self.backbone(x2, training=False), training=False))
        return code_signs(codes, tf.nn.softmax(student / self.student_temperature))

    def temperature_at(self, step):
        """The teacher's temperature at a step, float32 scalar."""
        start, end = self.teacher_temperatures
        return start + (end - start) * tf.minimum(step / self.warmup_steps, 1.0)


class Center(keras.layers.Layer):
    """The moving average of the teacher's outputs, equation (4)."""

    def __init__(self, dim, momentum, name="center"):
        super().__init__(name=name)
        self.mean = self.add_weight(shape=(dim,), initializer="zeros", trainable=False, dtype="float32", name="mean")
        self.momentum = momentum
        self.built = True

    def update(self, outputs):
        """c = m c + (1 - m) mean, over views and global batch, of `outputs` [b, K] each. Call it after the loss."""
        new = distribute.mean(tf.reduce_mean(tf.concat(outputs, axis=0), axis=0))
        self.mean.assign(self.momentum * self.mean + (1.0 - self.momentum) * new)


def projection_head(input_dim, hidden_dim, output_dim, batch_norm=False):
    """DINO's head up to its last layer: three linear layers with GELU between them (section 3.1)."""
    head = keras.Sequential([keras.Input((input_dim,), name="features")], name="head")
    for i, units in enumerate((hidden_dim, hidden_dim, output_dim), 1):
        # The released code cuts this off at ±2, a hundred deviations away; Keras's `TruncatedNormal` at two.
        initial = keras.initializers.RandomNormal(stddev=0.02)
        head.add(keras.layers.Dense(units, kernel_initializer=initial, name=f"head_linear{i}"))
        if i < 3 and batch_norm:
            head.add(normalization(f"head_bn{i}", units, vector=True))
        if i < 3:
            head.add(keras.layers.Activation("gelu", name=f"head_gelu{i}"))
    return head


Method = DINO
