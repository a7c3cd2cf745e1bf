"""Crop, flip, antialiased resize and Gaussian blur as one small matrix per image and axis.

All four are linear along each axis, so a view's geometry is `A_v X A_h^T`. The rows of A hold the resampling kernel,
stretched by the scale where the image shrinks (antialiasing) and normalized, as in Pillow's `Image.resize(box=...)`.
Blur is a band matrix times A. A row has few non-zeros, all near its position in the canvas. So A has two forms: one
dense matrix, or blocks of rows that each see a short window of the canvas. Blocks cost a gather and save most of the
arithmetic: a third of a view's time at 224 px on CPUs (docs/views.md).
"""

import math
from typing import NamedTuple

import tensorflow as tf

LONGEST_BLOCK = 32
SMALLEST_BANDED = 64  # below, a window is not much shorter than the canvas


def triangle(x):
    """Bilinear kernel: 1 - |x|, support 1."""
    return tf.maximum(1.0 - tf.abs(x), 0.0)


def cubic(x):
    """Bicubic kernel of Keys (1981) with a = -0.5, as in Pillow: support 2."""
    x = tf.minimum(tf.abs(x), 2.0)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return tf.where(x < 1.0, near, far)


KERNELS = {"bilinear": (triangle, 1), "bicubic": (cubic, 2)}  # name -> kernel, support


class Matrix(NamedTuple):
    """One matrix per image: rows in n blocks of b, each of which sees k columns.

    weights: float32 [B, n, b, k]. first: int32 [B, n], the windows' first columns; None: one block that sees them all.
    transposed: whether the weights are [B, 1, k, b] instead, with which products from the right take a third less time.
    """

    weights: tf.Tensor
    first: tf.Tensor | None
    transposed: bool = False

    @property
    def rows(self) -> int:
        """How many rows the matrix has."""
        return self.weights.shape[1] * self.weights.shape[2]

    def __matmul__(self, rows: tf.Tensor) -> tf.Tensor:
        """Multiplies [B, I, N], any real dtype, by the matrices: float32 [B, n b, N]."""
        if self.first is None:
            return tf.matmul(self.weights[:, 0], tf.cast(rows, tf.float32))
        window = self.first[:, :, None] + tf.range(self.weights.shape[3])
        windows = tf.cast(tf.gather(rows, window, batch_dims=1), tf.float32)  # [B, n, k, N]
        return tf.reshape(tf.matmul(self.weights, windows), [-1, self.rows, rows.shape[2]])


def resampling_matrix(
    start: tf.Tensor,
    length: tf.Tensor,
    size_in: int | tf.Tensor,
    size_out: int,
    interpolation: str = "bilinear",
    flip: tf.Tensor | None = None,
    blur_kernel: tf.Tensor | None = None,
    extent: tf.Tensor | None = None,
    banded: bool = False,
    transposed: bool = False,
    mirrored: bool = False,
) -> Matrix:
    """Computes, per image, the matrix that takes an axis of the canvas to the same axis of its view.

    Args:
        start: float32 [B], where the box starts, in canvas pixels (0 is the outer edge of the first pixel).
        length: float32 [B], the box's length in canvas pixels; at most `size_in` where `banded`.
        size_in: pixels of the canvas along this axis; may be a tensor where not `banded`.
        size_out: pixels of the view.
        interpolation: "bilinear" or "bicubic".
        flip: bool [B], whether the view is mirrored along this axis.
        blur_kernel: float32 [B, 2r + 1], see `gaussian_kernel`. Beyond its edge the view is continued by its last
            pixel, as Pillow does.
        extent: float32 [B], how many pixels of the canvas hold the image; None: all.
        banded: whether to build the form in blocks.
        transposed: whether to build a dense matrix with its rows along the last axis.
        mirrored: whether the image goes on beyond its ends as its own mirror image (only where not `banded`). False: it
            ends in black.

    Returns:
        The matrices, size_out x size_in. Rows sum to 1, except for rows that see nothing of the image, which are zero.
    """
    kernel, support = KERNELS[interpolation]
    radius = 0 if blur_kernel is None else blur_kernel.shape[-1] // 2
    block = _block_length(size_out) if banded else size_out

    # The rows of each block and of `radius` neighbors on both sides, [1, n, b + 2r].
    row = tf.range(0, size_out, block)[:, None] + tf.range(-radius, block + radius)
    row = tf.cast(tf.clip_by_value(row, 0, size_out - 1), tf.float32)[None]
    if flip is not None:
        row = tf.where(flip[:, None, None], size_out - 1 - row, row)
    scale = (length / size_out)[:, None, None]
    stretch = tf.maximum(scale, 1.0)
    center = start[:, None, None] + (row + 0.5) * scale  # [B, n, b + 2r], in canvas pixels
    if mirrored:
        end = tf.cast(size_in, tf.float32) if extent is None else extent[:, None, None]
        center = end - tf.abs(end - tf.math.floormod(center, 2 * end))

    window = size_in
    if banded:
        reduction = size_in / size_out  # the largest scale
        window = math.ceil((block - 1 + 2 * radius) * reduction + 2 * support * max(1.0, reduction))
    if not banded or window >= size_in:
        window, first = size_in, None
        column = tf.range(size_in)[None, None]
    else:
        lowest = tf.minimum(center[:, :, 0], center[:, :, -1]) - support * stretch[:, :, 0]
        first = tf.clip_by_value(tf.cast(tf.floor(lowest + 0.5), tf.int32), 0, size_in - window)
        column = first[:, :, None] + tf.range(window)
    pixels, rows = (-2, -1) if transposed else (-1, -2)  # axes of the weights
    column = tf.expand_dims(tf.cast(column, tf.float32), rows)
    nearness = tf.expand_dims(tf.math.reciprocal(stretch), pixels)
    weights = kernel((column + 0.5 - tf.expand_dims(center, pixels)) * nearness)  # b + 2r rows
    if extent is not None:
        weights = tf.where(column < extent[:, None, None, None], weights, 0.0)
    weights = weights * tf.math.reciprocal_no_nan(tf.reduce_sum(weights, axis=pixels, keepdims=True))
    if radius:
        taps = tf.unstack(blur_kernel[:, :, None, None, None], axis=1)
        slices = [slice(k, k + block) for k in range(len(taps))]
        neighbors = [weights[..., part] if transposed else weights[..., part, :] for part in slices]
        weights = tf.add_n([tap * neighbor for tap, neighbor in zip(taps, neighbors)])
    return Matrix(weights, first, transposed)


