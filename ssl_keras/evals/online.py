"""Scores while a run trains: of an encoder, on labeled images of which none is a test image."""

import os
import re
from collections.abc import Callable

import numpy as np

from ssl_keras.config import Config
from ssl_keras.data import splits
from ssl_keras.data.canvases.memory import load_canvases
from ssl_keras.data.canvases.pipeline import CanvasSpec
from ssl_keras.data.canvases.probe import possible_channels
from ssl_keras.data.groups import parts
from ssl_keras.data.source import subset
from ssl_keras.errors import UserError
from ssl_keras.evals import features, knn, ridge
from ssl_keras.evals.subject import Subject

KNN_QUERIES, KNN_BANK = 1000, 10_000


def online_knn(config: Config, name: str, encoder, canvases) -> Callable[[], dict[str, float]]:
    """() -> {name: kNN accuracy among *training* images}; of these some vote, and others are held out.

    Args:
        encoder: the model as it trains.
        canvases: the images that it is trained on.

    Raises:
        UserError: they have no labels of two classes.
    """
    if len(np.unique(canvases.labels[canvases.labels >= 0])) < 2:
        raise UserError(f"--knn_every needs labeled images of two classes, which {config.data} lacks; leave it out")
    rows = bank_and_queries(canvases.labels, canvases.groups)
    if not len(rows[1]):
        raise UserError(f"--knn_every: no group of --group_by={config.group_by} can be held out; leave it out")
    bank, queries = map(canvases.subset, rows)
    subject = _subject(config, encoder, bank, queries)
    return lambda: {name: knn.evaluate(subject(), knn.Options())[0].value}


def online_probe(config: Config, data: str, name: str, encoder, spec: CanvasSpec) -> Callable[[], dict[str, float]]:
    """() -> {`knn_top1/NAME`, `ridge_top1/NAME`}: accuracies on a labeled probe set.

    They are fitted and scored on two parts of its *training* images: its test images are not looked at.

    Args:
        data: the probe set, written as for --data.
        spec: of the canvases that the run is trained on.

    Raises:
        UserError: it has no labels of two classes, or images of other channels.
    """
    own = config.group_by if data == config.data else None  # said of the run's own images
    source, _, _ = splits.train_and_test(data, config.data_dir, spec.size, group_by=own)
    possible = possible_channels(source)
    if spec.channels not in possible:
        known = " or ".join(map(str, sorted(possible)))
        raise UserError(
            f"--probe_data={data}: the run takes images of {spec.channels} channels, and this has images of {known}"
        )
    bank, queries = (
        load_canvases(subset(source, rows, source.name), spec, config.max_bad_fraction)
        for rows in bank_and_queries(source.labels, source.groups)
    )
    subject = _subject(config, encoder, bank, queries)

    def measure() -> dict[str, float]:
        now = subject()
        return {
            f"knn_top1/{name}": knn.evaluate(now, knn.Options())[0].value,
            f"ridge_top1/{name}": ridge.evaluate(now, ridge.Options())[0].value,
        }

    return measure


def probe_names(probes: tuple[str, ...]) -> dict[str, str]:
    """{probe set: a short name of it, another for each}."""
    found: dict[str, str] = {}
    for data in dict.fromkeys(probes):
        short = os.path.basename(data.partition(":")[2].rstrip("/")) or data
        short = re.sub(r"[^A-Za-z0-9_.-]+", "-", short).strip("-")
        found[data] = f"{short}-{len(found) + 1}" if short in found.values() else short
    return found


def bank_and_queries(labels: np.ndarray, groups: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Rows of labeled images: those whose labels vote, and those whose labels are held out. Always the same.

    Args:
        groups: int [N], of which none is in both; None: each image is one of its own.
    """
    order = np.random.default_rng(0).permutation(np.flatnonzero(labels >= 0))
    if groups is not None:
        held = parts.held_out(labels, groups, 0, min(KNN_QUERIES / max(len(order), 1), 0.2))[order]
        return order[~held][:KNN_BANK], order[held][:KNN_QUERIES]
    queries = order[: min(KNN_QUERIES, max(1, len(order) // 5))]
    return order[len(queries) :][:KNN_BANK], queries


def _subject(config: Config, encoder, bank, queries) -> Callable[[], Subject]:
    """() -> the features of both parts as the encoder gives them now."""
    embed = features.embedder(lambda x: encoder(x, training=False), config.image_size)
    return lambda: Subject(lambda: (features.extract(embed, bank), features.extract(embed, queries)))
