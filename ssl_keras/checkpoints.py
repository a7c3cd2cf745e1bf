"""Exact resume: the whole state of a run at the end of an epoch, in checked, pickle-free files.

`checkpoints/epoch_000003/` holds `state.npz` (every weight of the method, its queues and statistics included, and every
optimizer variable) and `manifest.json` (epoch, metrics so far, variable list, SHA-256 of the state). Order and views
are functions of (seed, epoch) and (seed, step), so nothing else is needed to go on as if never stopped.
"""

import hashlib
import os

import keras
import numpy as np
from absl import logging

from ssl_keras import files

_PREFIX = "epoch_"


class Checkpoints:
    """The checkpoints of one run, newest last.

    Args:
        directory: where they lie; made when the first is saved.
        keep: how many are kept; at least 2, so that a damaged newest one has a predecessor.
    """

    def __init__(self, directory: str, keep: int = 2):
        self.directory = directory
        self.keep = keep

    def save(self, method: keras.Model, epoch: int, history: list[dict]) -> None:
        """Saves the state after `epoch` finished epochs; earlier checkpoints stay until the new one is whole."""
        os.makedirs(self.directory, exist_ok=True)
        variables = _variables(method)
        with files.replacing(os.path.join(self.directory, f"{_PREFIX}{epoch:06d}")) as folder:
            os.makedirs(folder)
            state = os.path.join(folder, "state.npz")
            with open(state, "wb") as file:
                np.savez(file, **{_key(i): keras.ops.convert_to_numpy(v) for i, v in enumerate(variables)})
                file.flush()
                os.fsync(file.fileno())
            files.write_json(
                os.path.join(folder, "manifest.json"),
                {
                    "epoch": epoch,
                    "history": history,
                    "sha256": _sha256(state),
                    "variables": [[v.path, list(v.shape)] for v in variables],
                },
            )
        for name in self._names()[: -self.keep]:
            files.remove(os.path.join(self.directory, name))

    def restore(self, method: keras.Model) -> tuple[int, list[dict]]:
        """Brings the method to its newest whole checkpoint; returns (finished epochs, metrics so far), (0, [])
        without one.

        A damaged checkpoint is named and the one before it used.
        """
        for name in reversed(self._names()):
            folder = os.path.join(self.directory, name)
            try:
                manifest = _read_whole(folder)
            except (OSError, ValueError, KeyError) as error:
                logging.warning("checkpoint %s is damaged (%s); trying the one before it", folder, error)
                continue
            _assign(method, os.path.join(folder, "state.npz"), manifest)
            return manifest["epoch"], manifest["history"]
        return 0, []

    def _names(self) -> list[str]:
        if not os.path.isdir(self.directory):
            return []
        return sorted(n for n in os.listdir(self.directory) if n.startswith(_PREFIX) and n[len(_PREFIX) :].isdigit())


def _variables(method: keras.Model) -> list[keras.Variable]:
    return [*method.weights, *method.optimizer.variables]


def _key(position: int) -> str:
    return f"v{position:05d}"  # by position: names that Keras counts up may differ between processes


def _read_whole(folder: str) -> dict:
    manifest = files.read_json(os.path.join(folder, "manifest.json"))
    if _sha256(os.path.join(folder, "state.npz")) != manifest["sha256"]:
        raise ValueError("state.npz does not match its checksum")
    return manifest


def _assign(method: keras.Model, state: str, manifest: dict) -> None:
    variables = _variables(method)
    found = [tuple(shape) for _, shape in manifest["variables"]]
    expected = [tuple(v.shape) for v in variables]
    if found != expected:
        raise ValueError(
            f"{state} holds {len(found)} variables that do not fit this model's {len(expected)}: "
            "it was written by another version; use a new --workdir"
        )
    with np.load(state, allow_pickle=False) as arrays:
        for position, variable in enumerate(variables):
            variable.assign(arrays[_key(position)])


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
