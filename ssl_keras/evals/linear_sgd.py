"""Linear classification by gradient descent on frozen features: the papers' protocols by name.

`linear` solves the same problem to its end and depends on no such constants: it is the better number. These are for a
number beside a published one. Each is the protocol of its paper or code but for one thing: the features are those of
center crops, taken once, where the papers train on random crops and flips of each epoch. So it takes seconds, and
accuracy is a little lower where images are few.

Their constants are for the 1.28 million images of ImageNet. On some thousands of images most end long before they have
converged, those with large batches or LARS first, which a row then says: give them more epochs, or read `linear`.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from ssl_keras import optim
from ssl_keras.data.canvases.order import epoch_order
from ssl_keras.errors import UserError
from ssl_keras.evals import linear
from ssl_keras.evals.features import Features, check, sizes
from ssl_keras.evals.few import part
from ssl_keras.evals.subject import Row, Subject
from ssl_keras.words import nearest

NEEDS = ("features", "labels")
IMAGENET = 1_281_167  # images of the papers
FEWER = 0.1  # share of the images that the papers' trainings see below which a row says so
ROWS = 16_384  # features that are classified at a time


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a linear classifier is trained.

    Args:
        optimizer: name, see `optim.build_optimizer`; momentum is 0.9.
        rates: learning rates for 256 images, by which the one for a batch is scaled linearly. Of several the best is
            chosen on held-out training rows.
        schedule: "step": a tenth after 60 % and again after 80 % of training; "cosine": to 0, step by step.
        epochs: passes through the training features.
        batch_size: features in a batch.
        warmup: share of training in which the rate rises to its peak.
        nesterov: whether momentum looks ahead.
        normalized: whether features are normalized by the batch, without a learned scale; in the test by the moving
            statistics.
    """

    optimizer: str
    rates: tuple[float, ...]
    schedule: str
    epochs: int
    batch_size: int
    warmup: float = 0.0
    nesterov: bool = False
    normalized: bool = False

    def build(self, rate: float, batch_size: int, steps: int) -> keras.optimizers.Optimizer:
        """The optimizer of a training of so many steps; none has weight decay."""
        schedule = optim.schedule(
            self.schedule, rate, batch_size, steps, round(self.warmup * steps), milestones=(0.6, 0.8)
        )
        return optim.build_optimizer(self.optimizer, schedule, 0.0, 0.9, nesterov=self.nesterov)


