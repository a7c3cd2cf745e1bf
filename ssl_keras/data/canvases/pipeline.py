"""Records -> canvases in TensorFlow's threads."""

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from ssl_keras.data.formats import decode as pixels_of
from ssl_keras.data.reasons import examples
from ssl_keras.data.source import Source
from ssl_keras.data.values import Values, resized
from ssl_keras.errors import UserError

DTYPES = ("uint8", "uint16", "float32")
READ_TOGETHER = 16

# Of a function of a data set: TensorFlow does not translate its source, which takes longer than to trace it. It has no
# Python loop or condition on tensors.
as_written = tf.autograph.experimental.do_not_convert


@dataclass(frozen=True)
class CanvasSpec:
    """The square that every image of a run becomes: side in px, channels, and dtype (float32: 0 to 1).

    Where `values` say what the images' raw numbers mean, these are of the type `raw`, and the square holds codes.
    """

    size: int
    channels: int = 3
    dtype: str = "uint8"
    values: Values | None = None
    raw: str | None = None

    @classmethod
    def of(cls, size: int, channels: int, raw: str, values: Values | None) -> "CanvasSpec":
        """That of images whose pixels are of the type `raw`."""
        return cls(size, channels, "uint16", values, raw) if values else cls(size, channels, raw)

    def __post_init__(self):
        if self.size < 1 or self.channels < 1 or self.dtype not in DTYPES:
            raise UserError(f"{self}: expected a size and channels of 1 or more and a dtype of {', '.join(DTYPES)}")

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.size, self.size, self.channels

    @property
    def gaps(self) -> bool:
        """Whether the square is 0 where nothing was measured."""
        return self.values is not None and self.values.has_gaps(self.raw)

    def unit(self, images: np.ndarray) -> np.ndarray:
        """Squares [N, S, S, C] as float32 in [0, 1], NaN where nothing was measured."""
        found = images.astype(np.float32) / pixels_of.MAXIMUM[self.dtype]
        if self.gaps:
            found[images == 0] = np.nan
        return found

    @property
    def bytes(self) -> int:
        return self.size * self.size * self.channels * np.dtype(self.dtype).itemsize


def canvas(image: tf.Tensor, spec: CanvasSpec) -> tf.Tensor:
    """Pixels [H, W, C] as they were read -> the canvas [S, S, C]."""
    if spec.values is None:
        return pixels_of.to_canvas(image, spec.size)
    codes, shape = spec.values.coded(image), tf.shape(image)
    is_one = (shape[0] == spec.size) & (shape[1] == spec.size)
    return tf.ensure_shape(tf.cond(is_one, lambda: codes, lambda: resized(codes, spec.size)), spec.shape)


def decode(encoded: tf.Tensor, spec: CanvasSpec) -> tf.Tensor:
    """An encoded image as pixels [H, W, C] for `canvas`."""
    return pixels_of.decode(encoded, spec.channels, spec.raw or spec.dtype)


def from_array(image: tf.Tensor, spec: CanvasSpec) -> tf.Tensor:
    """Pixels given as numbers, for `canvas`."""
    if spec.values is None:
        return pixels_of.from_array(image, spec.channels, spec.dtype)
    return pixels_of.with_channels(image, spec.channels)


def repacked(image: tf.Tensor, spec: CanvasSpec) -> tf.Tensor:
    """A canvas of a source that gives canvases, of any size, as another one: as it is where they are alike."""
    if spec.values is None:
        return pixels_of.to_canvas(pixels_of.from_array(image, spec.channels, spec.dtype), spec.size)
    shape = tf.shape(image)
    is_one = (shape[0] == spec.size) & (shape[1] == spec.size)
    return tf.ensure_shape(tf.cond(is_one, lambda: image, lambda: resized(image, spec.size)), spec.shape)


def check_packed(source: Source, spec: CanvasSpec) -> None:
    """Raises UserError where a source gives canvases whose numbers mean something else than those of `spec`."""
    if source.packed is not None and (source.packed.values != spec.values or spec.channels != source.arrays[0]):
        raise UserError(
            f"{source.name} holds canvases of {source.arrays[0]} channels, --normalize="
            f"{source.packed.settings['normalize']}, and others are needed here: use the data that they were made of"
        )


class BadFilesError(UserError):
    """Too many images cannot be read. `bad` lists each as (description, reason)."""

    def __init__(self, bad: list[tuple[str, str]], total: int, allowed: float):
        self.bad = bad
        super().__init__(
            f"{len(bad)} of {total} images ({len(bad) / total:.1%}) cannot be read, more than "
            f"--max_bad_fraction={allowed:g}: such as {examples(bad)}"
        )


def stop_if_too_many(bad: list[tuple[str, str]], total: int, allowed: float) -> None:
    """Raises BadFilesError where more than the share `allowed` of `total` images are bad."""
    if len(bad) > allowed * total:
        raise BadFilesError(bad, total, allowed)


