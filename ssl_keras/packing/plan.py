"""What shards are to hold: their manifest before anything is made. Shards of another plan are others."""

import dataclasses
import hashlib

from ssl_keras.build.packed import of_canvases, settings_made
from ssl_keras.config import Config
from ssl_keras.data import shards
from ssl_keras.data.canvases.pipeline import CanvasSpec
from ssl_keras.data.identity import below, roots_of
from ssl_keras.data.source import Source
from ssl_keras.words import shown

SHARD_BYTES = 2**26  # of canvases in a shard, before they are packed
PLANNED = ("name", "images", "labeled", "remarks", "names_sha256", "root")  # of a split


def plan(
    config: Config, resolved: Config, spec: CanvasSpec, sources: dict[str, Source], images_per_shard: int | None
) -> dict:
    """The plan of shards, in what JSON can hold.

    Args:
        config, resolved: the settings before and after the data have decided.
        spec: of the canvases.
        sources: by split.
        images_per_shard: None: so many that their canvases are `SHARD_BYTES`.
    """
    train, roots = sources["train"], roots_of(config.data, config.data_dir)
    return _plain(
        {
            "tool": shards.TOOL,
            "format": shards.FORMAT,
            "data": config.data,
            "canvas": {"size": spec.size, "channels": spec.channels, "dtype": spec.dtype},
            "values": spec.values and dataclasses.asdict(spec.values),
            "settings": settings_made(resolved),
            "asked": of_canvases(config),
            "class_names": train.class_names,
            "sorted_by_name": train.sorted_by_name,
            "images_per_shard": images_per_shard or max(1, SHARD_BYTES // spec.bytes),
            "splits": {split: _about(source, roots) for split, source in sources.items()},
        }
    )


def of(manifest: dict) -> dict:
    """The plan that a manifest was made by."""
    splits = {split: {key: about[key] for key in PLANNED} for split, about in manifest["splits"].items()}
    return {key: value for key, value in manifest.items() if key not in ("complete", "version")} | {"splits": splits}


def _about(source: Source, roots: list[str]) -> dict:
    found, labels = hashlib.sha256(), source.labels_if_fine
    for i in range(len(source)):
        found.update(f"{labels[i]}\t{below(source.describe(i), roots)}\n".encode())
    remarks = list(map(shown, source.remarks))
    root = None if source.root is None else below(f"{source.root}/", roots).rstrip("/")
    values = source.name, len(source), source.labels is not None, remarks, found.hexdigest(), root
    return dict(zip(PLANNED, values))


def _plain(value):
    """As JSON gives it back."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
