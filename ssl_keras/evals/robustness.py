"""Robustness: what is left of the linear probe's accuracy on corrupted images (Hendrycks & Dietterich, 2019)."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from ssl_keras.data.canvases import batches
from ssl_keras.errors import UserError
from ssl_keras.evals import few, linear
from ssl_keras.evals.features import check, embedder, sizes
from ssl_keras.evals.subject import Row, Subject
from ssl_keras.progress import Bar
from ssl_keras.scores import corruptions
from ssl_keras.scores.corruption_tables import NAMES

NEEDS = ("features", "images", "labels")
ALL = "all"
BATCH = 64


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the corruptions.

    Args:
        severities: of 1 to 5, several separated by commas
        corruptions: names of them, several separated by commas, such as fog,snow; all: the 15 of the paper
        examples: corrupt only so many test images, drawn at random; 0: all
    """

    severities: tuple[int, ...] = (1, 2, 3, 4, 5)
    corruptions: tuple[str, ...] = ("all",)
    examples: int = 1000

    def __post_init__(self):
        if not self.severities or not self.corruptions:
            raise UserError("--robustness_severities and --robustness_corruptions must name one at least")
        if self.examples < 0:
            raise UserError(f"--robustness_examples must be at least 0 (all), got {self.examples}")
        for name in self.names:
            for severity in self.severities:
                corruptions.check(name, severity)

    @property
    def names(self) -> tuple[str, ...]:
        """The corruptions to make, each once."""
        return NAMES if ALL in self.corruptions else tuple(dict.fromkeys(self.corruptions))


def evaluate(subject: Subject, options: Options) -> list[Row]:
    """Top-1 accuracy of the linear probe, which is fitted to clean images, on test images as they are, and corrupted.

    An image is corrupted as the encoder sees it: cut and resized, in [0, 1]. "mean" is the mean over all corruptions
    and severities, "kept" is what share of the clean accuracy that is (0 of 0 is 0). Then comes the mean over
    severities of each corruption. The paper's own mean, mCE, needs the errors of another network.

    Raises:
        UserError: features are missing or not finite, images have no labels or are of one class, or are too small.
    """
    train, test = subject.features
    check(train, test)
    if min(train.labels.min(), test.labels.min()) < 0:
        raise UserError("the robustness of a classifier needs labels, and there are images without")
    if len(np.unique(train.labels)) < 2:
        raise UserError("the training images are of one class only: a classifier needs two")
    if subject.encoding.image_size < corruptions.SMALLEST_SIDE:
        raise UserError(
            f"the encoder sees images of {subject.encoding.image_size} px: corruptions need "
            f"{corruptions.SMALLEST_SIDE} or more"
        )
    probe = linear.probe(subject)
    chosen = _chosen(len(test.x), options.examples, subject.seed)
    clean = probe.accuracy(few.part(test, chosen))
    found = _accuracies(subject, probe, chosen, options)  # [corruptions, severities]
    known = {"severities": list(options.severities), "corrupted_examples": len(chosen), "C": probe.c}
    known |= sizes(train, test)
    mean, of_all = float(found.mean()), {"corruptions": list(options.names)} | known
    rows = [Row("clean", clean, of_all), Row("mean", mean, of_all), Row("kept", mean / clean if clean else 0.0, of_all)]
    for name, by_severity in zip(options.names, found):
        conditions = {"corruption": name, "top1_by_severity": by_severity.tolist()} | known
        rows.append(Row("top1", float(by_severity.mean()), conditions))
    return rows


def _chosen(total: int, examples: int, seed: int) -> np.ndarray:
    """Sorted places of the test images that are corrupted."""
    if not 0 < examples < total:
        return np.arange(total)
    return np.sort(np.random.default_rng(seed).choice(total, examples, replace=False))


def _accuracies(subject: Subject, probe: linear.Fitted, chosen: np.ndarray, options: Options) -> np.ndarray:
    """The share of corrupted images whose label the probe finds, [corruptions, severities]."""
    encode = tf.function(
        lambda views: tf.cast(subject.encoding.encode(views), tf.float32), reduce_retracing=True, autograph=False
    )
    right = np.zeros((len(options.names), len(options.severities)))
    done = 0
    with Bar("scoring corrupted images", len(chosen) * right.size) as bar:
        for places, views, labels in _views(subject, chosen):
            for cell in np.ndindex(*right.shape):
                change = options.names[cell[0]], options.severities[cell[1]]
                x = encode(tf.constant(_corrupted(views, places, *change, subject.seed))).numpy()
                classes = probe.classes[probe.classifier.logits(x).argmax(axis=1)]
                right[cell] += (classes == labels).sum()
                done += len(views)
                bar.show(done)
    return right / len(chosen)


def _corrupted(views: np.ndarray, places: np.ndarray, name: str, severity: int, seed: int) -> np.ndarray:
    """Corrupted views; random numbers depend on each image's place, not on the batch that it is in."""
    draws = (corruptions.generator(seed, int(place), name, severity) for place in places)
    return np.stack([corruptions.corrupt(view, name, severity, rng) for view, rng in zip(views, draws)])


def _views(subject: Subject, chosen: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Places, views float32 [B, S, S, C] and labels of the chosen test images, as the encoder sees them."""
    view = embedder(lambda views: views, *subject.encoding[1:])
    _, test = subject.features
    images = subject.images[1].subset(test.rows[chosen])  # no other image is read
    for start, batch in zip(range(0, len(chosen), BATCH), batches.eval_batches(images, BATCH)):
        seen = view(batch["image"], batch["size"], images.spec.gaps).numpy()
        yield chosen[start : start + BATCH], np.nan_to_num(seen), batch["label"].numpy()  # gaps are as the lowest value
