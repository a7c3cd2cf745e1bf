"""What makes a tool start sooner. Nothing heavy is imported here.

Keras and keras-cv import scikit-learn and matplotlib where these are installed, for wrappers and galleries that no tool
uses: a quarter of the time that all imports take. While they are imported, Python looks for garbage again and again
among objects that stay. And XLA compiles the views of a run anew in every process, though a program that was compiled
here before is as good.
"""

import contextlib
import gc
import hashlib
import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Iterator

from ssl_keras import files, machine

IMPORTERS = ("keras", "keras_cv")
UNUSED = ("sklearn", "matplotlib")
KEPT = 500  # programs, of about half a megabyte each


def sooner() -> None:
    """Call before Keras and TensorFlow are imported."""
    sys.meta_path.insert(0, _Finder())
    keep_programs()


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the `IMPORTERS` as Python does, and lets them be executed without the `UNUSED`."""

    def find_spec(self, name, path=None, target=None):
        if name not in IMPORTERS:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                with _hidden(UNUSED), _without_garbage():
                    execute(module)

            spec.loader.exec_module = exec_module
        return spec


@contextlib.contextmanager
def _hidden(names: tuple[str, ...]) -> Iterator[None]:
    """Lets modules seem not to be installed, unless they are imported already."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def _without_garbage() -> Iterator[None]:
    """Does not look for garbage, and never again among what has been made in the meantime."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


def keep_programs() -> None:
    """Has XLA keep what it compiles on disk, for this version of TensorFlow and this kind of processor."""
    switches = os.environ.get("TF_XLA_FLAGS", "")
    if "persistent_cache_directory" in switches:
        return
    folder = files.cache_folder(f"xla-{_kind()}", KEPT)
    if folder is None:
        return
    own = f"--tf_xla_persistent_cache_directory={folder} --tf_xla_persistent_cache_device_types=CPU"
    os.environ["TF_XLA_FLAGS"] = f"{switches} {own}".strip()


def _kind() -> str:
    """Names all that a compiled program depends on beside its source, which TensorFlow compares itself."""
    tensorflow = importlib.util.find_spec("tensorflow")
    built = os.stat(tensorflow.origin).st_mtime_ns if tensorflow else 0
    parts = built, os.cpu_count(), os.environ.get("XLA_FLAGS"), sorted(machine.instructions())
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
