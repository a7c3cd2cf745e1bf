"""The methods, one file each. A method is named by its file: adding a file adds the method."""

import ast
import importlib
import os
import pkgutil
import re
from typing import NamedTuple

from ssl_keras.errors import UserError
from ssl_keras.words import nearest

# Arguments of constructors that the data and the settings fill in.
FACTS = ("num_classes", "num_examples", "batch_size", "total_steps")


class Argument(NamedTuple):
    """An argument of a method: its default as it is written in Python, and what the docstring says of it."""

    default: str
    text: str


def names() -> list[str]:
    """The known methods, sorted; reads file names only, so it costs nothing before TensorFlow is loaded."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")


def check_name(name: str) -> None:
    """Raises UserError for a method that there is not."""
    if name not in names():
        raise UserError(f"unknown method {name!r}{nearest(name, names())}; known: {', '.join(names())}")


def load(name: str) -> type:
    """The method's `keras.Model` subclass: the one that its file calls `Method`."""
    check_name(name)
    return importlib.import_module(f"{__name__}.{name}").Method


def class_names() -> dict[str, str]:
    """{name of its class: name} of each method, such as {"MoCo": "moco"}; reads sources only."""
    return {re.search(r"^Method = (\w+)$", _text(name), re.M)[1]: name for name in names()}


def load_model(path: str, **settings):
    """A method that `model.save` or `keras.callbacks.ModelCheckpoint` wrote, ready to be trained further.

    It is `keras.saving.load_model`, which knows the classes that are imported, after all methods are.

    Args:
        path: a `.keras` file.
        settings: those of Keras's function: `compile`, `custom_objects`, `safe_mode`.
    """
    import keras

    for name in names():
        load(name)
    return keras.saving.load_model(path, **settings)


def summary(name: str) -> str:
    """The first line of a method's file: its name, its paper, and its idea."""
    return ast.get_docstring(_source(name)).splitlines()[0]


def arguments(name: str) -> dict[str, Argument]:
    """The arguments of a method that `--method_arg` sets, read from its source, so that nothing heavy is loaded."""
    source = _source(name)
    called = next(n.value.id for n in source.body if isinstance(n, ast.Assign) and n.targets[0].id == "Method")
    found = next(n for n in source.body if isinstance(n, ast.ClassDef) and n.name == called)
    constructor = next(n for n in found.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    told = _told(ast.get_docstring(found) or "")
    pairs = zip(constructor.args.kwonlyargs, constructor.args.kw_defaults, strict=True)
    return {
        argument.arg: Argument(ast.unparse(default), told.get(argument.arg, ""))
        for argument, default in pairs
        if default is not None and argument.arg not in FACTS
    }


def _source(name: str) -> ast.Module:
    check_name(name)
    return ast.parse(_text(name))


def _text(name: str) -> str:
    with open(os.path.join(__path__[0], f"{name}.py"), encoding="utf-8") as file:
        return file.read()


def _told(docstring: str) -> dict[str, str]:
    """What the section Args of a docstring says of each argument; several may share a line."""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", docstring, re.S | re.M)
    told = {}
    for entry in re.split(r"\n(?=    \S)", section[1]) if section else ():
        names_, _, text = entry.partition(":")
        told |= {word.strip(): " ".join(text.split()) for word in names_.split(",")}
    return told
