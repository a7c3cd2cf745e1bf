"""Scores of a run's encoder, of an encoder file, and of the two yardsticks that show what training was worth."""

import dataclasses
import itertools
import os
import re
from collections.abc import Iterator, Sequence

from ssl_keras import files, methods, run_folder
from ssl_keras.config import Config, read_run
from ssl_keras.data.canvases.pipeline import BadFilesError
from ssl_keras.encoders import applications, stages
from ssl_keras.encoders.encoder import Encoder
from ssl_keras.errors import UserError
from ssl_keras.evals import REGISTRY, seeds
from ssl_keras.evals.data import Data
from ssl_keras.evals.subject import Row


@dataclasses.dataclass(frozen=True)
class Request:
    """What `tools.evaluate` was asked for.

    Fields:
        encoders: of `run` (the encoder of the run), `random` (its architecture, untrained), `pixels`, paths of encoder
        files and of runs' folders, or names of `encoders.applications`.
        evaluations: names of `evals.REGISTRY`, each with its `Options`.
        config: the run's settings, or those of the command line where there is no run.
        layers: where each encoder is cut: names of `encoders.stages`, "representation" for its own output, or "all".
        test_examples: the first so many test images; None: all.
        output: a JSON file for all rows, or None.
        dtype: pixel type that encoder files expect which do not say it themselves, or None.
        crop: how images become squares: "center" or "squash", see `features.embedder`.
        labels: see `data.splits.train_and_test`.
        group_by: that of the command line, for probe sets; groups of the run's own data are those of `config`.
        probes: data sets to evaluate on, one after another, in the place of the run's own; (): that one.
        weights: {encoder: file of its weights}, of networks of keras.applications.
        feature_cache: a folder in which features are kept for later, or None.
    """

    encoders: tuple[str, ...]
    evaluations: dict[str, object]
    config: Config
    layers: tuple[str, ...]
    test_examples: int | None
    output: str | None = None
    dtype: str | None = None
    crop: str = "center"
    labels: str | None = None
    group_by: str | None = None
    probes: tuple[str, ...] = ()
    weights: dict[str, str] = dataclasses.field(default_factory=dict)
    feature_cache: str | None = None


def evaluate(request: Request, data: Data | None = None) -> list[dict]:
    """Runs each evaluation for each encoder. Each result is written when it is there: a run's to its `evals/NAME.json`,
    all of them to `request.output`. Lines about the data are printed.

    Args:
        data: `data_for(request)`, where several requests share it.

    Returns:
        A row for each encoder, layer and evaluation: {"encoder", "layer", "eval", "metrics": their names, each metric
        with its value, and all that it was measured with}; then the means of runs that differ in their seed alone, see
        `seeds.pooled`. "classes": {name: [training images, test images]}; "caveat"
        where there is one. Where an evaluation cannot be made of what was given, "top1" is None and "error" says why.
    """
    check(request)
    rows: list[dict] = []
    for asked in _each_probe(request):
        own: list[dict] = []
        for found in _results(asked, data or data_for(asked)):
            own += found
            if request.config.workdir and "error" not in found[0]:  # what an earlier evaluation wrote stays
                write(found, request.config.workdir, "" if asked.config.data == request.config.data else _slug(asked))
            if request.output:
                files.write_json(request.output, rows + own, files.holds_rows)
        rows += own + seeds.pooled(own, request.encoders, request.config.workdir)
    if request.output:
        files.write_json(request.output, rows, files.holds_rows)
    return rows


def _each_probe(request: Request) -> list[Request]:
    """A request for each of the probe sets."""
    own = request.config.data
    others = {"train_examples": None, "group_by": request.group_by}  # the run's are said of its own images
    changed = {name: {} if name == own else others for name in request.probes}
    return [
        dataclasses.replace(request, config=request.config.with_data(name, **change), probes=())
        for name, change in changed.items()
    ] or [request]


