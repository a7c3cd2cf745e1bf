"""What an evaluation is given, and what it gives back."""

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

from ssl_keras.encoders.encoder import Encoder
from ssl_keras.evals.features import Features


class Row(NamedTuple):
    """One number: the metric's name, its value, and what it was measured with."""

    metric: str
    value: float
    conditions: dict


class Subject:
    """An encoder, cut at a layer, and the images that it is evaluated on.

    Args:
        extract: () -> (training features, test features), asked for at first use and kept.
        encoder: the encoder; None for the pixels themselves, or where features are all that there is.
        images: (training canvases, test canvases); None where features are all that there is.
        seed: random seed of whatever an evaluation draws.
    """

    def __init__(
        self,
        extract: Callable[[], tuple[Features, Features]],
        encoder: Encoder | None = None,
        images: tuple | None = None,
        seed: int = 0,
    ):
        self._extract = extract
        self.encoder, self.images, self.seed = encoder, images, seed

    @cached_property
    def features(self) -> tuple[Features, Features]:
        """Frozen features of the training and of the test images."""
        return self._extract()
