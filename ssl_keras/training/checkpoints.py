"""Exact resume: the whole state of a run after a step, in checked, pickle-free files.

`checkpoints/step_00001234/` holds `state.npz` (every weight of the method, its queues, banks and statistics included,
every optimizer variable, the running means of the epoch) and `manifest.json` (the position, metrics so far, variable
list, SHA-256 of the state and of the manifest itself). Order and views are functions of (seed, epoch) and (seed, step),
so nothing else is needed to go on as if never stopped.
"""

import dataclasses
import hashlib
import itertools
import json
import os
import re
import zipfile

import keras
import numpy as np
from absl import logging

from ssl_keras import files
from ssl_keras.errors import UserError

_PREFIX = "step_"


@dataclasses.dataclass
class Position:
    """Where a run is.

    Args:
        step: optimizer steps made.
        history: the lines of `metrics.jsonl` so far.
        bad: numbers of the images that could not be read so far, on which the order of those that stream depends.
        seconds: that the epoch in whose middle this is has taken.
        skipped: steps that were taken back, `loop.fit`'s `undo_nonfinite`.
    """

    step: int = 0
    history: list[dict] = dataclasses.field(default_factory=list)
    bad: list[int] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    skipped: int = 0


class Checkpoints:
    """The checkpoints of one run, newest last.

    Args:
        directory: where they lie; made when the first is saved.
        keep: how many are kept; at least 2, so that a damaged newest one has a predecessor.
        writes: whether this process writes them. On several workers all must call `save`, since reading what the
            replicas count needs all of them, and one writes.
    """

    def __init__(self, directory: str, keep: int = 2, writes: bool = True):
        self.directory = directory
        self.keep = max(keep, 2)
        self.writes = writes

    def save(self, method: keras.Model, position: Position) -> None:
        """Saves the state; earlier checkpoints stay until the new one is whole.

        Raises:
            OSError: it could not be written, for want of space say; the earlier ones are as they were.
        """
        variables = _variables(method)
        values = [keras.ops.convert_to_numpy(v) for v in variables]
        if not self.writes:
            return
        os.makedirs(self.directory, exist_ok=True)
        files.remove_unfinished(self.directory)
        with files.replacing(os.path.join(self.directory, f"{_PREFIX}{position.step:08d}")) as folder:
            os.makedirs(folder)
            state = os.path.join(folder, "state.npz")
            _write_arrays(state, values)
            manifest = {
                **dataclasses.asdict(position),
                "sha256": _sha256(state),
                "variables": [[v.path, list(v.shape)] for v in variables],
            }
            files.write_json(os.path.join(folder, "manifest.json"), {**manifest, "manifest_sha256": _digest(manifest)})
        for name in self.names()[: -self.keep]:
            files.remove(os.path.join(self.directory, name))

    def restore(self, method: keras.Model) -> Position:
        """Brings the method to its newest whole checkpoint and returns where it is; step 0 without one.

        A damaged checkpoint is named and the one before it used.
        """
        for name in reversed(self.names()):
            folder = os.path.join(self.directory, name)
            try:
                manifest = _read_whole(folder)
            except (OSError, ValueError, KeyError, TypeError) as error:
                logging.warning("checkpoint %s is damaged (%s); trying the one before it", folder, error)
                continue
            _assign(method, os.path.join(folder, "state.npz"), manifest)
            return Position(**{field.name: manifest[field.name] for field in dataclasses.fields(Position)})
        return Position()

    def names(self) -> list[str]:
        """The names of the checkpoints, oldest first."""
        if not os.path.isdir(self.directory):
            return []
        return sorted(n for n in os.listdir(self.directory) if n.startswith(_PREFIX) and n[len(_PREFIX) :].isdigit())


def _variables(method: keras.Model) -> list[keras.Variable]:
    return [*method.weights, *method.optimizer.variables, *method.metrics_variables]


def _key(position: int) -> str:
    return f"v{position:05d}"


def _named(path: str) -> str:
    """A variable's path without the number that Keras counts up from one optimizer of a process to the next."""
    return re.sub(r"^([a-z_]*[a-z])_\d+/", r"\1/", path)


def _write_arrays(path: str, values: list[np.ndarray]) -> None:
    """A .npz file, on the disk when this returns."""
    with open(path, "wb") as file:
        with zipfile.ZipFile(file, "w") as archive:
            for position, value in enumerate(values):
                with archive.open(f"{_key(position)}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, np.asarray(value), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


def _read_whole(folder: str) -> dict:
    manifest = files.read_json(os.path.join(folder, "manifest.json"))
    if manifest.pop("manifest_sha256") != _digest(manifest):
        raise UserError("manifest.json does not match its checksum")
    if _sha256(os.path.join(folder, "state.npz")) != manifest["sha256"]:
        raise UserError("state.npz does not match its checksum")
    return manifest


def _assign(method: keras.Model, state: str, manifest: dict) -> None:
    variables = _variables(method)
    found = [(_named(path), tuple(shape)) for path, shape in manifest["variables"]]
    expected = [(_named(v.path), tuple(v.shape)) for v in variables]
    if found != expected:
        pairs = itertools.zip_longest(found, expected, fillvalue=("nothing", ()))
        (there, there_shape), (here, here_shape) = next(pair for pair in pairs if pair[0] != pair[1])
        raise UserError(
            f"{state} holds {len(found)} variables that do not fit this model's {len(expected)}: the first to differ "
            f"is {there} {list(there_shape)}, where {here} {list(here_shape)} is expected. It was written by another "
            "version; use a new --workdir"
        )
    with np.load(state, allow_pickle=False) as arrays:
        for position, variable in enumerate(variables):
            variable.assign(arrays[_key(position)])


def _digest(manifest: dict) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
