"""Scores of a run's encoder, of an encoder file, and of the two yardsticks that show what training was worth."""

import dataclasses
import os

import numpy as np

from ssl_keras import experiment, export, files, methods
from ssl_keras.config import Config, read_run
from ssl_keras.data import sources
from ssl_keras.data.canvases import CanvasSpec, load_canvases
from ssl_keras.evals import EVALUATIONS, features, knn, linear
from ssl_keras.nn import stages


@dataclasses.dataclass(frozen=True)
class Request:
    """What `tools.evaluate` was asked for.

    Fields:
        encoders: of `run` (the encoder of the run), `random` (its architecture, untrained), `pixels`, or paths of
        encoder files.
        evaluations: of `evals.EVALUATIONS`.
        config: the run's settings, or those of the command line where there is no run.
        layers: where each encoder is cut: names of `nn.stages`, "representation" for its own output, or "all".
        test_examples: the first so many test images; None: all.
        knn: options of `knn.evaluate`.
    """

    encoders: tuple[str, ...]
    evaluations: tuple[str, ...]
    config: Config
    layers: tuple[str, ...]
    test_examples: int | None
    knn: dict


def evaluate(request: Request) -> list[dict]:
    """Runs each evaluation for each encoder; a run's results are also written to its `evals/NAME.json`.

    Returns:
        A row for each encoder, layer and evaluation: {"encoder", "layer", "eval", "top1", ... and all that the score
        was measured with}; "caveat" where the run's method has one.
    """
    check(request)
    data = LabelledData(request)
    caveats = methods.load(request.config.method).caveats
    rows = []
    for name in request.encoders:
        encoder = data.encoder(name)
        for layer in layers_of(encoder, request.layers):
            train, test = encoder.features(layer)
            for evaluation in request.evaluations:
                if evaluation == "knn":
                    score = knn.evaluate(train, test, **request.knn)
                else:
                    score = linear.evaluate(train, test, seed=request.config.seed)
                row = {"encoder": name, "layer": layer, "eval": evaluation, **score}
                row |= {"data": request.config.data, "split": data.note}
                if name == "run" and evaluation in caveats:
                    row["caveat"] = caveats[evaluation]
                if request.config.workdir:
                    write(row, request.config.workdir)
                rows.append(row)
    return rows


def layers_of(encoder: "Encoder", wanted: tuple[str, ...]) -> list[str]:
    """The layers to judge, "all" written out; pixels have none but themselves."""
    if encoder.model is None:
        return [stages.WHOLE]
    return [*stages.names(encoder.model), stages.WHOLE] if "all" in wanted else list(wanted)


def write(row: dict, workdir: str) -> None:
    """`evals/NAME.json` of a run: NAME is the evaluation, after encoder and layer where those are not its own."""
    encoder = "" if row["encoder"] == "run" else f"{os.path.splitext(os.path.basename(row['encoder']))[0]}_"
    layer = "" if row["layer"] == stages.WHOLE else f"{row['layer']}_"
    folder = os.path.join(workdir, "evals")
    os.makedirs(folder, exist_ok=True)
    files.write_json(os.path.join(folder, f"{encoder}{layer}{row['eval']}.json"), row)


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

    def encoder(self, name: str) -> "Encoder":
        """The named encoder, with the images in the form that it takes."""
        config = self.config
        size, channels, dtype = config.image_size, config.channels, config.dtype
        model = None
        if name not in ("random", "pixels"):
            model = export.load_encoder(os.path.join(config.workdir, "encoder.keras") if name == "run" else name)
            size, channels, dtype = model.input_shape[1], model.input_shape[-1], features.input_dtype(model)
        pair = self._load(CanvasSpec(config.canvas_size if size == config.image_size else size, channels, dtype))
        if name == "random":
            backbone = experiment.untrained_backbone(config, *experiment.channel_statistics(pair[0]))
            model = export.build_encoder(backbone, dtype)
        return Encoder(model, size, pair)

    def _load(self, spec: CanvasSpec) -> tuple:
        if spec not in self.canvases:
            fraction = self.config.max_bad_fraction
            self.canvases[spec] = (load_canvases(self.train, spec, fraction), load_canvases(self.test, spec, fraction))
        return self.canvases[spec]


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
        classes = int(max(np.max(c.labels) for c in self.canvases)) + 1
        embed = features.embedder(encode, self.size)
        return tuple(features.extract(embed, canvases, classes) for canvases in self.canvases)


def request_from(
    given: dict,
    encoder: str,
    evaluations: str,
    test_examples: int | None,
    layers: str = stages.WHOLE,
    **knn_options,
) -> Request:
    """The request of a command line.

    Args:
        given: fields of `Config` that the command line sets; a `workdir` among them brings the settings of its run.
        encoder, evaluations, layers: lists separated by commas.
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
        tuple(filter(None, layers.split(","))) or (stages.WHOLE,),
        test_examples,
        knn_options,
    )


def table(rows: list[dict]) -> str:
    """The rows as text: a line for each encoder and layer, a column for each evaluation, accuracies in per cent.

    Below them stands what is to be known of an evaluation.
    """
    evaluations = list(dict.fromkeys(row["eval"] for row in rows))
    names = [row["encoder"] + ("" if row["layer"] == stages.WHOLE else f" {row['layer']}") for row in rows]
    scores = {(name, row["eval"]): row["top1"] for name, row in zip(names, rows)}
    width = max(map(len, names))
    lines = [" " * width + "".join(f"{name:>10}" for name in evaluations)]
    for name in dict.fromkeys(names):
        lines.append(f"{name:<{width}}" + "".join(f"{100 * scores[name, e]:>10.1f}" for e in evaluations))
    caveats = {row["eval"]: row["caveat"] for row in rows if "caveat" in row}
    lines += [f"{evaluation}: {caveat}" for evaluation, caveat in caveats.items()]
    return "\n".join(lines)
