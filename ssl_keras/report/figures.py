"""The charts of a report, as Plotly figures without colors of their own: the page gives them those of its theme."""

import json
import os

import numpy as np
import plotly.graph_objects as go

from ssl_keras.report.scores import Scores
from ssl_keras.scores import spectrum

CURVES = {
    "loss": "Loss",
    "effective_rank": "Effective rank of the features",
    "z_std": "Spread of the projections, z_std",
    "knn_top1": "kNN among training images in %",
    "learning_rate": "Learning rate",
}
SHARES = ("knn_top1",)
CLASSES = 20  # that have a color of their own


def curves(scores: Scores) -> dict[str, go.Figure]:
    """By number of epochs: what was logged while the run trained, and runs of the same method that it is compared
    with."""
    logs = {"this run": _metrics(scores.config.workdir)}
    for name, config in scores.runs.items():
        if name != "run" and config.method == scores.config.method:
            logs[scores.folder(name)] = _metrics(name)
    found = {}
    for key, title in CURVES.items():
        figure = go.Figure()
        for name, lines in logs.items():
            points = [(line["epoch"], line[key]) for line in lines if key in line]
            if points:
                epochs, values = zip(*points)
                shown = [100 * value for value in values] if key in SHARES else values
                figure.add_scatter(x=epochs, y=shown, name=name, mode="lines+markers")
        if figure.data:
            found[f"curve_{key}"] = _titled(figure, f"{title}, by epoch")
    return found


def label_efficiency(scores: Scores) -> go.Figure | None:
    """Accuracy by number of labels; a network trained with labels is a single point."""
    rows = scores.of("label_efficiency")
    if not rows:
        return None
    figure = go.Figure()
    for title in dict.fromkeys(map(scores.title, rows)):
        line = sorted((row for row in rows if scores.title(row) == title), key=lambda row: row["labels"])
        low, high = zip(*(row.get("range", {}).get("top1", [row["top1"]] * 2) for row in line))
        y = 100 * np.array([row["top1"] for row in line])
        error = {"array": 100 * np.array(high) - y, "arrayminus": y - 100 * np.array(low)}
        figure.add_scatter(x=[row["labels"] for row in line], y=y, error_y=error, name=title, mode="lines+markers")
    for row in scores.of("linear"):
        if scores.kind(row) == "supervised":
            point = {"x": [row["train_examples"]], "y": [100 * row["top1"]], "name": scores.title(row)}
            figure.add_scatter(**point, mode="markers", marker={"symbol": "diamond", "size": 11})
    labels = sorted({row["labels"] for row in rows})
    figure.update_xaxes(type="log", tickvals=labels, ticktext=[f"{number:,}" for number in labels])
    return _titled(figure, "Right test images of a linear classifier in %, by number of labels")


def singular_values(x: np.ndarray) -> go.Figure:
    """ln σ of the centered features: a cliff shows dimensions that say nothing."""
    values = spectrum.singular_values(x - x.mean(axis=0, dtype=np.float64))
    shown = values[values > 1e-9 * max(values[0], 1e-30)]
    figure = go.Figure(go.Scatter(x=np.arange(1, len(shown) + 1), y=np.log(shown), mode="lines", name="ln σ"))
    return _titled(figure, f"Spread of the {len(values)} feature directions, ln of the singular value")


def feature_map(
    places: dict[str, np.ndarray], labels: list[str], numbers: list[int], order: list[str]
) -> go.Figure:
    """Images at their places, a trace for each class; the first map is shown, the others are for the page's buttons.

    Args:
        places: of `maps.maps`.
        labels: the class of each image, "" where it has none.
        numbers: of the images in the gallery.
        order: the classes, those that have a color of their own first.
    """
    first = next(iter(places))
    figure = go.Figure()
    kind = go.Scattergl if len(labels) > 5000 else go.Scatter
    groups: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        groups.setdefault(label if label in order[:CLASSES] else "others", []).append(i)
    for name in sorted(groups, key=[*order[:CLASSES], "others"].index):
        rows = groups[name]
        own = places[first][rows]
        figure.add_trace(
            kind(
                x=own[:, 0],
                y=own[:, 1],
                name=name or "images",
                mode="markers",
                marker={"size": 6, "opacity": 0.8},
                customdata=[numbers[i] for i in rows],
                hoverinfo="none",
                meta={key: place[rows].round(4).tolist() for key, place in places.items()},
            )
        )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, scaleanchor="x")
    return figure


def as_json(figure: go.Figure) -> dict:
    """Plain values for the page, which writes the title itself."""
    made = json.loads(figure.to_json())
    for name in ("template", "title"):
        made["layout"].pop(name, None)
    return made


def _titled(figure: go.Figure, title: str) -> go.Figure:
    figure.update_layout(title={"text": title})
    return figure


def _metrics(folder: str) -> list[dict]:
    with open(os.path.join(folder, "metrics.jsonl"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]
