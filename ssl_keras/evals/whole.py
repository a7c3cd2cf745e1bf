"""Training of a whole network, a copy of an encoder with a linear classifier on top, on labeled images."""

import dataclasses
import functools
import re
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from ssl_keras import optim
from ssl_keras.data.canvases import batches
from ssl_keras.encoders.encoder import Encoder
from ssl_keras.errors import UserError
from ssl_keras.evals import features, linear
from ssl_keras.evals.recipes import Recipe
from ssl_keras.evals.subject import Subject
from ssl_keras.methods.supervised import Supervised
from ssl_keras.nn import policy
from ssl_keras.nn.batch_norm import as_fused
from ssl_keras.progress import Bar
from ssl_keras.training import loop
from ssl_keras.views.layer import RandomViews
from ssl_keras.views.policy import Policy

STEPS = 8  # between two looks at how far it is
BLOCK = re.compile(r"(?:(?:stage|conv)(\d+)_)?block(\d+)_")  # of our ResNets and ViTs, and of Keras's ResNets


@dataclasses.dataclass(frozen=True)
class Trained:
    """A network after its last step.

    Args:
        backbone: the trained copy, float32 [B, S, S, C] in [0, 1] -> features [B, D].
        classifier: features [B, D] -> logits [B, K].
        classes: labels in the order of the logits [K].
        image_size: S.
        recipe: how it was trained: rate, batch size and layer decay are those that were used.
        steps: how many it was trained.
        held_out: accuracy on held-out images by which the rate was chosen; None where there was nothing to choose.
    """

    backbone: keras.Model
    classifier: keras.layers.Layer
    classes: np.ndarray
    image_size: int
    recipe: Recipe
    steps: int
    held_out: float | None = None

    def logits(self, images: tf.Tensor) -> tf.Tensor:
        """Of images [B, S, S, C] in [0, 1], with the moving statistics of batch normalization: float32 [B, K]."""
        return self.classifier(self.backbone(images, training=False))

    def conditions(self) -> dict:
        """What a row says of it."""
        return {
            "learning_rate": self.recipe.rates[0],
            "layer_decay": self.recipe.layer_decay,
            "batch_size": self.recipe.batch_size,
            "steps": self.steps,
            "held_out_top1": self.held_out,
        }

    def accuracy(self, canvases, crop: str = "center") -> float:
        """The share of images whose label it finds; a class that it does not know counts as wrong.

        Raises:
            UserError: its logits are not finite, as training diverged.
        """
        found = features.extract(features.embedder(self.logits, self.image_size, crop), canvases)
        if not np.isfinite(found.x).all():
            rate = self.recipe.rates[0]
            raise UserError(f"training of the whole network diverged at a learning rate of {rate:g}: set a lower one")
        return float((self.classes[found.x.argmax(axis=1)] == found.labels).mean())


def given(subject: Subject, layer_decay: float) -> tuple[Encoder, object, object]:
    """The encoder, up to the layer that is judged, and the training and test canvases, without unlabeled images.

    Args:
        layer_decay: the one that is asked for; 0: none is.

    Raises:
        UserError: there is no encoder, the training images are of one class, or a layer decay is asked for and the
            encoder's blocks are not known.
    """
    if subject.encoder is None or subject.images is None:
        raise UserError("a whole network is trained, and there is no encoder here: use run, random or an encoder file")
    train, test = (_labeled(canvases) for canvases in subject.images)
    if not len(train) or not len(test):
        raise UserError("there are no labeled training images, or no labeled test images")
    if len(np.unique(train.labels)) < 2:
        raise UserError("the training images are of one class only: a classifier needs two")
    encoder = subject.encoding.encode
    if layer_decay not in (0, 1) and not layer_numbers([v.path for v in encoder.model.weights])[1]:
        raise UserError("a layer decay needs an encoder whose blocks are known by their names: a ResNet or a ViT")
    return encoder, train, test


def _labeled(canvases):
    known = canvases.labels >= 0
    return canvases if known.all() else canvases.subset(np.flatnonzero(known))


def chosen(encoder: Encoder, canvases, recipe: Recipe, seed: int, crop: str = "center") -> Trained:
    """`train`, with the best of the recipe's learning rates on held-out images, where it has several: see
    `linear.best_rate`."""

    def score(rate: float, fit: np.ndarray, held: np.ndarray) -> float:
        trained = train(encoder, canvases.subset(fit), dataclasses.replace(recipe, rates=(rate,)), seed)
        return _or_nothing(trained, canvases.subset(held), crop)

    rate, held_out = linear.best_rate(recipe.rates, canvases.labels, seed, score, canvases.groups)
    trained = train(encoder, canvases, dataclasses.replace(recipe, rates=(rate,)), seed)
    return dataclasses.replace(trained, held_out=held_out)


def _or_nothing(trained: Trained, canvases, crop: str) -> float:
    try:
        return trained.accuracy(canvases, crop)
    except UserError:  # diverged
        return 0.0


