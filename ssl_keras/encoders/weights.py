"""Weights of a network from a file that Keras wrote, of whatever age, with or without a classifier on top."""

import re
import zipfile
from collections.abc import Iterable

import h5py
import keras
import numpy as np

from ssl_keras.errors import UserError

HOW = (
    "give a file of weights by --weights; keras.applications.{network}(include_top=False) on a machine with internet "
    "leaves one in ~/.keras/models"
)
Values = list[tuple[str, np.ndarray]]  # of weights, with the names of their layers


class _Misfit(Exception):
    """What was expected of a file, and what came."""


def read(path: str, network: keras.Model, name: str) -> None:
    """Sets the weights of a network to those in a file.

    Args:
        path: `.h5` of weights, or of a whole model, as Keras 2 and 3 write it; `.weights.h5`; or `.keras`. It may hold
            more layers than the network, behind the last: a classifier.
        network: without a classifier; functional.
        name: of its function in keras.applications, for messages.

    Raises:
        UserError: the file holds no weights, or those of another network.
    """
    try:
        if zipfile.is_zipfile(path):
            _assign(network, _of_model(path))
        elif h5py.is_hdf5(path):
            _assign(network, _of_hdf5(path, network))
        else:
            raise _Misfit("it is neither an .h5 file nor a .keras file")
    except _Misfit as misfit:
        raise UserError(
            f"--weights: {path!r} does not hold the weights of keras.applications.{name}: {misfit}; "
            f"{HOW.format(network=name)}"
        ) from misfit


def _of_model(path: str) -> Values:
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # whatever an archive may hold
        raise _Misfit(f"it is no model that Keras can load ({_first_line(error)})") from error
    return [(layer.name, value) for layer in _leaves(model) for value in layer.get_weights()]


def _leaves(model: keras.Model) -> Iterable[keras.layers.Layer]:
    """The layers with weights, those of models within it among them, in their order."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        elif layer.weights:
            yield layer


def _of_hdf5(path: str, network: keras.Model) -> Values:
    try:
        with h5py.File(path, "r") as file:
            group = file.get("model_weights", file)
            names = _attribute(group, "layer_names")
            if names is not None:  # as Keras 2 wrote it
                weights = [(name, weight) for name in names for weight in _attribute(group[name], "weight_names") or ()]
                return [(name, group[name][weight][()]) for name, weight in weights]
            if "layers" in file:
                found, rest = _of_groups(file["layers"], network)
                return found + [(name, value) for name in rest for value in _variables(file["layers"][name])]
            raise _Misfit(f"it holds {', '.join(list(file)[:3]) or 'nothing'}, and no layers of Keras")
    except (OSError, KeyError) as error:
        raise _Misfit(f"it is damaged ({_first_line(error)})") from error


def _of_groups(group: h5py.Group, model: keras.Model) -> tuple[Values, list[str]]:
    """The weights of a model's layers in a `.weights.h5` file, and the names of the other layers there.

    The file calls a layer by its kind, and the second of a kind conv2d_1.
    """
    found: Values = []
    kinds: dict[str, int] = {}
    rest = list(group)
    for layer in model.layers:
        kind = re.sub("(?<=.)([A-Z][a-z]+)|(?<=[a-z])([A-Z])", r"_\1\2", type(layer).__name__).lower()
        number = kinds[kind] = kinds.get(kind, -1) + 1
        name = f"{kind}_{number}" if number else kind
        rest = [other for other in rest if other != name]
        if not layer.weights:
            continue
        if name not in group:
            raise _Misfit(f"it has no layer {name!r}, which {layer.name!r} expects")
        if isinstance(layer, keras.Model):
            found += _of_groups(group[name]["layers"], layer)[0]
        else:
            found += [(name, value) for value in _variables(group[name])]
    return found, rest


def _variables(group: h5py.Group) -> list[np.ndarray]:
    own = group.get("vars", {})
    return [own[str(number)][()] for number in range(len(own))]


def _attribute(group: h5py.Group, name: str) -> list[str] | None:
    """A list of names, which Keras cuts into several attributes where it is long."""
    numbered = [f"{name}{number}" for number in range(len(group.attrs)) if f"{name}{number}" in group.attrs]
    parts = [name] if name in group.attrs else numbered
    if not parts:
        return None
    return [word.decode() if isinstance(word, bytes) else str(word) for part in parts for word in group.attrs[part]]


def _assign(network: keras.Model, found: Values) -> None:
    """Sets the weights in their order: names count up in a process, so they are not the same in all."""
    expected = [(layer.name, variable) for layer in _leaves(network) for variable in layer.weights]
    for (name, value), (own, variable) in zip(found, expected):
        if value.shape != tuple(variable.shape):
            came, wanted = ("x".join(map(str, shape)) or "1" for shape in (value.shape, variable.shape))
            raise _Misfit(f"in its layer {name!r} are weights of {came}, and {own!r} expects {wanted}")
    if len(found) < len(expected):
        raise _Misfit(f"it holds {len(found)} arrays of weights, and {len(expected)} were expected")
    rest = found[len(expected) :]
    if any(value.ndim == 4 and value.shape[:2] != (1, 1) for _, value in rest):
        raise _Misfit(f"it goes on with the layer {rest[0][0]!r}, where a classifier was expected, or the end")
    for (_, value), (_, variable) in zip(found, expected):
        variable.assign(value)
    for layer in _leaves(network):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
