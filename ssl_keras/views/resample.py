"""Crop, flip, antialiased resize and Gaussian blur as one small matrix per image and axis.

All four are linear along each axis, so a view's geometry is `A_v X A_h^T`. The rows of A hold the resampling kernel, stretched
by the scale where the image shrinks (antialiasing) and normalised, exactly as Pillow's `Image.resize(box=...)` computes them; blur is a
band matrix times A.
"""

import tensorflow as tf


def triangle(x):
    """Bilinear kernel: 1 - |x|, support 1."""
    return tf.maximum(1.0 - tf.abs(x), 0.0)


def cubic(x):
    """Bicubic kernel of Keys (1981) with a = -0.5, as in Pillow: support 2."""
    x = tf.minimum(tf.abs(x), 2.0)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return tf.where(x < 1.0, near, far)


KERNELS = {"bilinear": (triangle, 1.0), "bicubic": (cubic, 2.0)}


def resampling_matrix(
    start: tf.Tensor,
    length: tf.Tensor,
    size_in: int,
    size_out: int,
    interpolation: str = "bilinear",
    flip: tf.Tensor | None = None,
    blur_kernel: tf.Tensor | None = None,
) -> tf.Tensor:
    """Computes, per image, the matrix that takes an axis of the canvas to the same axis of its view.

    Args:
        start: float32 [B], where the box starts, in canvas pixels (0 is the outer edge of the first pixel).
        length: float32 [B], the box's length in canvas pixels.
        size_in: pixels of the canvas along this axis.
        size_out: pixels of the view.
        interpolation: "bilinear" or "bicubic".
        flip: bool [B], whether the view is mirrored along this axis.
        blur_kernel: float32 [B, 2r + 1], see `gaussian_kernel`; the view is continued beyond its edge by its last pixel, as in Pillow.

    Returns:
        float32 [B, size_out, size_in]. Rows sum to 1, but for those that see nothing of the canvas, which are zero.
    """
    kernel, _ = KERNELS[interpolation]
    radius = 0 if blur_kernel is None else blur_kernel.shape[-1] // 2
    row = tf.clip_by_value(tf.range(-radius, size_out + radius), 0, size_out - 1)
    row = tf.cast(row, tf.float32)[None]  # [1, O + 2r]
    if flip is not None:
        row = tf.where(flip[:, None], size_out - 1 - row, row)
    scale = length[:, None] / size_out
    centre = start[:, None] + (row + 0.5) * scale  # [B, O + 2r]
    column = tf.range(size_in, dtype=tf.float32) + 0.5
    weights = kernel((column - centre[:, :, None]) / tf.maximum(scale, 1.0)[:, :, None])  # [B, O + 2r, I]
    weights = tf.math.divide_no_nan(weights, tf.reduce_sum(weights, axis=-1, keepdims=True))
    if radius:
        taps = tf.unstack(blur_kernel, axis=1)
        weights = tf.add_n([tap[:, None, None] * weights[:, k : k + size_out] for k, tap in enumerate(taps)])
    return weights


def gaussian_kernel(sigma: tf.Tensor, radius: int) -> tf.Tensor:
    """Computes truncated Gaussian kernels that sum to 1.

    Args:
        sigma: float32 [B], standard deviation in pixels; 0 gives the identity.
        radius: the kernel has 2 radius + 1 taps.

    Returns:
        float32 [B, 2 radius + 1].
    """
    distance = tf.range(-radius, radius + 1, dtype=tf.float32)
    exponent = tf.square(distance) / (2.0 * tf.square(tf.maximum(sigma, 1e-3))[:, None])
    weights = tf.exp(-tf.minimum(exponent, 80.0))
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)


def resample(images: tf.Tensor, vertical: tf.Tensor, horizontal: tf.Tensor, overshoots: bool) -> tf.Tensor:
    """Computes `A_v X A_h^T` for each image and channel.

    Args:
        images: [B, H, W, C], any real dtype, in [0, full scale].
        vertical: float32 [B, h, H].
        horizontal: float32 [B, w, W], divided by the full scale.
        overshoots: whether to clip to [0, 1] between the products, as Pillow does, which resizes horizontally first: needed where
            the kernel has negative lobes.

    Returns:
        float32 [B, h, C, w]: rows of channels, the layout in which both products are plain ones.
    """
    batch = images.shape[0] or tf.shape(images)[0]
    _, height, width, channels = images.shape
    rows = tf.reshape(tf.transpose(images, [0, 1, 3, 2]), [batch, height * channels, width])
    rows = tf.matmul(tf.cast(rows, tf.float32), horizontal, transpose_b=True)  # [B, H C, w]
    if overshoots:
        rows = tf.clip_by_value(rows, 0.0, 1.0)
    rows = tf.reshape(rows, [batch, height, channels * horizontal.shape[1]])
    view = tf.matmul(vertical, rows)  # [B, h, C w]
    return tf.reshape(view, [batch, vertical.shape[1], channels, horizontal.shape[1]])
