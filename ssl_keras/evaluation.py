"""Scores of a run's encoder, of an encoder file, and of the two yardsticks that show what training was worth."""

import dataclasses
import os

import numpy as np

from ssl_keras import experiment, export, files, methods
from ssl_keras.config import Config, read_run
from ssl_keras.data import sources
from ssl_keras.data.canvases import CanvasSpec, load_canvases
from ssl_keras.evals import EVALUATIONS, features, knn, linear


@dataclasses.dataclass(frozen=True)
class Request:
    """What `tools.evaluate` was asked for.

    Fields:
        encoders: of `run` (the encoder of the run), `random` (its architecture, untrained), `pixels`, or paths of
        encoder files.
        evaluations: of `evals.EVALUATIONS`.
        config: the run's settings, or those of the command line where there is no run.
        test_examples: the first so many test images; None: all.
        knn: options of `knn.evaluate`.
    """

    encoders: tuple[str, ...]
    evaluations: tuple[str, ...]
    config: Config
    test_examples: int | None
    knn: dict


def evaluate(request: Request) -> list[dict]:
    """Runs each evaluation for each encoder; a run's results are also written to its `evals/NAME.json`.

    Returns:
        A row for each pair: {"encoder", "eval", "top1", ... and all that the score was measured with}.
    """
    check(request)
    data = LabelledData(request)
    rows = []
    for name in request.encoders:
        train, test = data.features(name)
        for evaluation in request.evaluations:
            if evaluation == "knn":
                score = knn.evaluate(train, test, **request.knn)
            else:
                score = linear.evaluate(train, test, seed=request.config.seed)
            row = {"encoder": name, "eval": evaluation, **score, "data": request.config.data, "split": data.note}
            if request.config.workdir:
                prefix = {"run": ""}.get(name, f"{os.path.splitext(os.path.basename(name))[0]}_")
                folder = os.path.join(request.config.workdir, "evals")
                os.makedirs(folder, exist_ok=True)
                files.write_json(os.path.join(folder, f"{prefix}{evaluation}.json"), row)
            rows.append(row)
    return rows


def check(request: Request) -> None:
    """Raises ValueError for a request that cannot be served, before data is read."""
    for name in request.evaluations:
        if name not in EVALUATIONS:
            raise ValueError(f"unknown evaluation {name!r}; known: {', '.join(EVALUATIONS)}")
    for name in request.encoders:
        if name == "run" and not request.config.workdir:
            raise ValueError("--workdir is missing: give a run's folder, or --encoder=FILE, random or pixels")
        if name not in ("run", "random", "pixels") and not os.path.isfile(name):
            raise ValueError(f"no encoder at {name!r}: give an encoder.keras file, run, random or pixels")
    if request.knn["k"] < 1 or request.knn["temperature"] <= 0:
        raise ValueError(f"--knn_k must be at least 1 and --knn_temperature greater than 0, got {request.knn}")
    if request.test_examples is not None and request.test_examples < 1:
        raise ValueError(f"--test_examples must be greater than 0, got {request.test_examples}")


class LabelledData:
    """Train and test images of a request, decoded once for each canvas type that its encoders need."""

    def __init__(self, request: Request):
        config = request.config
        train, test, self.note = sources.train_and_test(
            config.data, config.data_dir, config.canvas_size or config.image_size
        )
        self.train, self.test = sources.take(train, config.train_examples), sources.take(test, request.test_examples)
        self.config, _ = experiment.resolve(config, self.train, methods.load(config.method))
        self.canvases: dict[CanvasSpec, tuple] = {}

    def features(self, name: str) -> tuple[features.Features, features.Features]:
        """Features of the train and the test images by the named encoder."""
        config = self.config
        size, channels, dtype = config.image_size, config.channels, config.dtype
        if name not in ("random", "pixels"):
            encoder = export.load_encoder(os.path.join(config.workdir, "encoder.keras") if name == "run" else name)
            size, channels, dtype = encoder.input_shape[1], encoder.input_shape[-1], features.input_dtype(encoder)
        pair = self._load(CanvasSpec(config.canvas_size if size == config.image_size else size, channels, dtype))
        if name == "pixels":
            encode = features.encode_pixels
        elif name == "random":
            encode = experiment.untrained_backbone(config, *experiment.channel_statistics(pair[0]))
        else:
            encode = features.encode_with(encoder)
        classes = int(max(np.max(c.labels) for c in pair)) + 1
        embed = features.embedder(encode, size)
        return tuple(features.extract(embed, canvases, classes) for canvases in pair)

    def _load(self, spec: CanvasSpec) -> tuple:
        if spec not in self.canvases:
            fraction = self.config.max_bad_fraction
            self.canvases[spec] = (load_canvases(self.train, spec, fraction), load_canvases(self.test, spec, fraction))
        return self.canvases[spec]


def request_from(given: dict, encoder: str, evaluations: str, test_examples: int | None, **knn_options) -> Request:
    """The request of a command line.

    Args:
        given: fields of `Config` that the command line sets; a `workdir` among them brings the settings of its run.
        encoder, evaluations: lists separated by commas.
    """
    workdir, config = given.get("workdir"), Config()
    if workdir:
        config = dataclasses.replace(read_run(workdir), workdir=workdir)
        if "run" in encoder.split(",") and not os.path.exists(os.path.join(workdir, "encoder.keras")):
            raise ValueError(f"{workdir!r} holds a run that has not finished: run its tools.pretrain command again")
        if given.get("data", config.data) != config.data:
            config = dataclasses.replace(config, train_examples=None)  # that number was said of the other data
    elif "data" not in given:
        raise ValueError("--data is missing: name the labelled images, or a run's --workdir")
    return Request(
        tuple(filter(None, encoder.split(","))),
        tuple(filter(None, evaluations.split(","))),
        dataclasses.replace(config, **given),
        test_examples,
        knn_options,
    )


def table(rows: list[dict]) -> str:
    """The rows as text: a line for each encoder, a column for each evaluation, accuracies in per cent."""
    evaluations = list(dict.fromkeys(row["eval"] for row in rows))
    scores = {(row["encoder"], row["eval"]): row["top1"] for row in rows}
    encoders = list(dict.fromkeys(row["encoder"] for row in rows))
    width = max(len(name) for name in encoders)
    lines = [" " * width + "".join(f"{name:>10}" for name in evaluations)]
    lines += [f"{name:<{width}}" + "".join(f"{100 * scores[name, e]:>10.1f}" for e in evaluations) for name in encoders]
    return "\n".join(lines)
