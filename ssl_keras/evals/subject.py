"""What an evaluation is given, and what it gives back."""

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import tensorflow as tf

from ssl_keras.encoders.encoder import Encoder
from ssl_keras.errors import UserError
from ssl_keras.evals.features import Features
from ssl_keras.views.policy import Policy


class Row(NamedTuple):
    """One number.

    Fields:
        metric: its name.
        value: the number, or the mean of several draws.
        conditions: what it was measured with.
        low, high: the lowest and the highest of several draws; None: there is one.
        share: whether it lies in [0, 1] and people read it in percent.
    """

    metric: str
    value: float
    conditions: dict
    low: float | None = None
    high: float | None = None
    share: bool = True


class Encoding(NamedTuple):
    """How features come about: the arguments of `features.embedder`.

    Fields:
        encode: float32 [B, S, S, C] in [0, 1] -> [B, D].
        image_size: S.
        crop: how images become squares.
    """

    encode: Callable[[tf.Tensor], tf.Tensor]
    image_size: int
    crop: str


class Subject:
    """An encoder, cut at a layer, and the images that it is evaluated on.

    Args:
        extract: () -> (training features, test features), asked for at first use and kept.
        encoder: the encoder; None for the pixels themselves, or where features are all that there is.
        images: (training canvases, test canvases); None where features are all that there is.
        seed: random seed of whatever an evaluation draws.
        encoding: () -> how features come about, for an evaluation that takes them of other images; None where features
            are all that there is.
        views: the policies of the run's views, at the side that the encoder takes.
    """

    def __init__(
        self,
        extract: Callable[[], tuple[Features, Features]],
        encoder: Encoder | None = None,
        images: tuple | None = None,
        seed: int = 0,
        encoding: Callable[[], Encoding] | None = None,
        views: tuple[Policy, ...] = (),
    ):
        self._extract, self._encoding = extract, encoding
        self.encoder, self.images, self.seed, self.views = encoder, images, seed, views
        self._known: dict = {}

    def once(self, key: object, make: Callable[[], object]) -> object:
        """What `make()` returned at the first call with this key: evaluations share what they have in common."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    @cached_property
    def features(self) -> tuple[Features, Features]:
        """Frozen features of the training and of the test images."""
        return self._extract()

    @cached_property
    def encoding(self) -> Encoding:
        """How features come about. Raises UserError where features are all that there is."""
        if self._encoding is None:
            raise UserError("this takes features of other images, and there are only features here, no encoder")
        return self._encoding()
