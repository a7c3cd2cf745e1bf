"""The methods, one file each. A method is named by its file: adding a file adds the method."""

import ast

from ssl_keras.registry import Argument, Registry, described

# Arguments of constructors that the data and the settings fill in.
FACTS = {
    "batch_size": "the images of a step, over all devices",
    "num_classes": "how many classes the labels tell apart",
    "num_examples": "how many images the data has",
    "total_steps": "the steps of the whole training, epochs times steps of an epoch",
}

REGISTRY = Registry(__name__, "method", beside=("base", "configured"))
names, check_name, summary = REGISTRY.names, REGISTRY.check, REGISTRY.summary


def load(name: str) -> type:
    """The method's `keras.Model` subclass: the one that its file calls `Method`."""
    return REGISTRY.load(name).Method


def class_names() -> dict[str, str]:
    """{name of its class: name} of each method, such as {"MoCo": "moco"}; reads sources only."""
    return {_class_name(REGISTRY.read(name)): name for name in names()}


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


def arguments(name: str) -> dict[str, Argument]:
    """The arguments of a method that `--method_arg` sets, read from its source, so that nothing heavy is loaded."""
    source = REGISTRY.read(name)
    called = _class_name(source)
    found = next(n for n in source.body if isinstance(n, ast.ClassDef) and n.name == called)
    constructor = next(n for n in found.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    told = described(found)
    pairs = zip(constructor.args.kwonlyargs, constructor.args.kw_defaults, strict=True)
    return {
        argument.arg: Argument(ast.unparse(argument.annotation), ast.unparse(default), told.get(argument.arg, ""))
        for argument, default in pairs
        if default is not None and argument.arg not in FACTS
    }


def _class_name(source: ast.Module) -> str:
    """The name of the class that a method's file calls `Method`."""
    return next(n.value.id for n in source.body if isinstance(n, ast.Assign) and n.targets[0].id == "Method")
