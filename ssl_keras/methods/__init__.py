"""The methods, one file each. A method is named by its file: adding a file adds the method."""

import ast

from ssl_keras.registry import Argument, Registry, described

# Arguments of constructors that the data and the settings fill in.
FACTS = ("num_classes", "num_examples", "batch_size", "total_steps")

REGISTRY = Registry(__name__, "method", beside=("base",))
names, check_name, summary = REGISTRY.names, REGISTRY.check, REGISTRY.summary


def load(name: str) -> type:
    """The method's `keras.Model` subclass: the one that its file calls `Method`."""
    return REGISTRY.load(name).Method


def arguments(name: str) -> dict[str, Argument]:
    """The arguments of a method that `--method_arg` sets, read from its source, so that nothing heavy is loaded."""
    source = REGISTRY.read(name)
    called = next(n.value.id for n in source.body if isinstance(n, ast.Assign) and n.targets[0].id == "Method")
    found = next(n for n in source.body if isinstance(n, ast.ClassDef) and n.name == called)
    constructor = next(n for n in found.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    told = described(found)
    pairs = zip(constructor.args.kwonlyargs, constructor.args.kw_defaults, strict=True)
    return {
        argument.arg: Argument(ast.unparse(argument.annotation), ast.unparse(default), told.get(argument.arg, ""))
        for argument, default in pairs
        if default is not None and argument.arg not in FACTS
    }
