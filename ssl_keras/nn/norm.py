"""Chooses the normalization layers of backbones and heads: one choice for a whole model, made where it is built.

Networks ask `normalization` for their layers; whoever builds a model says `with norm.using("group"):` around it. So no
builder and no method needs an argument that it only hands on.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import keras

from ssl_keras.errors import UserError
from ssl_keras.nn.batch_norm import FusedBatchNormalization

NORMS = ("batch", "group")
GROUPS = 32  # groups of channels (Wu and He, 2018, section 4.1)
VECTOR_GROUP = 16  # fewest channels of a group where there are no pixels to average over
EPSILON = 1e-5


# The name in `NORMS`, and batch normalization's `synchronized`.
_choice = contextvars.ContextVar("normalization", default=("batch", None))


@contextlib.contextmanager
def using(norm: str, synchronized: bool | None = None) -> Iterator[None]:
    """Layers that `normalization` makes within this context are of this kind.

    Args:
        norm: one of `NORMS`.
        synchronized: batch normalization's, see `FusedBatchNormalization`; group normalization has nothing to
            synchronize.

    Raises:
        UserError: unknown name.
    """
    if norm not in NORMS:
        raise UserError(f"unknown norm {norm!r}: use one of {', '.join(NORMS)}")
    token = _choice.set((norm, synchronized))
    try:
        yield
    finally:
        _choice.reset(token)


def choice() -> tuple[str, bool | None]:
    """The arguments of the `using` that is in force."""
    return _choice.get()


def normalization(name: str, channels: int, vector: bool = False, **affine) -> keras.layers.Layer:
    """A layer that normalizes [B, H, W, channels], or [B, channels] where `vector`.

    It is batch normalization; or group normalization (Wu and He, 2018, arXiv:1803.08494), where an image's output
    depends on that image alone.

    Args:
        name: name of the layer.
        channels: channels of its input.
        vector: whether its input has no pixels. A group of one channel would then be 0 whatever the input, and a group
            of two ±1. So groups of a vector have 16 channels or more, or there is only one group.
        affine: `center`, `scale`, `gamma_initializer`, as in Keras's layers.
    """
    norm, synchronized = _choice.get()
    if norm == "batch":
        return FusedBatchNormalization(epsilon=EPSILON, synchronized=synchronized, name=name, **affine)
    return keras.layers.GroupNormalization(groups(channels, vector), epsilon=EPSILON, name=name, **affine)


def groups(channels: int, vector: bool = False) -> int:
    """The number of groups for some channels: 32, or their largest divisor below that.

    Args:
        channels, vector: as for `normalization`.
    """
    most = max(min(GROUPS, channels // VECTOR_GROUP if vector else channels), 1)
    return next(count for count in range(most, 0, -1) if channels % count == 0)
