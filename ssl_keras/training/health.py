"""What representations look like after each epoch: numbers by which a collapse is seen before a score shows it."""

import keras
import numpy as np
import tensorflow as tf

from ssl_keras.scores import spectrum
from ssl_keras.scores.neighbors import unit
from ssl_keras.training.steps import steps_made

PAIRS = 64  # images whose views are compared: more would cost what an epoch of few images does not leave


class Health(keras.callbacks.Callback):
    """Adds to the epoch's logs what a fixed sample of training images looks like to the encoder.

    Of the sample without augmentation: `effective_rank` (centered), `rankme` (uncentered), `feature_norm` (mean
    length), `uniformity` (Wang and Isola, arXiv:2005.10242; -4 is even, 0 is collapsed). Of two views of each of some
    images: `alignment` (mean squared distance of their unit-length features), and the numbers of the method's own
    `signs`. `similarities` holds the cosines of positives and negatives, for a histogram. `drift` is how far a momentum
    encoder is from its online network, as a share of its length; `queue_age` for how many steps a queue's oldest key
    has been in it.

    Args:
        sample: views of training images without augmentation, float32 [N, S, S, C] in [0, 1].
        viewed: (canvases [B, S, S, C], sizes [B, 2]) of images whose views are compared, or None.
    """

    def __init__(self, sample: np.ndarray, viewed: tuple | None = None):
        super().__init__()
        self.sample, self.viewed, self.similarities = sample, viewed, {}
        self._makers: dict = {}

    def on_epoch_end(self, epoch, logs=None):
        h = self._encoded(self.sample)
        logs["effective_rank"] = spectrum.effective_rank(h)
        logs["rankme"] = spectrum.rankme(h)
        logs["feature_norm"] = float(np.linalg.norm(h, axis=1).mean())
        logs["uniformity"] = spectrum.uniformity(h)
        target = getattr(self.model, "target", None)
        if hasattr(target, "distance"):
            logs["drift"] = target.distance()
        queue = getattr(self.model, "queue", None)
        if hasattr(queue, "age"):
            logs["queue_age"] = min(steps_made(self.model), queue.age)
        if self.viewed:
            self._compare_views(logs)

    def _compare_views(self, logs: dict) -> None:
        x1, x2 = (x[:PAIRS] for x in self._views())
        h1, h2 = (unit(self._encoded(x)) for x in (x1, x2))
        positives = (h1 * h2).sum(axis=1)
        logs["alignment"] = float((2 - 2 * positives).mean())
        negatives = (h1 @ h2.T)[~np.eye(len(h1), dtype=bool)]
        self.similarities = {"positives": positives, "negatives": negatives}
        logs |= {name: float(value) for name, value in self.model.signs(x1, x2).items()}

    def _views(self) -> list[tf.Tensor]:
        views = self.model.views
        share = getattr(views, "share", None)  # of their side that they have at present
        if share not in self._makers:  # a graph, as in training: XLA compiles what is called from Python once more
            step = tf.constant(0, tf.int64)
            self._makers[share] = tf.function(lambda: views(*self.viewed, step=step)[:2], autograph=False)
        return self._makers[share]()

    def _encoded(self, x) -> np.ndarray:
        encoder = self.model.encoder
        return np.concatenate(
            [np.asarray(encoder(x[i : i + 256], training=False), np.float32) for i in range(0, len(x), 256)]
        )
