"""Small encoders and images whose classes pixels tell apart, for evaluations that train whole networks."""

import numpy as np

from ssl_keras.data.canvases.memory import Canvases
from ssl_keras.data.canvases.pipeline import CanvasSpec
from ssl_keras.encoders.encoder import Encoder, build_encoder
from ssl_keras.evals import features
from ssl_keras.evals.subject import Encoding, Subject
from ssl_keras.nn.backbones import build_backbone

SIDE = 16


def encoder(name: str = "resnet8", **options) -> Encoder:
    """An untrained encoder of images of 16 pixels."""
    options = {"width": 0.25, **options} if name == "resnet8" else options
    return build_encoder(build_backbone(name, SIDE, seed=0, **options), "uint8")


def canvases(seed: int, n: int) -> Canvases:
    """Stripes: lying, standing, or across, at random places and in random colors."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) % 3).astype(np.int32)
    across = np.array([(0, 1), (1, 0), (0.7, 0.7)])[labels]
    y, x = np.mgrid[:SIDE, :SIDE]
    phase = across[:, 0, None, None] * x + across[:, 1, None, None] * y + rng.uniform(0, 8, (n, 1, 1))
    waves = 0.5 + 0.5 * np.sin(phase * np.pi / 3)
    color = rng.uniform(0.3, 1.0, (n, 1, 1, 3))
    images = waves[..., None] * color + rng.normal(0, 0.1, (n, SIDE, SIDE, 3))
    images = (255 * np.clip(images, 0, 1)).astype(np.uint8)
    sizes = np.full((n, 2), SIDE, np.float32)
    return Canvases(
        CanvasSpec(SIDE, 3, "uint8"), images, sizes, labels, np.arange(n), [], ("lying", "standing", "across")
    )


def subject(encoder: Encoder, train: Canvases, test: Canvases, seed: int = 0) -> Subject:
    """What an evaluation is given of them."""

    def encoding():
        return Encoding(encoder, SIDE, "center")

    def extract():
        return tuple(features.extract(features.embedder(*encoding()), part) for part in (train, test))

    return Subject(extract, encoder, (train, test), seed, encoding)
