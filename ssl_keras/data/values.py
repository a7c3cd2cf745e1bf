"""What the raw numbers of images mean: which range of each channel counts, and which number says "not measured".

A canvas of such images holds codes, uint16: 0 where nothing was measured, else 1 + 65534 t, t being the place of the
number in its channel's range, clipped to [0, 1]. So sixteen bits hold the range that is used, and not a container of
which 2 to 8 % are used.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from ssl_keras.errors import UserError

PIXELS = 65536  # of an image, by which its own percentiles are found
CODES = 65534  # steps between the lowest and the highest code of what was measured


@dataclasses.dataclass(frozen=True)
class Values:
    """The raw numbers of a run's images.

    Args:
        ranges: (lowest, highest) of each channel, in raw units: what lies outside is clipped.
        invalid: of each channel, the number that says that nothing was measured (None: there is none); None: no channel
            has one. What is not finite was not measured either.
        of_image: of each channel, the percentiles (low, high), 0 to 100, that become 0 and 1 in each image by itself;
            `ranges` are then (0, 1), those of the outcome. None: the ranges are the same for all images.
    """

    ranges: tuple[tuple[float, float], ...]
    invalid: tuple[float | None, ...] | None = None
    of_image: tuple[tuple[float, float], ...] | None = None

    def __post_init__(self):
        for low, high in self.ranges:
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise UserError(f"values from {low:g} to {high:g}: expected a lower and a higher finite number")

    def has_gaps(self, dtype: str) -> bool:
        """Whether there may be nothing measured in some pixels of images of this type: floats may be NaN."""
        return self.invalid is not None or dtype == "float32"

    @property
    def scale(self) -> list[float]:
        """Of each channel: t = scale * raw + offset."""
        return [1.0 / (high - low) for low, high in self.ranges]

    @property
    def offset(self) -> list[float]:
        return [-low / (high - low) for low, high in self.ranges]

    def coded(self, image: tf.Tensor) -> tf.Tensor:
        """Raw numbers [H, W, C] of any dtype -> codes, uint16 [H, W, C]."""
        raw = tf.ensure_shape(tf.cast(image, tf.float32), [None, None, len(self.ranges)])
        valid = tf.math.is_finite(raw)
        if self.invalid is not None:
            valid &= raw != [math.nan if number is None else number for number in self.invalid]
        if self.of_image is None:
            t = (raw - [low for low, _ in self.ranges]) * self.scale
        else:
            low, high = _percentiles_of_image(raw, valid, self.of_image)
            t = (raw - low) / tf.where(high > low, high - low, 1.0)
        t = tf.clip_by_value(tf.where(valid, t, 0.0), 0.0, 1.0)
        codes = tf.where(valid, 1.0 + tf.round(CODES * t), 0.0)
        return tf.cast(codes, tf.uint16)

    def of_codes(self, codes: np.ndarray) -> np.ndarray:
        """Codes [H, W, C] -> raw numbers, float32; NaN where nothing was measured."""
        t = np.where(codes > 0, (codes - 1.0) / CODES, np.nan).astype(np.float32)
        return np.asarray(self.raw(t), np.float32)

    def mean(self, samples: np.ndarray) -> list[float]:
        """The mean of each channel over raw numbers [N, C], in [0, 1]; of what was not measured none are finite."""
        t = np.clip((samples - [low for low, _ in self.ranges]) * self.scale, 0.0, 1.0)
        return np.nanmean(np.where(np.isfinite(samples), t, np.nan), axis=0).tolist()

    def raw(self, images: tf.Tensor) -> tf.Tensor:
        """Canvases in [0, 1], float32 [..., C] -> raw numbers; NaN stays NaN."""
        lows = [low for low, _ in self.ranges]
        return images * [high - low for low, high in self.ranges] + lows


def _percentiles_of_image(raw, valid, shares) -> tuple[tf.Tensor, tf.Tensor]:
    """Lowest and highest number that count, float32 [C] each, by at most about `PIXELS` pixels [H, W, C]."""
    channels = len(shares)
    flat, there = tf.reshape(raw, [-1, channels]), tf.reshape(valid, [-1, channels])
    step = tf.maximum(tf.shape(flat)[0] // PIXELS, 1)
    flat, there = (tf.ensure_shape(rows[::step], [None, channels]) for rows in (flat, there))
    ordered = tf.sort(tf.where(there, flat, math.inf), axis=0)  # what was not measured is last
    last = tf.cast(tf.maximum(tf.reduce_sum(tf.cast(there, tf.int32), axis=0) - 1, 0), tf.float32)  # [C]

    def at(share):
        place = last * share
        below = tf.floor(place)
        rows = tf.cast(tf.stack([below, tf.minimum(below + 1.0, last)]), tf.int32)
        first, second = tf.unstack(tf.gather(tf.transpose(ordered), tf.transpose(rows), batch_dims=1), axis=1)
        found = first + (second - first) * (place - below)
        return tf.where(tf.math.is_finite(found), found, 0.0)

    return at([low / 100 for low, _ in shares]), at([high / 100 for _, high in shares])


def resized(codes: tf.Tensor, size: int) -> tf.Tensor:
    """Codes [H, W, C] -> [size, size, C], antialiased bilinear over what was measured.

    A pixel of which less than half was measured is not measured: an edge between a surface and nothing must not become
    a surface in between.
    """
    measured = tf.cast(codes > 0, tf.float32)
    both = tf.concat([tf.cast(codes, tf.float32), measured], axis=-1)  # a code of nothing is 0, so it adds nothing
    total, weight = tf.split(tf.image.resize(both, [size, size], antialias=True), 2, axis=-1)
    mean = tf.clip_by_value(tf.round(total / tf.maximum(weight, 1e-6)), 1.0, CODES + 1.0)
    return tf.cast(tf.where(weight > 0.5, mean, 0.0), tf.uint16)


def percentiles(samples: np.ndarray, shares: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    """The percentiles (low, high) of each channel.

    Args:
        samples: raw numbers [N, C]; what was not measured is not finite.
        shares: (low, high) of each channel, 0 to 100.

    Raises:
        UserError: a channel in which nothing was measured, or whose numbers are all the same.
    """
    found = []
    for channel, (low, high) in enumerate(shares):
        own = samples[:, channel]
        own = own[np.isfinite(own)]
        if not own.size:
            raise UserError(f"nothing was measured in channel {channel + 1}: all of its pixels are invalid")
        bottom, top = np.percentile(own, [low, high])
        if not bottom < top:
            bottom, top = own.min(), own.max()
        if not bottom < top:
            raise UserError(
                f"channel {channel + 1} is constant, {own[0]:g}: leave it out, or set --normalize=range:LOW,HIGH"
            )
        found.append((float(bottom), float(top)))
    return tuple(found)
