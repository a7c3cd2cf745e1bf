"""Images and encoders, brought together for evaluations."""

import dataclasses

import numpy as np

from ssl_keras import methods
from ssl_keras.build.data import channel_statistics, read_as, resolve
from ssl_keras.build.encoder import shipped
from ssl_keras.build.method import random_views, untrained_backbone
from ssl_keras.build.values import beyond, values_of
from ssl_keras.config import Config
from ssl_keras.data import splits
from ssl_keras.data.canvases.memory import CanvasSpec, load_canvases
from ssl_keras.data.canvases.probe import possible_channels
from ssl_keras.data.groups import both_sides
from ssl_keras.encoders import applications, file
from ssl_keras.encoders.encoder import Encoder, build_encoder
from ssl_keras.errors import UserError
from ssl_keras.evals import features, seeds
from ssl_keras.evals.cache import FeatureCache
from ssl_keras.evals.subject import Encoding, Subject
from ssl_keras.views.policy import Policy
from ssl_keras.words import counted, listing


class Data:
    """Training and test images of an evaluation, decoded once for each canvas type that its encoders need.

    Args:
        config: names the data; of a run, or of a command line.
        test_examples: only so many of the test images.
        labeled: whether an evaluation needs labels; the data may then not be without.
        dtype: pixel type that encoder files expect which do not say it themselves.
        crop: how images become squares, see `features.embedder`.
        keep: names of encoders whose features are kept from one evaluation to the next.
        labels: see `splits.train_and_test`; groups are those of `config`.
        weights, feature_cache: see `run.Request`.
    """

    def __init__(
        self,
        config: Config,
        test_examples: int | None,
        labeled: bool = True,
        dtype: str | None = None,
        crop: str = "center",
        keep: tuple[str, ...] = (),
        labels: str | None = None,
        weights: dict[str, str] | None = None,
        feature_cache: str | None = None,
    ):
        read_as(config)
        size = config.canvas_size or config.image_size
        train, test, self.note = splits.train_and_test(
            config.data, config.data_dir, size, labeled=labeled, labels=labels, group_by=config.group_by
        )
        examples = config.train_examples
        if examples and config.workdir:  # a run's own number may be more than the part that is left for training here
            examples = min(examples, len(train))
        self.train, self.test = splits.take(train, examples), splits.take(test, test_examples)
        if labeled:
            splits.check_classes(self.train)
        self.dtype, self.crop, self.weights = dtype, crop, weights or {}
        limits = config.max_megapixels, config.max_image_bytes
        self.cache = FeatureCache(feature_cache, *limits) if feature_cache else None
        self.kept: dict[str, Images | None] = dict.fromkeys(keep)
        self.config, _ = resolve(config, self.train, methods.load(config.method))
        self.canvases: dict[CanvasSpec, tuple] = {}

    def images_for(self, name: str) -> "Images":
        """The named encoder, with the images in the form that it takes."""
        if self.kept.get(name):
            return self.kept[name]
        config = self.config
        size, channels, dtype = config.image_size, config.channels, config.dtype
        canvas_size, encoder, values = config.canvas_size, None, values_of(config)
        if name not in ("random", "pixels"):
            encoder = self._named(name)
            size, channels, dtype = encoder.contract.size, encoder.contract.channels, encoder.contract.dtype
            values = encoder.contract.values
            if size != config.image_size:
                canvas_size = encoder.contract.canvas_size or size
        possible = possible_channels(self.train)
        if channels not in possible:
            known = " or ".join(map(str, sorted(possible)))
            raise UserError(f"it takes images of {channels} channels, and {self.train.name} has images of {known}")
        pair = self._load(CanvasSpec.of(canvas_size, channels, dtype, values))
        if encoder is not None and (warning := beyond(self.test, self.config, pair[1], encoder.contract)):
            print(warning)
        if name == "random":
            encoder = build_encoder(untrained_backbone(config, *channel_statistics(pair[0])), dtype, values=values)
        views = random_views(dataclasses.replace(config, image_size=size)).views
        images = Images(encoder, size, pair, self.crop, self.cache, views)
        if name in self.kept:
            self.kept[name] = images
        return images

    def _named(self, name: str) -> Encoder:
        """The encoder of a run or a file, or a network of keras.applications for images as the run's are."""
        if applications.is_name(name):
            return applications.load(
                name, self.weights[name], self.config.channels, self.config.dtype, values_of(self.config)
            )
        folder = self.config.workdir if name == "run" else name
        return shipped(folder) if seeds.is_run(folder) else file.load_encoder(name, self.dtype)

    @property
    def labeled(self) -> bool:
        """Whether the images have labels, of two classes at least."""
        labels = self.train.labels
        return labels is not None and self.test.labels is not None and len(np.unique(labels[labels >= 0])) > 1

    def _load(self, spec: CanvasSpec) -> tuple:
        if spec not in self.canvases:
            fraction = self.config.max_bad_fraction
            pair = load_canvases(self.train, spec, fraction), load_canvases(self.test, spec, fraction)
            if not self.canvases:
                print("\n".join(self.lines(pair)))
                if self.config.group_by is None and (parted := both_sides.warning(self.train, self.test)):
                    print(parted)
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
        if not train.class_names:
            return lines
        counts = {name: f"{fit} + {scored}" for name, (fit, scored) in class_counts(pair).items()}
        lines.append(f"classes (training + test images): {listing(counts)}")
        unseen = (test.labels >= 0) & ~np.isin(test.labels, train.labels)
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
    labels = [canvases.labels[canvases.labels >= 0] for canvases in pair]
    counts = np.stack([np.bincount(part, minlength=len(names)) for part in labels], 1)
    return {name: count.tolist() for name, count in zip(names, counts) if count.any()}


@dataclasses.dataclass(frozen=True)
class Images:
    """The training and test images for an encoder (None: the pixels themselves), the side that it takes, how they
    become squares, where features are kept (None: in memory alone), and the policies of the run's views."""

    encoder: Encoder | None
    size: int
    canvases: tuple
    crop: str
    cache: FeatureCache | None = None
    views: tuple[Policy, ...] = ()
    subjects: dict = dataclasses.field(default_factory=dict)

    def subject(self, layer: str, seed: int) -> Subject:
        """What evaluations of the encoder at a layer are given, and share.

        Raises:
            UserError: at the first look at its features, where the encoder has no such layer.
        """

        def encoding():
            encode = features.encode_pixels if self.encoder is None else self.encoder.cut(layer)
            return Encoding(encode, self.size, self.crop)

        def extract():
            if self.cache is not None:
                return self.cache.extract(subject.encoding, layer, self.canvases)
            embed = features.embedder(*subject.encoding)
            return tuple(features.extract(embed, canvases) for canvases in self.canvases)

        if (layer, seed) not in self.subjects:
            self.subjects[layer, seed] = Subject(extract, self.encoder, self.canvases, seed, encoding, self.views)
        subject = self.subjects[layer, seed]
        return subject

    def classes(self) -> dict:
        """What a row says of the classes; nothing where the images have none."""
        train, test = (canvases.labels for canvases in self.canvases)
        if not self.canvases[0].class_names:
            return {}
        unseen = int((~np.isin(test, train)).sum())
        return {"classes": class_counts(self.canvases)} | ({"unseen_test_examples": unseen} if unseen else {})
