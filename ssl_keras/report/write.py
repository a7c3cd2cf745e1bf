"""Writes the report of a run, from top to bottom."""

import dataclasses
import os
import time

import numpy as np

from ssl_keras import files, run_folder
from ssl_keras.errors import UserError
from ssl_keras.evals import table
from ssl_keras.report import facts, figures, maps, page
from ssl_keras.report.findings import Finder, evenly
from ssl_keras.report.gallery import TEST, TRAIN, Gallery
from ssl_keras.report.scores import Scores, measure
from ssl_keras.report.verdict import Gain, Score, Verdict, disagreement, verdict, without_labels

MOST_THUMBNAILS = 5000
USAGE = """import keras

encoder = keras.saving.load_model("{path}")
images = ...                          # raw pixel values, float32 [B, {size}, {size}, {channels}]
features = encoder.predict(images)    # float32 [B, {dimension}]"""


@dataclasses.dataclass(frozen=True)
class Request:
    """What `tools.report` was asked for.

    Args:
        given: fields of `Config` that the command line sets, the run's `workdir` among them.
        against: folders of other runs, encoder files, and names of `encoders.applications`, to compare with.
        output: the HTML file; "": `report.html` in the run's folder.
        thumbnails: images in the report at most.
        test_examples: score on the first so many test images; None: all.
        crop, feature_cache: see `evals.run.Request`.
        weights: see `evals.run.request_from`.
    """

    given: dict
    against: tuple[str, ...]
    output: str = ""
    thumbnails: int = 2000
    test_examples: int | None = None
    crop: str = "center"
    weights: tuple[str, ...] = ()
    feature_cache: str | None = None


def write(request: Request) -> tuple[str, Scores]:
    """Writes the report whole or not at all.

    Returns:
        Its path, and the scores that it shows.

    Raises:
        UserError: no finished run, an encoder or data that cannot be read, or an output path that is taken.
    """
    workdir = request.given.get("workdir")
    if not workdir:
        raise UserError("--workdir is missing: name the folder of a finished run")
    if not 100 <= request.thumbnails <= MOST_THUMBNAILS:
        raise UserError(f"--thumbnails must be between 100 and {MOST_THUMBNAILS}, got {request.thumbnails}")
    output = request.output or os.path.join(workdir, run_folder.REPORT)
    if request.output:
        run_folder.refuse_own(workdir, output, but=(run_folder.REPORT,))
    files.refuse_foreign(output, page.is_report)
    scores = measure(
        request.given, request.against, request.test_examples, request.crop, request.weights, request.feature_cache
    )
    gallery = Gallery(scores.data, scores.data.images_for("run"))
    finder = Finder(scores.subject, gallery, scores.labeled)
    print("images to look at", flush=True)
    sections = finder.sections()
    print("map", flush=True)
    feature_map, map_names, count = _map(scores, gallery, request.thumbnails)
    charts = figures.curves(scores)
    curves = [*charts, "singular_values"]
    charts["singular_values"] = figures.singular_values(scores.subject.features[0].x)
    efficiency = figures.label_efficiency(scores)
    if efficiency is not None:
        charts["label_efficiency"] = efficiency
    found = {
        "title": f"{scores.config.method} on {scores.data.train.name}: {os.path.basename(os.path.abspath(workdir))}",
        "contents": [*CONTENTS, *((section.name, section.title) for section in sections), *LAST_CONTENTS],
        "verdict": judge(scores),
        "tables": _tables(scores),
        "score_remarks": _score_remarks(scores),
        "curve_remarks": [f"{told}." for told in table.remarks(scores.of("label_efficiency"), scores.title)],
        "has_labels": efficiency is not None,
        "health": _health(workdir),
        "curves": curves,
        "charts": {name: {"title": chart.layout.title.text, "alt": _alt(chart)} for name, chart in charts.items()},
        "map_note": "" if scores.labeled else " These images have no labels.",
        "map_names": map_names,
        "map_count": count,
        "sections": sections,
        "facts": facts.facts(scores),
        "bad_files": facts.bad_files(workdir),
        "flag_groups": facts.flag_groups(scores.config),
        "workdir": workdir,
        "usage": _usage(scores),
        "written": time.strftime("%Y-%m-%d"),
    }
    plain = {name: figures.as_json(figure) for name, figure in charts.items()}
    text = page.render(found, plain, figures.as_json(feature_map), gallery.captions(), gallery.sprite())
    with files.space_needed(os.path.dirname(output) or "."):
        files.write_text(output, text, page.is_report)
    return output, scores


CONTENTS = [("verdict", "Verdict"), ("scores", "Scores"), ("health", "Health"), ("map", "Map")]
LAST_CONTENTS = [("run", "What was run"), ("use", "Use the encoder")]