def gaussian_kernel(sigma: tf.Tensor, radius: int) -> tf.Tensor:
    """Computes truncated Gaussian kernels that sum to 1.

    Args:
        sigma: float32 [B], standard deviation in pixels; 0 gives the identity.
        radius: int r; the kernel has 2r + 1 taps.

    Returns:
        float32 [B, 2r + 1].
    """
    distance = tf.range(-radius, radius + 1, dtype=tf.float32)
    exponent = tf.square(distance) / (2.0 * tf.square(tf.maximum(sigma, 1e-3))[:, None])
    weights = tf.exp(-tf.minimum(exponent, 80.0))
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)


def resample(
    images: tf.Tensor,
    vertical: Matrix,
    horizontal: Matrix,
    full_scale: float = 1.0,
    mixing: tf.Tensor | None = None,
    clip: bool = False,
    columns: tf.Tensor | None = None,
    masks: bool = False,
    channels_first: bool = False,
) -> tf.Tensor:
    """Computes `A_v X A_h^T / full_scale` for each image and channel.

    Args:
        images: [B, H, W, C], any real dtype, in [0, full_scale].
        vertical: h x H.
        horizontal: w x W.
        full_scale: the value that becomes 1.
        mixing: float32 [B, C, C] that maps the channels of every pixel first; None: the identity. For dense matrices
            only, where it costs next to nothing.
        clip: whether to clip to [0, 1] between the products, of which the horizontal one comes first. Pillow does this;
            it matters where the kernel has negative lobes.
        columns: the images as `transposed` has them, for a banded `horizontal`; None: transposed here. Give it where
            several views are made of the same images, so that they are transposed once.
        masks: whether there are C more channels, of where something was measured, see `gap_ops`.
        channels_first: whether the result is [B, C, h, w]: XLA makes long loops of operations on it.

    Returns:
        float32 [B, h, w, C].
    """
    horizontal = horizontal._replace(weights=horizontal.weights / full_scale)  # the smallest array to scale
    if horizontal.first is None:
        # Channel by channel: pixels stay where they are between the products, and small matrices stay in the cache.
        planes = tf.unstack(images, axis=3)  # [B, H, W] each
        if masks:
            values, there = zip(*(with_mask(plane, full_scale) for plane in planes))
            planes = [*values, *there]
        planes = [tf.cast(plane, tf.float32) for plane in planes]
        if mixing is not None:
            planes = [
                tf.add_n([row[:, k, None, None] * plane for k, plane in enumerate(planes)])
                for row in tf.unstack(mixing, axis=1)
            ]
        rows = [tf.matmul(plane, horizontal.weights[:, 0], transpose_b=not horizontal.transposed) for plane in planes]
        rows = [tf.clip_by_value(row, 0.0, 1.0) for row in rows] if clip else rows
        return tf.stack([vertical @ row for row in rows], axis=1 if channels_first else -1)
    columns = transposed(images, full_scale, masks) if columns is None else columns
    batch, width, height, channels = [
        known or dynamic for known, dynamic in zip(columns.shape, tf.unstack(tf.shape(columns), 4))
    ]
    pixels = horizontal @ tf.reshape(columns, [batch, width, height * channels])  # [B, w, H C]
    pixels = tf.clip_by_value(pixels, 0.0, 1.0) if clip else pixels
    rows = tf.transpose(tf.reshape(pixels, [batch, horizontal.rows, height, channels]), [0, 2, 1, 3])  # [B, H, w, C]
    view = vertical @ tf.reshape(rows, [batch, height, horizontal.rows * channels])
    view = tf.reshape(view, [batch, vertical.rows, horizontal.rows, channels])
    return tf.transpose(view, [0, 3, 1, 2]) if channels_first else view


def transposed(images: tf.Tensor, full_scale: float = 1.0, masks: bool = False) -> tf.Tensor:
    """Images [B, H, W, C] as [B, W, H, C], or with their masks as [B, W, H, 2 C]."""
    columns = tf.transpose(images, [0, 2, 1, 3])
    return tf.concat(with_mask(columns, full_scale), axis=3) if masks else columns


def with_mask(images: tf.Tensor, full_scale: float) -> tuple[tf.Tensor, tf.Tensor]:
    """(Images, 0 where nothing was measured; masks, full scale where something was), both of the images' dtype.

    Nothing was measured where integers are 0, and where floats are not finite.
    """
    there = tf.math.is_finite(images) if images.dtype.is_floating else images > 0
    nothing = tf.zeros((), images.dtype)
    return tf.where(there, images, nothing), tf.where(there, tf.cast(full_scale, images.dtype), nothing)


def _block_length(size_out: int) -> int:
    """The longest divisor of the view's side that is not longer than `LONGEST_BLOCK`."""
    return next(length for length in range(min(LONGEST_BLOCK, size_out), 0, -1) if size_out % length == 0)
