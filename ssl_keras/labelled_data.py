"""Labeled images and encoders, brought together for evaluations."""

import dataclasses
import os

import numpy as np

from ssl_keras import experiment, export, methods
from ssl_keras.config import Config
from ssl_keras.data import sources
from ssl_keras.data.canvases import CanvasSpec, load_canvases
from ssl_keras.errors import UserError
from ssl_keras.evals import features
from ssl_keras.nn import stages
from ssl_keras.words import counted, listing


class LabelledData:
    """Train and test images of an evaluation, decoded once for each canvas type that its encoders need.

    Args:
        config: names the data; of a run, or of a command line.
        test_examples: only so many of the test images.
    """

    def __init__(self, config: Config, test_examples: int | None):
        train, test, self.note = sources.train_and_test(
            config.data, config.data_dir, config.canvas_size or config.image_size
        )
        examples = config.train_examples
        if examples and config.workdir:  # a run's own number may be more than the part that is left for training here
            examples = min(examples, len(train))
        self.train, self.test = sources.take(train, examples), sources.take(test, test_examples)
        sources.check_classes(self.train)
        self.config, _ = experiment.resolve(config, self.train, methods.load(config.method))
        self.canvases: dict[CanvasSpec, tuple] = {}

    def encoder(self, name: str) -> "Encoder":
        """The named encoder, with the images in the form that it takes."""
        config = self.config
        size, channels, dtype = config.image_size, config.channels, config.dtype
        model = None
        if name not in ("random", "pixels"):
            model = export.load_encoder(os.path.join(config.workdir, "encoder.keras") if name == "run" else name)
            (_, size, width, channels), dtype = model.input_shape, features.input_dtype(model)
            if size is None or size != width or channels is None:
                raise UserError(f"its images are {size} x {width} x {channels}: expected squares of a fixed size")
        pair = self._load(CanvasSpec(config.canvas_size if size == config.image_size else size, channels, dtype))
        if name == "random":
            backbone = experiment.untrained_backbone(config, *experiment.channel_statistics(pair[0]))
            model = export.build_encoder(backbone, dtype)
        return Encoder(model, size, pair)

    def _load(self, spec: CanvasSpec) -> tuple:
        if spec not in self.canvases:
            fraction = self.config.max_bad_fraction
            pair = load_canvases(self.train, spec, fraction), load_canvases(self.test, spec, fraction)
            if not self.canvases:
                print("\n".join(self.lines(pair)))
            self.canvases[spec] = pair
        return self.canvases[spec]

    def lines(self, pair: tuple) -> list[str]:
        """What is to be known about the images: where they come from, what was passed over, the classes."""
        train, test = pair
        lines = [f"{self.train.name}: {counted(len(train), 'training image')}, {counted(len(test), 'test image')}"]
        lines += [self.note, *dict.fromkeys((*self.train.remarks, *self.test.remarks))]
        bad = [*train.bad, *test.bad]
        if bad:
            lines.append(f"{counted(len(bad), 'image')} cannot be read; first: {bad[0][0]} ({bad[0][1]})")
        counts = {name: f"{fit} + {scored}" for name, (fit, scored) in class_counts(pair).items()}
        lines.append(f"classes (training + test images): {listing(counts)}")
        unseen = ~np.isin(test.labels, train.labels)
        if unseen.any():
            names = {train.class_names[label]: "" for label in test.labels[unseen]}
            lines.append(
                f"{counted(int(unseen.sum()), 'test image')} of classes that the training images lack "
                f"({listing(names)}): they count as wrong"
            )
        return lines


def class_counts(pair: tuple) -> dict[str, list[int]]:
    """{name: [training images, test images]} of the classes that are there."""
    names = pair[0].class_names
    counts = np.stack([np.bincount(canvases.labels, minlength=len(names)) for canvases in pair], 1)
    return {name: count.tolist() for name, count in zip(names, counts) if count.any()}


@dataclasses.dataclass(frozen=True)
class Encoder:
    """An encoder (None: the pixels themselves), the side of its images, and the train and test images as canvases."""

    model: object
    size: int
    canvases: tuple

    def features(self, layer: str) -> tuple[features.Features, features.Features]:
        """Features of the train and the test images at a layer."""
        encode = features.encode_pixels
        if self.model is not None:
            encode = features.encode_with(stages.cut(self.model, layer))
        embed = features.embedder(encode, self.size)
        return tuple(features.extract(embed, canvases) for canvases in self.canvases)

    def classes(self) -> dict:
        """What a row says of the classes."""
        train, test = (canvases.labels for canvases in self.canvases)
        unseen = int((~np.isin(test, train)).sum())
        return {"classes": class_counts(self.canvases)} | ({"unseen_test_examples": unseen} if unseen else {})
