"""What an encoder expects of its images, and where it came from."""

import dataclasses

import keras
import numpy as np

from ssl_keras.data.formats.decode import MAXIMUM
from ssl_keras.data.values import Values
from ssl_keras.encoders import stages
from ssl_keras.errors import UserError
from ssl_keras.nn import images


@dataclasses.dataclass(frozen=True)
class Contract:
    """What an encoder expects of its images, and where it came from.

    Args:
        size: side of the images, px.
        dtype: type of the pixels as they are stored: uint8, uint16 or float32.
        ranges: lowest and highest raw value of each channel [C, 2]; the encoder scales these to 0 and 1 itself.
        mean, std: of each channel over the training images, after that scaling [C]; None: not known.
        invalid: of each channel, the raw value that says that nothing was measured [C]; None: there is none.
        of_image: of each channel, the percentiles of each image by itself that the images must have been brought to
            0 and 1 by (`ranges` are then these); the SavedModel does it [C, 2]; None: they are raw.
        clipped: the share of the values of its training images that lay at the ends of the ranges or beyond; None: not
            known.
        stages: where the encoder can be cut, from its input to its output (see `stages`).
        dimension: D of the features [B, D].
        canvas_size: side to which images were squashed before they came to `size`, px; None: not known.
        origin: how it was trained: method, data, backbone, epochs, seed, version, as far as they are known.
    """

    size: int
    dtype: str
    ranges: tuple[tuple[float, float], ...]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    invalid: tuple[float | None, ...] | None = None
    of_image: tuple[tuple[float, float], ...] | None = None
    clipped: float | None = None
    stages: tuple[str, ...] = ()
    dimension: int | None = None
    canvas_size: int | None = None
    origin: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if self.dtype not in MAXIMUM and self.values is None:
            raise UserError(f"an encoder's pixels are {self.dtype!r}: expected one of {', '.join(MAXIMUM)}")

    @property
    def channels(self) -> int:
        return len(self.ranges)

    @property
    def values(self) -> Values | None:
        """What the raw numbers mean; None where all that the type can hold counts."""
        whole = (0.0, float(MAXIMUM[self.dtype])) if self.dtype in MAXIMUM else None
        if self.invalid is None and self.of_image is None and all(pair == whole for pair in self.ranges):
            return None
        return Values(self.ranges, self.invalid, self.of_image)

    @property
    def gaps(self) -> bool:
        """Whether there may be nothing measured in some pixels."""
        return self.values is not None and self.values.has_gaps(self.dtype)

    def raw(self, images):
        """Images in [0, 1], float32 [..., C], as the raw numbers that the encoder takes; NaN stays NaN."""
        return images * MAXIMUM[self.dtype] if self.values is None else self.values.raw(images)

    def to_json(self) -> dict:
        """Plain values, for `from_json`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict) -> "Contract":
        """Reads back what `to_json` gave; fields that a later version has added are left out."""

        def frozen(value):
            return tuple(map(frozen, value)) if isinstance(value, list) else value

        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: frozen(value) for name, value in values.items() if name in known})


def of_model(model: keras.Model, dtype: str, values: Values | None = None, **more) -> Contract:
    """The contract that a model itself shows: its shapes, stages and input statistics.

    Args:
        model: raw pixels [B, S, S, C] -> features [B, D].
        values: what they mean; None: `dtype`'s whole range.
        more: further fields.
    """
    _, size, _, channels = model.input_shape
    if values:
        more |= {"ranges": values.ranges, "invalid": values.invalid, "of_image": values.of_image}
    found = images.statistics(model)
    mean, std = (None, None) if found is None else (tuple(values[:channels].tolist()) for values in found)
    return Contract(
        size=size,
        dtype=dtype,
        mean=mean,
        std=std,
        stages=tuple(stages.names(model)),
        dimension=model.output_shape[-1],
        **({"ranges": ((0.0, float(MAXIMUM.get(dtype, 1.0))),) * channels} | more),
    )


def shown_dtype(model: keras.Model) -> str | None:
    """The pixel type whose range a model's scaling of its input shows; None where it shows none."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Rescaling):
            for dtype, maximum in MAXIMUM.items():
                if np.allclose(float(np.max(layer.scale)) * maximum, 1.0, rtol=1e-4) and not np.any(layer.offset):
                    return dtype
    return None