def _slug(request: Request) -> str:
    """The data of a request as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", request.config.data.partition(":")[2] or request.config.data).strip("-") + "_"


def data_for(request: Request, labeled: bool | None = None, keep: tuple[str, ...] = ()) -> Data:
    """The images of a request.

    Args:
        labeled: whether they must have labels; None: whether an evaluation needs them.
        keep: see `Data`.
    """
    if labeled is None:
        labeled = any("labels" in REGISTRY.load(name).NEEDS for name in request.evaluations)
    settings = request.dtype, request.crop, keep, request.labels
    kept = request.weights, request.feature_cache
    return Data(request.config, request.test_examples, labeled, *settings, *kept)


def _results(request: Request, data: Data) -> Iterator[list[dict]]:
    """The rows of `evaluate`, evaluation by evaluation."""
    caveats = methods.load(request.config.method).caveats

    def row(name: str, layer: str, evaluation: str, result: dict) -> dict:
        caveat = {"caveat": caveats[evaluation]} if name == "run" and evaluation in caveats else {}
        known = {"data": request.config.data, "split": data.note, "crop": request.crop}
        known |= {"weights": request.weights[name]} if name in request.weights else {}
        return {"encoder": name, "layer": layer, "eval": evaluation} | result | known | caveat

    for name in request.encoders:
        try:
            images = data.images_for(name)
        except BadFilesError:
            raise  # the images are those of all encoders
        except UserError as error:
            for layer in request.layers:
                for evaluation in request.evaluations:
                    yield [row(name, layer, evaluation, _failed(error))]
            continue
        for layer in layers_of(images.encoder, request.layers):
            subject = images.subject(layer, request.config.seed)
            for evaluation, options in request.evaluations.items():
                try:
                    found = REGISTRY.load(evaluation).evaluate(subject, options)
                    results = [result | images.classes() for result in merged(found)]
                except UserError as error:
                    results = [_failed(error)]
                yield [row(name, layer, evaluation, result) for result in results]


def merged(found: list[Row]) -> list[dict]:
    """Rows of a metric each as one for all metrics that were measured alike.

    "range" holds the lowest and the highest of several draws, by metric; "plain" names metrics that are no shares.
    """
    alike: list[tuple[dict[str, Row], dict]] = []
    for row in found:
        metrics = next((m for m, known in alike if known == row.conditions and row.metric not in m), None)
        if metrics is None:
            alike.append(({row.metric: row}, row.conditions))
        else:
            metrics[row.metric] = row
    return [_row_of(list(metrics.values())) | conditions for metrics, conditions in alike]


def _row_of(rows: list[Row]) -> dict:
    ranges = {row.metric: [row.low, row.high] for row in rows if row.low is not None}
    plain = [row.metric for row in rows if not row.share]
    found = {"metrics": [row.metric for row in rows]} | {row.metric: row.value for row in rows}
    return found | ({"range": ranges} if ranges else {}) | ({"plain": plain} if plain else {})


def _failed(error: UserError) -> dict:
    return {"metrics": ["top1"], "top1": None, "error": str(error)}


def layers_of(encoder: Encoder | None, wanted: tuple[str, ...]) -> list[str]:
    """The layers to judge, "all" written out; pixels have none but themselves."""
    if encoder is None:
        return [stages.WHOLE]
    return [*encoder.contract.stages, stages.WHOLE] if "all" in wanted else list(wanted)


def write(rows: list[dict], workdir: str, probe: str = "") -> None:
    """`evals/NAME.json` of a run: NAME is the evaluation, after encoder, layer and data where those are not its own.

    An encoder's file is named with its folder, and numbered where another encoder has the name already.

    Args:
        rows: those of one evaluation; a single one is written as it is, several as a list.
    """
    row = rows[0]
    layer = "" if row["layer"] == stages.WHOLE else f"{row['layer']}_"
    encoder = "" if row["encoder"] == "run" else f"{_short(row['encoder'])}_"
    for number in itertools.count(1):
        again = f"{number}_" if number > 1 else ""
        path = os.path.join(workdir, "evals", f"{encoder}{again}{layer}{probe}{row['eval']}.json")
        if not os.path.exists(path) or _encoder_of(path) == row["encoder"]:
            return files.write_json(path, row if len(rows) == 1 else rows)


def _encoder_of(path: str) -> str | None:
    """The encoder whose rows a file holds."""
    rows = files.read_json(path)
    return (rows if isinstance(rows, dict) else rows[0]).get("encoder")


def _short(encoder: str) -> str:
    """random, pixels, NAME of a run's folder, keras_applications-NAME, or FOLDER-NAME of an encoder file."""
    if encoder in ("random", "pixels"):
        return encoder
    if applications.is_name(encoder):
        return encoder.replace(":", "-")
    if os.path.isdir(encoder):
        return os.path.basename(os.path.abspath(encoder))
    folder, name = os.path.split(os.path.abspath(encoder))
    return f"{os.path.basename(folder)}-{os.path.splitext(name)[0]}"


