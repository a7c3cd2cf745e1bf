"""Scores of a run's encoder, of an encoder file, and of the two yardsticks that show what training was worth."""

import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator

from ssl_keras import files, methods
from ssl_keras.config import Config, read_run
from ssl_keras.data.pipeline import BadFilesError
from ssl_keras.errors import UserError
from ssl_keras.evals import EVALUATIONS, features, knn, linear
from ssl_keras.labelled_data import Encoder, LabelledData
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
        output: a JSON file for all rows, or None.
    """

    encoders: tuple[str, ...]
    evaluations: tuple[str, ...]
    config: Config
    layers: tuple[str, ...]
    test_examples: int | None
    knn: dict
    output: str | None = None


def evaluate(request: Request) -> list[dict]:
    """Runs each evaluation for each encoder. Each result is written when it is there: a run's to its `evals/NAME.json`,
    all of them to `request.output`. Lines about the data are printed.

    Returns:
        A row for each encoder, layer and evaluation: {"encoder", "layer", "eval", "top1", ... and all that the score
        was measured with}; "classes": {name: [training images, test images]}; "caveat" where there is one. Where an
        evaluation cannot be made, "top1" is None and "error" says why.
    """
    check(request)
    data = LabelledData(request.config, request.test_examples)
    rows = []
    for row in _rows(request, data):
        rows.append(row)
        if request.config.workdir and "error" not in row:  # what an earlier evaluation wrote stays
            write(row, request.config.workdir)
        if request.output:
            files.write_json(request.output, rows, files.holds_rows)
    return rows


def _rows(request: Request, data: LabelledData) -> Iterator[dict]:
    """The rows of `evaluate`, one after the other."""
    caveats = methods.load(request.config.method).caveats

    def row(name: str, layer: str, evaluation: str, result: dict) -> dict:
        caveat = {"caveat": caveats[evaluation]} if name == "run" and evaluation in caveats else {}
        known = {"data": request.config.data, "split": data.note}
        return {"encoder": name, "layer": layer, "eval": evaluation} | result | known | caveat

    def failed(name: str, layers: Iterable[str], error: ValueError) -> list[dict]:
        result = {"top1": None, "error": sentence(error)}
        return [row(name, layer, evaluation, result) for layer in layers for evaluation in request.evaluations]

    for name in request.encoders:
        try:
            encoder = data.encoder(name)
        except BadFilesError:
            raise  # the images are those of all encoders
        except ValueError as error:
            yield from failed(name, request.layers, error)
            continue
        for layer in layers_of(encoder, request.layers):
            try:
                pair = encoder.features(layer)
            except ValueError as error:
                yield from failed(name, [layer], error)
                continue
            for evaluation in request.evaluations:
                try:
                    result = score(evaluation, *pair, request) | encoder.classes()
                except ValueError as error:
                    result = {"top1": None, "error": sentence(error)}
                yield row(name, layer, evaluation, result)


def sentence(error: ValueError) -> str:
    """What an error says; TensorFlow puts the lines of code that a traced function went through before it."""
    lines = str(error).strip().splitlines() or [repr(error)]
    return lines[-1].strip().removeprefix("ValueError: ")


def score(evaluation: str, train: features.Features, test: features.Features, request: Request) -> dict:
    """What one evaluation finds."""
    if evaluation == "knn":
        return knn.evaluate(train, test, **request.knn)
    return linear.evaluate(train, test, seed=request.config.seed)


def layers_of(encoder: Encoder, wanted: tuple[str, ...]) -> list[str]:
    """The layers to judge, "all" written out; pixels have none but themselves."""
    if encoder.model is None:
        return [stages.WHOLE]
    return [*stages.names(encoder.model), stages.WHOLE] if "all" in wanted else list(wanted)


def write(row: dict, workdir: str) -> None:
    """`evals/NAME.json` of a run: NAME is the evaluation, after encoder and layer where those are not its own.

    An encoder's file is named with its folder, and numbered where another encoder has the name already.
    """
    layer = "" if row["layer"] == stages.WHOLE else f"{row['layer']}_"
    encoder = "" if row["encoder"] == "run" else f"{_short(row['encoder'])}_"
    for number in itertools.count(1):
        again = f"{number}_" if number > 1 else ""
        path = os.path.join(workdir, "evals", f"{encoder}{again}{layer}{row['eval']}.json")
        if not os.path.exists(path) or files.read_json(path).get("encoder") == row["encoder"]:
            return files.write_json(path, row)


def _short(encoder: str) -> str:
    """random, pixels, or FOLDER-NAME of an encoder file."""
    if encoder in ("random", "pixels"):
        return encoder
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
    for name in request.evaluations:
        if name not in EVALUATIONS:
            raise UserError(f"unknown evaluation {name!r}; known: {', '.join(EVALUATIONS)}")
    for name in request.encoders:
        if name == "run" and not request.config.workdir:
            raise UserError("--workdir is missing: give a run's folder, or --encoder=FILE, random or pixels")
        if name not in ("run", "random", "pixels") and not os.path.isfile(name):
            raise UserError(f"no encoder at {name!r}: give an encoder.keras file, run, random or pixels")
    if request.knn["k"] < 1 or not request.knn["temperature"] > 0:
        raise UserError(f"--knn_k must be at least 1 and --knn_temperature greater than 0, got {request.knn}")
    if request.test_examples is not None and request.test_examples < 1:
        raise UserError(f"--test_examples must be greater than 0, got {request.test_examples}")


def request_from(
    given: dict,
    encoder: str,
    evaluations: str,
    test_examples: int | None,
    layers: str = stages.WHOLE,
    output: str | None = None,
    **knn_options,
) -> Request:
    """The request of a command line.

    Args:
        given: fields of `Config` that the command line sets; a `workdir` among them brings the settings of its run.
        encoder, evaluations, layers: lists separated by commas.
        output: a JSON file; `~` in it and in an encoder's path is the home folder.
    """
    workdir, config = given.get("workdir"), Config()
    encoders = [os.path.expanduser(name) for name in _names(encoder)]
    if workdir:
        config = dataclasses.replace(read_run(workdir), workdir=workdir)
        if "run" in encoders and not os.path.exists(os.path.join(workdir, "encoder.keras")):
            raise UserError(f"{workdir!r} holds a run that has not finished: run its tools.pretrain command again")
        if given.get("data", config.data) != config.data:
            config = dataclasses.replace(config, train_examples=None)  # that number was said of the other data
    elif "data" not in given:
        raise UserError("--data is missing: name the labeled images, or a run's --workdir")
    return Request(
        tuple(encoders),
        tuple(_names(evaluations)),
        dataclasses.replace(config, **given),
        tuple(_names(layers)) or (stages.WHOLE,),
        test_examples,
        knn_options,
        os.path.expanduser(output) if output else None,
    )


def _names(text: str) -> list[str]:
    """The words of a list separated by commas, each once."""
    return list(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))


def table(rows: list[dict]) -> str:
    """The rows as text: a line for each encoder and layer, a column for each evaluation, accuracies in percent.

    Below them stands what is to be known of an evaluation. Where one could not be made stands a dash.
    """
    evaluations = list(dict.fromkeys(row["eval"] for row in rows))
    scores = {(_row_name(row), row["eval"]): row["top1"] for row in rows}
    names = dict.fromkeys(map(_row_name, rows))
    width = max(map(len, names))
    shown = {key: "-" if top1 is None else f"{100 * top1:.1f}" for key, top1 in scores.items()}
    lines = [" " * width + "".join(f"{name:>10}" for name in evaluations)]
    lines += [f"{name:<{width}}" + "".join(f"{shown[name, e]:>10}" for e in evaluations) for name in names]
    caveats = {row["eval"]: row["caveat"] for row in rows if "caveat" in row}
    lines += [f"{evaluation}: {caveat}" for evaluation, caveat in caveats.items()]
    return "\n".join(lines)


def failures(rows: list[dict]) -> list[str]:
    """A sentence for each reason for which evaluations could not be made."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if "error" in row:
            reasons.setdefault(row["error"], []).append(f"{row['eval']} of {_row_name(row)}")
    return [f"{', '.join(which)}: {reason}" for reason, which in reasons.items()]


def _row_name(row: dict) -> str:
    return row["encoder"] + ("" if row["layer"] == stages.WHOLE else f" {row['layer']}")
