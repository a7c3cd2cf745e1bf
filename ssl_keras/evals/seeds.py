"""Runs that differ in their seed alone: mean and range of their scores."""

import os

import numpy as np

from ssl_keras import run_folder
from ssl_keras.config import Config, read_run, settings


def is_run(path: str) -> bool:
    """Whether a path is the folder of a finished run."""
    return os.path.isdir(path) and os.path.exists(os.path.join(path, run_folder.ENCODER))


def groups(names: tuple[str, ...], workdir: str | None) -> list[dict[str, int]]:
    """The runs among encoders that differ in their seed alone, two at least: {encoder's name: seed} of each group."""
    found: dict[tuple, dict[str, int]] = {}
    for name in names:
        folder = workdir if name == "run" else name
        if folder and is_run(folder):
            config = read_run(folder)
            members = found.setdefault(_without_seed(config), {})
            if config.seed not in members.values():
                members[name] = config.seed
    return [members for members in found.values() if len(members) > 1]


def pooled(rows: list[dict], names: tuple[str, ...], workdir: str | None) -> list[dict]:
    """A row for each group and each thing that was measured of all its runs: the mean, and "range" over the runs.

    Its "encoder" names the first run and says of how many seeds it is the mean; "runs" and "seeds" say which. What the
    runs were measured with stands in it where it is the same for all.
    """
    found = []
    for members in groups(names, workdir):
        of_each = [[row for row in rows if row["encoder"] == name and "error" not in row] for name in members]
        if len({len(part) for part in of_each}) != 1:
            continue  # one of them could not be scored
        for alike in zip(*of_each):
            first = alike[0]
            if any(row[key] != first[key] for row in alike for key in ("eval", "layer", "metrics")):
                continue
            common = {key: value for key, value in first.items() if all(row.get(key) == value for row in alike)}
            values = {metric: [row[metric] for row in alike] for metric in first["metrics"]}
            found.append(
                common
                | {"encoder": f"{next(iter(members))} and other seeds, mean of {len(members)}"}
                | {metric: float(np.mean(each)) for metric, each in values.items()}
                | {"range": {metric: [min(each), max(each)] for metric, each in values.items()}}
                | {"runs": list(members), "seeds": list(members.values())}
            )
    return found


def _without_seed(config: Config) -> tuple:
    """All that makes two runs the same but for their seed."""
    return tuple(getattr(config, name) for name, known in settings().items() if known.changes_result and name != "seed")