def judge(scores: Scores) -> Verdict:
    """The verdict on the run, beside the untrained network and the best of those trained with labels."""
    if not scores.labeled:
        return without_labels()
    by_kind: dict[str, dict[str, list[Score]]] = {}
    for evaluation in ("linear", "knn"):
        for row in scores.of(evaluation):
            by_kind.setdefault(evaluation, {}).setdefault(scores.kind(row), []).append(Score.of(row))
    linear, knn = by_kind["linear"], by_kind["knn"]
    best = max(range(len(linear.get("supervised", []))), key=lambda i: linear["supervised"][i].value, default=None)

    def of(evaluation: dict, kind: str) -> Score | None:
        if kind != "supervised":
            return evaluation[kind][0]
        return None if best is None else evaluation[kind][best]

    labels = next(row["train_examples"] for row in scores.of("linear"))
    said = verdict(linear["run"][0], linear["random"][0], of(linear, "supervised"), labels)
    others = [kind for kind in ("random", "supervised") if of(linear, kind) is not None]
    gains = [[Gain.of(scored["run"][0], of(scored, kind)) for kind in others] for scored in (linear, knn)]
    return said._replace(remarks=[*said.remarks, *disagreement(*gains)])


def _tables(scores: Scores) -> list[dict]:
    """Tables for the page: caption, columns, rows of a name, a kind and cells."""
    asked = [
        (("knn", "linear"), "Right test images in %; of several seeds the mean (lowest-highest)", True),
        (("calibration",), "Does the linear classifier know when it is right? 0 is best", True),
        (("spectrum",), "In how many directions the features of this run vary", False),
        (("clusters",), "Clusters of k-means beside the classes, 1 or 100 % is best", False),
    ]
    tables = []
    for evaluations, caption, pooled in asked:
        rows = [row for name in evaluations for row in scores.of(name, pooled)]

        def column(row: dict, metric: str, alone: bool = len(evaluations) == 1) -> str:
            return metric if alone else table.column(row, metric)

        columns = list(dict.fromkeys(column(row, metric) for row in rows for metric in row["metrics"]))
        named: dict[str, dict] = {}
        for row in rows:
            entry = named.setdefault(scores.title(row), {"kind": scores.kind(row), "cells": {}})
            entry["cells"] |= {column(row, metric): table.shown(row, metric) for metric in row["metrics"]}
        if rows:
            lines = [
                {"name": name, "kind": entry["kind"], "cells": [entry["cells"].get(column, "") for column in columns]}
                for name, entry in named.items()
            ]
            tables.append({"caption": caption, "columns": columns, "rows": lines})
    return tables


def _score_remarks(scores: Scores) -> list[str]:
    """What is to be known of the table: conditions, and scores that could not be made."""
    remarks = []
    for row in scores.of("linear")[:1]:
        remarks.append(
            f"{row['train_examples']:,} training images with labels and {row['test_examples']:,} test images. "
            "Penalties and temperatures are chosen on training images that are held out; test images choose nothing. "
            "The last epoch is scored."
        )
    remarks += table.caveats(scores.rows)
    return remarks + [f"Not scored: {sentence}" for sentence in table.failures(scores.rows)]


def _health(workdir: str) -> list[str]:
    """What was noticed while the run trained."""
    summary = files.read_json(os.path.join(workdir, "summary.json"))
    return summary.get("remarks") or ["Nothing was noticed that is wrong with this run."]


def _map(scores: Scores, gallery: Gallery, thumbnails: int) -> tuple:
    """The map's figure, the names of its kinds, and how many images it has: test images first, then training ones."""
    train, test = scores.subject.features
    left = max(thumbnails - len(gallery), 2)
    tests = evenly(len(test.x), left)
    trains = evenly(len(train.x), left - len(tests)) if left > len(tests) else np.arange(0)
    x = np.concatenate([test.x[tests], train.x[trains]])
    shown = [(TEST, int(test.rows[i])) for i in tests] + [(TRAIN, int(train.rows[i])) for i in trains]
    labels = [gallery.label(*image) for image in shown]
    names, counts = np.unique(labels, return_counts=True)
    order = [str(name) for name in names[np.argsort(-counts, kind="stable")]]
    order = sorted(order[: figures.CLASSES]) + order[figures.CLASSES :]
    places = maps.maps(x, scores.config.seed)
    chart = figures.feature_map(places, labels, [gallery.add(*image) for image in shown], order)
    return chart, list(places), len(x)


def _alt(figure) -> str:
    """A chart in words, for who cannot see it."""
    lines = []
    for trace in figure.data:
        if len(trace.y):
            lines.append(f"{trace.name}: from {float(trace.y[0]):.3g} to {float(trace.y[-1]):.3g}")
    return f"{'; '.join(lines)}."


def _usage(scores: Scores) -> str:
    contract = scores.data.images_for("run").encoder.contract
    path = os.path.join(scores.config.workdir, run_folder.ENCODER)
    return USAGE.format(
        path=path, size=contract.size, channels=contract.channels, dimension=contract.dimension
    )