PROTOCOLS = {
    # He et al., 2020, arXiv:1911.05722, section 4.1, and main_lincls.py: 30, times 0.1 after 60 and 80 of 100 epochs.
    "moco": Protocol("sgd", (30.0,), "step", 100, 256),
    # Chen and He, 2021, arXiv:2011.10566, appendix A: LARC. The rate is that of the code, the paper's is 0.02. The
    # code's cosine moves once in an epoch.
    "simsiam": Protocol("larc", (0.1,), "cosine", 90, 4096),
    # Chen et al., 2020, arXiv:2002.05709, appendix B.6; its code has a weight decay of 1e-6, the paper none.
    "simclr": Protocol("sgd", (0.1,), "cosine", 90, 4096, nesterov=True),
    # Grill et al., 2020, arXiv:2006.07733, appendix C.1: five rates, chosen on 10,000 held-out training images.
    "byol": Protocol("sgd", (0.4, 0.3, 0.2, 0.1, 0.05), "cosine", 80, 1024, nesterov=True),
    # Caron et al., 2021, arXiv:2104.14294, section 4.1, and eval_linear.py: 0.001. The paper sweeps rates that it does
    # not tell; these are ours. Its ViT-S has the class tokens of four blocks, here it is the encoder's own output.
    "dino": Protocol("sgd", (0.001, 0.003, 0.01, 0.03, 0.1, 0.3), "cosine", 100, 1024),
    # He et al., 2022, arXiv:2111.06377, table 10, and main_linprobe.py: a warm-up of 10 of 90 epochs.
    "mae": Protocol("lars", (0.1,), "cosine", 90, 16_384, warmup=10 / 90, normalized=True),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the classifier.

    Args:
        protocol: moco | simsiam | simclr | byol | dino | mae, or several separated by commas
        epochs: passes through the training features; 0: the protocol's
        batch_size: features in a batch, at most as many as there are; 0: the protocol's
        learning_rate: for 256 images, scaled linearly to the batch; 0: the protocol's, chosen on held-out training
            images where it has several
    """

    protocol: tuple[str, ...] = ("simclr",)
    epochs: int = 0
    batch_size: int = 0
    learning_rate: float = 0.0

    def __post_init__(self):
        for name in self.protocol:
            if name not in PROTOCOLS:
                raise UserError(
                    f"unknown --linear_sgd_protocol {name!r}{nearest(name, list(PROTOCOLS))}; "
                    f"known: {', '.join(PROTOCOLS)}"
                )
        if not self.protocol:
            raise UserError(f"--linear_sgd_protocol names nothing; known: {', '.join(PROTOCOLS)}")
        for name in ("epochs", "batch_size", "learning_rate"):
            if not 0 <= getattr(self, name) < np.inf:
                raise UserError(f"--linear_sgd_{name} must be at least 0 (the protocol's), got {getattr(self, name):g}")

    def settled(self, protocol: Protocol) -> Protocol:
        """A protocol with what is set here."""
        return dataclasses.replace(
            protocol,
            epochs=self.epochs or protocol.epochs,
            batch_size=self.batch_size or protocol.batch_size,
            rates=(self.learning_rate,) if self.learning_rate else protocol.rates,
        )


def evaluate(subject: Subject, options: Options) -> list[Row]:
    """Top-1 accuracy after the last epoch, for each protocol.

    Raises:
        UserError: features are missing or not finite, or are of one class; or training diverged.
    """
    train, test = subject.features
    check(train, test)
    if len(np.unique(train.labels)) < 2:
        raise UserError("the training images are of one class only: a classifier needs two")
    return [_row(train, test, name, options.settled(PROTOCOLS[name]), subject.seed) for name in options.protocol]


def _row(train: Features, test: Features, name: str, protocol: Protocol, seed: int) -> Row:
    rate, held_out = chosen_rate(train, protocol, seed)
    classifier = fitted(train, protocol, rate, seed)
    accuracy = classifier.accuracy(test)
    if accuracy is None:
        raise UserError(f"protocol {name}: training diverged at a rate of {rate:g}: lower --linear_sgd_learning_rate")
    known = {"protocol": name, "learning_rate": rate, "epochs": protocol.epochs, "steps": classifier.steps}
    known |= {"batch_size": min(protocol.batch_size, len(train.x)), "held_out_top1": held_out}
    if protocol.epochs * len(train.x) < FEWER * PROTOCOLS[name].epochs * IMAGENET:
        known["caveat"] = (
            "protocols for the 1.28 million images of ImageNet, which may end here before they have converged: "
            "--linear_sgd_epochs gives them more, and linear does without"
        )
    return Row("top1", accuracy, known | sizes(train, test))


def chosen_rate(train: Features, protocol: Protocol, seed: int) -> tuple[float, float | None]:
    """The protocol's learning rate, and the accuracy on held-out training rows by which it was chosen of several, see
    `linear.best_rate`."""

    def score(rate: float, fit: np.ndarray, held: np.ndarray) -> float:
        return fitted(part(train, fit), protocol, rate, seed).accuracy(part(train, held)) or 0.0

    return linear.best_rate(protocol.rates, train.labels, seed, score, train.groups)


@dataclasses.dataclass(frozen=True)
class Trained:
    """A classifier after its last step.

    Args:
        network: float32 [N, D] -> logits [N, K].
        classes: labels in the order of the logits [K].
        steps: how many it was trained.
    """

    network: keras.Model
    classes: np.ndarray
    steps: int

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Of features [N, D]: float32 [N, K]."""
        pieces = [self.network(x[i : i + ROWS], training=False).numpy() for i in range(0, len(x), ROWS)]
        return np.concatenate(pieces)

    def accuracy(self, features: Features) -> float | None:
        """The share of features whose label it finds, a class that it does not know counting as wrong; None where its
        logits are not finite."""
        logits = self.logits(features.x)
        if not np.isfinite(logits).all():
            return None
        return float((self.classes[logits.argmax(axis=1)] == features.labels).mean())


def fitted(train: Features, protocol: Protocol, rate: float, seed: int) -> Trained:
    """Trains a classifier; the features that no whole batch of an epoch takes are others in each epoch.

    Its weights start as normal draws of 0.01, as in the code of MoCo, SimSiam, SimCLR, DINO and (cut at two standard
    deviations) MAE.
    """
    classes, numbers = np.unique(train.labels, return_inverse=True)
    batch_size = min(protocol.batch_size, len(train.x))
    steps = len(train.x) // batch_size
    network = _network(train.x.shape[1], len(classes), protocol.normalized, seed)
    optimizer = protocol.build(rate, batch_size, protocol.epochs * steps)
    optimizer.build(network.trainable_variables)
    run_epoch = _epoch(network, optimizer, tf.constant(train.x), tf.constant(numbers, tf.int32))
    for epoch in range(protocol.epochs):
        order = epoch_order(seed, epoch, len(train.x))[: steps * batch_size]
        run_epoch(tf.constant(order.reshape(steps, batch_size)))
    return Trained(network, classes, protocol.epochs * steps)


def _network(dimension: int, classes: int, normalized: bool, seed: int) -> keras.Model:
    initial = keras.initializers.RandomNormal(stddev=0.01, seed=seed)
    x = features = keras.Input((dimension,), dtype="float32")
    if normalized:  # PyTorch's momentum of 0.1
        norm = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-6, center=False, scale=False, dtype="float32")
        x = norm(x)
    logits = keras.layers.Dense(classes, kernel_initializer=initial, dtype="float32", name="classifier")(x)
    return keras.Model(features, logits)


def _epoch(network, optimizer, x, numbers):
    """(rows int64 [steps, B]) -> None: a step for each batch, traced once."""

    def step(rows):
        with tf.GradientTape() as tape:
            logits = network(tf.gather(x, rows), training=True)
            wanted = tf.gather(numbers, rows)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, logits))
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    @tf.function(autograph=False)
    def run(order):
        def body(number):
            step(order[number])
            return number + 1

        tf.while_loop(lambda number: number < tf.shape(order)[0], body, [0], parallel_iterations=1)

    return run
