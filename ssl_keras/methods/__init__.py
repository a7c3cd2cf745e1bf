"""The methods, one file each. A method is named by its file: adding a file adds the method."""

import importlib
import pkgutil


def names() -> list[str]:
    """The known methods, sorted; reads file names only, so it costs nothing before TensorFlow is loaded."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")


def load(name: str) -> type:
    """The method's `keras.Model` subclass: the one that its file calls `Method`."""
    if name not in names():
        raise ValueError(f"unknown method {name!r}; known: {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}").Method
