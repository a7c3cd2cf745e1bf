"""The dtype policy of the layers that are made within a context."""

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def using(name: str) -> Iterator[None]:
    """Layers and models that are made within this context have this dtype policy, unless they are given another."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