def check(request: Request) -> None:
    """Raises UserError for a request that cannot be served, before data is read."""
    if request.output:
        files.refuse_foreign(request.output, files.holds_rows)
        os.makedirs(os.path.dirname(request.output) or ".", exist_ok=True)
    for flag, names in (("encoder", request.encoders), ("eval", request.evaluations)):
        if not names:
            raise UserError(f"--{flag} names nothing")
    for name in request.encoders:
        if name == "run" and not request.config.workdir:
            raise UserError("--workdir is missing: give a run's folder, or --encoder=FILE, random or pixels")
        if applications.is_name(name):
            applications.loaded(name, request.weights[name])
        elif name not in ("run", "random", "pixels") and not os.path.isfile(name) and not seeds.is_run(name):
            raise UserError(
                f"no encoder at {name!r}: give an encoder.keras file, a finished run's folder, run, random, pixels, or "
                "keras_applications:NAME with --weights"
            )
    if request.feature_cache and os.path.exists(request.feature_cache) and not os.path.isdir(request.feature_cache):
        raise UserError(f"--feature_cache={request.feature_cache} is a file: name a folder")
    if request.test_examples is not None and request.test_examples < 1:
        raise UserError(f"--test_examples must be greater than 0, got {request.test_examples}")


def request_from(
    given: dict,
    encoder: str,
    evaluations: str,
    test_examples: int | None,
    layers: str = stages.WHOLE,
    output: str | None = None,
    options: dict[str, dict] | None = None,
    crop: str = "center",
    labels: str | None = None,
    probes: Sequence[str] = (),
    weights: Sequence[str] = (),
    feature_cache: str | None = None,
) -> Request:
    """The request of a command line.

    Args:
        given: fields of `Config` that the command line sets; a `workdir` among them brings the settings of its run.
        encoder, evaluations, layers: lists separated by commas.
        output: a JSON file; `~` in it and in an encoder's path is the home folder.
        options: {evaluation: fields of its `Options`}; others keep their defaults.
        weights: files, one for each network of keras.applications among the encoders, in their order.
        crop, labels, probes, feature_cache: see `Request`.

    Raises:
        UserError: an unknown evaluation, an option that it refuses, or a workdir without a finished run.
    """
    workdir, config = given.get("workdir"), Config()
    encoders = [os.path.expanduser(name) for name in _names(encoder)]
    if workdir:
        config = dataclasses.replace(read_run(workdir), workdir=workdir, positives="self")  # of training alone
        if "run" in encoders and not os.path.exists(os.path.join(workdir, run_folder.ENCODER)):
            raise UserError(f"{workdir!r} holds a run that has not finished: run its tools.pretrain command again")
        if given.get("data", config.data) != config.data:
            config = config.with_data(given["data"], train_examples=None, group_by=None)  # said of the other data
    elif "data" not in given and not probes:
        raise UserError("--data is missing: name the labeled images, or a run's --workdir")
    return Request(
        tuple(encoders),
        {name: REGISTRY.load(name).Options(**(options or {}).get(name, {})) for name in _names(evaluations)},
        dataclasses.replace(config, **given),
        tuple(_names(layers)) or (stages.WHOLE,),
        test_examples,
        os.path.expanduser(output) if output else None,
        given.get("dtype"),
        crop,
        labels or None,
        given.get("group_by"),
        tuple(dict.fromkeys(probes)),
        applications.paired(encoders, [files.local(path) for path in weights]),
        files.local(feature_cache) if feature_cache else None,
    )


def _names(text: str) -> list[str]:
    """The words of a list separated by commas, each once."""
    return list(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))