def train(encoder: Encoder, canvases, recipe: Recipe, seed: int) -> Trained:
    """Trains a copy of an encoder; the encoder stays as it is.

    Batch normalization sees its batches, and moves its statistics. Images that no whole batch of an epoch takes are
    others in each epoch. All is float32.

    Args:
        canvases: training images, all of them with labels.
        recipe: with one learning rate.
        seed: of the first weights of the classifier, the order, and the views.
    """
    classes = np.unique(canvases.labels)
    batch_size = min(recipe.batch_size, len(canvases))
    steps = recipe.steps(len(canvases))
    model = _model(encoder, len(classes), recipe, seed)
    optimizer, decay = _optimizer(recipe, model, batch_size, steps)
    model.compile(optimizer=optimizer)

    @tf.autograph.experimental.do_not_convert
    def numbered(batch):
        return {**batch, "label": tf.searchsorted(tf.constant(classes), batch["label"])}

    data = batches.train_batches(canvases, batch_size, seed, steps=steps).map(numbered)
    with Bar("training the whole network", steps * batch_size) as bar:
        show = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: bar.show((step + 1) * batch_size))
        loop.fit(model, data, 1, steps, steps_per_execution=min(STEPS, steps), callbacks=[show])

    used = dataclasses.replace(recipe, batch_size=batch_size, layer_decay=decay)
    return Trained(model.backbone, model.classifier, classes, encoder.contract.size, used, steps)


def _model(encoder: Encoder, classes: int, recipe: Recipe, seed: int) -> Supervised:
    """The copy with its classifier and its views."""
    with policy.using("float32"):
        network = as_fused(encoder.model, synchronized=False)
        network.trainable = True  # files may hold frozen layers
        size, channels = encoder.contract.size, encoder.contract.channels
        images = keras.Input((size, size, channels), name="images")
        backbone = keras.Model(images, network(encoder.contract.raw(images)))
        views = _views(recipe.view, size, seed, encoder.contract.gaps)
        model = Supervised(backbone, views, num_classes=classes, label_smoothing=recipe.label_smoothing)
    kernel = model.classifier.kernel
    kernel.assign(keras.initializers.RandomNormal(stddev=0.01, seed=seed)(kernel.shape))
    return model


@functools.lru_cache(maxsize=4)
def _views(view: Policy, image_size: int, seed: int, gaps: bool) -> RandomViews:
    """Views are programs that take seconds to compile: draws of labels share them."""
    return RandomViews((view,), image_size, seed, gaps=gaps, mark_gaps=gaps)


def _optimizer(recipe: Recipe, model: Supervised, batch_size: int, steps: int):
    """The optimizer, and the layer decay that it has: 1 where the recipe has one and the layers are not known."""
    variables = model.trainable_variables
    paths = [variable.path for variable in model.backbone.trainable_variables]
    numbers, blocks = layer_numbers(paths)
    decay = recipe.layer_decay if numbers else 1.0
    multipliers = {}
    if decay != 1.0:
        factors = dict(zip(paths, layer_factors(numbers, blocks, decay), strict=True))
        multipliers = {f"^{re.escape(path)}$": factor for path, factor in factors.items() if factor != 1.0}
    warmup = round(recipe.warmup * steps)
    rate = optim.schedule("cosine", recipe.rates[0], batch_size, steps, warmup)
    exclude = [name for name in ("class_token",) if any(name in variable.path for variable in variables)]
    optimizer = optim.build_optimizer(
        recipe.optimizer,
        rate,
        recipe.weight_decay,
        0.9,
        nesterov=recipe.nesterov,
        exclude_1d=True,
        exclude=exclude if recipe.weight_decay else (),
        lr_multipliers=multipliers,
    )
    return optimizer, decay


def layer_numbers(paths: Sequence[str]) -> tuple[list[int], int]:
    """The number of the layer that each variable of an encoder belongs to, as in MAE's util/lr_decay.py.

    What comes before the first residual block or block of a transformer is layer 0, blocks are 1 to L, and what comes
    after them is L + 1, as is the classifier.

    Args:
        paths: of the variables, in their order.

    Returns:
        A number for each, and L; ([], 0) where there are no blocks that are known by their names.
    """
    found = [BLOCK.search(path) for path in paths]
    keys = [match and (int(match[1] or 0), int(match[2])) for match in found]
    order = {key: number for number, key in enumerate(sorted(filter(None, set(keys))), 1)}
    if not order:
        return [], 0
    first = next(place for place, key in enumerate(keys) if key)
    outside = [0 if place < first else len(order) + 1 for place in range(len(keys))]
    return [order[key] if key else other for key, other in zip(keys, outside)], len(order)


def layer_factors(numbers: Sequence[int], blocks: int, decay: float) -> list[float]:
    """The factor on the learning rate of each variable: decay^(L + 1 - i) for layer i of L blocks (Bao et al., 2022,
    arXiv:2106.08254; MAE, appendix A.1)."""
    return [decay ** (blocks + 1 - number) for number in numbers]