def decoded(
    source: Source,
    spec: CanvasSpec,
    positions: tf.data.Dataset,
    indices: Callable[[np.ndarray], np.ndarray],
    is_lost: Callable[[], bool] = lambda: False,
) -> tf.data.Dataset:
    """The canvases at a data set of positions, in that order; those that cannot be read are missing.

    Args:
        positions: int64 scalars.
        indices: positions int64 [K] -> numbers in the source [K].
        is_lost: asked now and then; once it holds, the data set ends.
    Returns:
        {"position": int64, "image": [S, S, C], "size": float32 [2]}: size is the true height and width, px.
    """

    def pixels(positions):
        return np.stack([source.patient_read(int(i)) for i in indices(positions)])

    def files(positions):
        chunk = np.empty(len(positions), object)
        for row, i in enumerate(indices(positions)):
            try:
                chunk[row] = source.patient_read(int(i))
            except Exception:  # whatever is wrong with a file, `list_bad` names it
                chunk[row] = b""  # no image decodes from this
        return chunk, not is_lost()

    @as_written
    def read(positions):
        if source.arrays:
            channels, dtype = source.arrays
            raw = tf.numpy_function(pixels, [positions], dtype, stateful=False)
            return positions, tf.ensure_shape(raw, [None, None, None, channels]), True
        raw, go_on = tf.numpy_function(files, [positions], [tf.string, tf.bool], stateful=False)
        return positions, tf.ensure_shape(raw, [None]), tf.ensure_shape(go_on, [])

    @as_written
    def square(position, raw):
        image = from_array(raw, spec) if source.arrays else _decoding(spec)(raw)
        size = tf.cast(tf.shape(image)[:2], tf.float32)
        return {"position": position, "image": canvas(image, spec), "size": size}

    def one(position):
        (i,) = indices(np.array([position]))
        return source.patient_read(int(i))

    @as_written
    def read_one(position):
        channels, dtype = source.arrays
        raw = tf.numpy_function(one, [position], dtype, stateful=False)
        return position, tf.ensure_shape(raw, [None, None, channels])

    if source.packed is not None:
        return _unpacked(source, spec, positions, indices, is_lost)
    if source.shapes is not None:  # no two need be of one size
        records = positions.map(read_one, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors(log_warning=False)
        return records.map(square, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors(log_warning=False)
    # Python is entered once for a few records: entering it costs more than reading a small one.
    chunks = positions.batch(READ_TOGETHER).map(read, num_parallel_calls=tf.data.AUTOTUNE)
    chunks = chunks.take_while(as_written(lambda positions, raw, go_on: go_on))
    records = chunks.map(as_written(lambda positions, raw, go_on: (positions, raw))).unbatch()
    return records.map(square, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors(log_warning=False)


def _unpacked(source: Source, spec: CanvasSpec, positions: tf.data.Dataset, indices, is_lost) -> tf.data.Dataset:
    """`decoded` for images that are canvases already."""
    check_packed(source, spec)
    channels, dtype = source.arrays

    def canvases(positions):
        chosen = indices(positions)
        images, is_there = [None] * len(chosen), np.zeros(len(chosen), bool)
        for row, i in enumerate(chosen):
            with contextlib.suppress(Exception):  # whatever is wrong with it, `list_bad` names it
                images[row], is_there[row] = source.patient_read(int(i)), True
        images = [image for image in images if image is not None]
        stacked = np.stack(images) if images else np.zeros((0, 1, 1, channels), dtype)
        return positions[is_there], stacked, source.packed.sizes[chosen[is_there]].astype(np.float32), not is_lost()

    @as_written
    def read(positions):
        kinds = [tf.int64, dtype, tf.float32, tf.bool]
        positions, images, sizes, go_on = tf.numpy_function(canvases, [positions], kinds, stateful=False)
        images = tf.ensure_shape(images, [None, None, None, channels])
        return tf.ensure_shape(positions, [None]), images, tf.ensure_shape(sizes, [None, 2]), tf.ensure_shape(go_on, [])

    @as_written
    def square(position, image, size):
        return {"position": position, "image": repacked(image, spec), "size": size}

    chunks = positions.batch(READ_TOGETHER).map(read, num_parallel_calls=tf.data.AUTOTUNE)
    chunks = chunks.take_while(as_written(lambda positions, images, sizes, go_on: go_on))
    found = chunks.map(as_written(lambda positions, images, sizes, go_on: (positions, images, sizes))).unbatch()
    return found.map(square, num_parallel_calls=tf.data.AUTOTUNE)


@functools.cache
def _decoding(spec: CanvasSpec) -> Callable[[tf.Tensor], tf.Tensor]:
    """`decode` for a run, traced once: that takes a second, and a run reads its images by several data sets."""
    signature = [tf.TensorSpec([], tf.string)]
    return tf.function(lambda encoded: decode(encoded, spec), input_signature=signature, autograph=False)
