"""Which normalization the layers of backbones and heads are: one choice for a whole model, made where it is built.

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
GROUPS = 32  # of channels (Wu and He, 2018, section 4.1)
VECTOR_GROUP = 16  # least channels of a group where there are no pixels to average over
EPSILON = 1e-5


# The norm, and batch normalization's `synchronized`.
_choice = contextvars.ContextVar("normalization", default=("batch", None))


@contextlib.contextmanager
def using(norm: str, synchronized: bool | None = None) -> Iterator[None]:
    """Layers of `normalization` that are made within it are of this kind.

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

    Batch normalization, or group normalization (Wu and He, 2018, arXiv:1803.08494), by which an image's output depends
    on that image alone.

    Args:
        name: of the layer.
        channels: of its input.
        vector: whether its input has no pixels. A group of one channel would then be 0 whatever the input, and one of
            two ±1: groups of a vector have 16 channels or more, or there is but one.
        affine: `center`, `scale`, `gamma_initializer`, as of Keras's layers.
    """
    norm, synchronized = _choice.get()
    if norm == "batch":
        return FusedBatchNormalization(epsilon=EPSILON, synchronized=synchronized, name=name, **affine)
    return keras.layers.GroupNormalization(groups(channels, vector), epsilon=EPSILON, name=name, **affine)


def groups(channels: int, vector: bool = False) -> int:
    """How many groups channels are normalized in: 32, or the largest divisor of the channels up to that.

    Args:
        channels, vector: as for `normalization`.
    """
    most = max(min(GROUPS, channels // VECTOR_GROUP if vector else channels), 1)
    return next(count for count in range(most, 0, -1) if channels % count == 0)
