"""How one view of a batch is computed: geometry, then color, then what is pointwise."""

import math
from collections.abc import Callable

import tensorflow as tf

from ssl_keras.data.formats.decode import MAXIMUM
from ssl_keras.views import boxes, channels, color, draws, exact_color, exemplar_ops, gap_ops, study_ops, value_ops
from ssl_keras.views.policy import Policy
from ssl_keras.views.resample import Matrix, gaussian_kernel, resample, resampling_matrix

# The value that stands for 1 in each dtype of image.
FULL_SCALE = {**MAXIMUM, "float64": 1.0, "float16": 1.0, "bfloat16": 1.0}


def make_view(
    policy: Policy,
    images: tf.Tensor,
    sizes: tf.Tensor,
    draw: dict[str, tf.Tensor],
    key: draws.Key,
    exact: bool = False,
    banded: bool = False,
    extents: tf.Tensor | None = None,
    columns: tf.Tensor | None = None,
    within: boxes.Boxes | None = None,
    gaps: bool = False,
    mark_gaps: bool = False,
) -> tf.Tensor:
    """Makes one view of each image.

    Args:
        policy: what the view is, with its size settled.
        images: [B, H, W, C], values from 0 to the `FULL_SCALE` of their dtype.
        sizes: float32 [B, 2], true height and width of each image.
        draw: the draws of each image, see `draws.image_draws`.
        key: what the draws for channels and pixels depend on.
        exact: whether color operations go one by one, see `exact_color`, instead of composed.
        banded: whether the resampling matrices are banded, see `resample`.
        extents: float32 [B, 2], height and width in pixels of the part of the canvas that holds the image; None: all.
        within: the part of each image that the view is made of, as if it were the whole image; but where the policy
            reaches beyond it, the image around it is seen. None: the whole image.
        gaps: whether there may be nothing measured in some pixels: integers are 0 there, floats not finite.
        mark_gaps: whether these are NaN in the view; else 0. A policy may make more of them.


    Returns:
        float32 [B, s, s, C] in [0, 1].
    """
    rgb, full_scale = images.shape[3] == 3, FULL_SCALE[images.dtype.name]
    matrices = _matrices(policy, images, sizes, draw, banded, extents, within)
    if rgb and not gaps:
        view = _in_color(policy, images, matrices, full_scale, draw, exact, columns)
        if changes := _of_values(policy, None):
            view = _changed(changes, _channels_first(view), None, policy, draw, key, mark_gaps)
            view = _channels_last(view)
    else:
        view = _resampled(policy, images, matrices, full_scale, draw, columns, gaps)
        view, measured = gap_ops.measured_mean(view) if gaps else (tf.clip_by_value(view, 0.0, 1.0), None)
        if rgb:
            view = _channels_first(_jittered(policy, _channels_last(view), draw, exact))
        changes = _of_values(policy, measured)
        if not rgb and (policy.jitter or policy.grayscale):
            changes = [*channels.jitter(policy, measured), *changes]
        view = _channels_last(_changed(changes, view, measured, policy, draw, key, mark_gaps))
    for operation in _pointwise(policy, rgb):
        view = operation(view, draw, key)
    return view


def _in_color(policy, images, matrices, full_scale, draw, exact, columns):
    """RGB images, resampled and jittered: float32 [B, s, s, 3] in [0, 1]."""
    vertical, horizontal = matrices
    if exact or not (policy.jitter or policy.grayscale):
        bicubic = policy.interpolation == "bicubic"
        view = _tilted(resample(images, vertical, horizontal, full_scale, None, bicubic, columns), policy, draw)
        return _jittered(policy, tf.clip_by_value(view, 0.0, 1.0), draw, exact)
    # Colors are mixed before dense products and after banded ones. That changes the speed only.
    mixing, factor = color.mixing_matrix(draw, policy), color.jitter_factors(draw, policy)["contrast"]
    dense = horizontal.first is None
    view = resample(images, vertical, horizontal, full_scale, mixing if dense else None, columns=columns)
    view = color.contrast(_tilted(view, policy, draw), factor, color.LUMA, None if dense else mixing)
    return tf.clip_by_value(view, 0.0, 1.0)


def _jittered(policy, view, draw, exact):
    """RGB views with their colors changed."""
    if not (policy.jitter or policy.grayscale):
        return view
    if exact:
        return exact_color.jitter(view, draw, policy)
    factor = color.jitter_factors(draw, policy)["contrast"]
    return tf.clip_by_value(color.contrast(view, factor, color.LUMA, color.mixing_matrix(draw, policy)), 0.0, 1.0)


def _resampled(policy, images, matrices, full_scale, draw, columns, gaps):
    """Images of any channels, and their masks where they have gaps: float32 [B, C or 2 C, s, s]."""
    bicubic = policy.interpolation == "bicubic" and not gaps  # its lobes are divided by those of the masks
    form = {"clip": bicubic, "columns": columns, "masks": gaps, "channels_first": not policy.tilt}
    view = resample(images, *matrices, full_scale, **form)
    return _channels_first(_tilted(view, policy, draw)) if policy.tilt else view


def _changed(changes, view, measured, policy, draw, key, mark_gaps):
    """A view [B, C, s, s] with its values changed, and without what its sensor, or its policy, left out."""
    for change in changes:
        view = change(view, draw, key)
    if policy.holes or policy.erosion:
        measured = tf.ones_like(view, tf.bool) if measured is None else measured
    if policy.holes:
        measured = gap_ops.holes(measured, draw, policy, key)
    if policy.erosion:
        measured = gap_ops.eroded(view, measured, draw, policy)
    if measured is None:
        return view
    return tf.where(measured, view, math.nan if mark_gaps else 0.0)


def _channels_first(view):
    return tf.transpose(view, [0, 3, 1, 2])


def _channels_last(view):
    return tf.transpose(view, [0, 2, 3, 1])


def _tilted(view, policy, draw):
    return exemplar_ops.tilt(view, draw, policy.tilt, policy.size) if policy.tilt else view


def _box(policy, sizes, draw, within) -> boxes.Boxes:
    """What is rendered of each image: the view, and the margin that a tilt needs."""
    if within is not None:
        sizes = sizes * tf.stack([within.height, within.width], axis=1)
    if policy.zoom is not None:
        box = boxes.zoomed(draw, policy.zoom, policy.zoom_shift)
    elif policy.crop_padding is not None:
        box = boxes.shifted(draw, policy.crop_padding)
    elif policy.crop_area is not None:
        log_ratio = tf.math.log(sizes[:, 1] / sizes[:, 0])
        box = boxes.random_resized(draw, log_ratio, policy.crop_area, policy.crop_aspect)
    else:
        box = boxes.whole(tf.shape(sizes)[0])
    box = box if within is None else boxes.inside(within, box)
    return boxes.grown(box, 1 + 2 * policy.margin / policy.size) if policy.margin else box


def _matrices(policy, images, sizes, draw, banded, extents, within) -> tuple[Matrix, Matrix]:
    """Crop, resize, flip and blur along the vertical and the horizontal axis."""
    box = _box(policy, sizes, draw, within)
    mirrored = policy.zoom is not None or bool(policy.tilt)  # these look beyond the image; padding is black
    fits = banded and not mirrored
    blur = None
    if policy.blur_radius:
        sigma = draws.between(draw["blur_sigma"], *policy.blur_sigma)
        blur = gaussian_kernel(tf.where(draw["blur"] < policy.blur, sigma, 0.0), policy.blur_radius)

    def matrix(start, length, axis, flip=None):
        pixels = images.shape[axis] or tf.shape(images)[axis]
        extent = None if extents is None else extents[:, axis - 1]
        unit = tf.cast(pixels, tf.float32) if extent is None else extent
        return resampling_matrix(
            start * unit, length * unit, pixels, policy.size + 2 * policy.margin, policy.interpolation, flip, blur,
            extent, fits, transposed=axis == 2 and not fits, mirrored=mirrored,
        )  # fmt: skip

    flip = draw["flip"] < policy.flip if policy.flip else None
    return matrix(box.top, box.height, 1), matrix(box.left, box.width, 2, flip)


def _of_values(policy, measured) -> list[Callable]:
    """The changes of values of the policy, in order: functions of (view [B, C, s, s], draws, key)."""
    changes = []
    if policy.gain or policy.shift:
        changes.append(lambda view, draw, _: value_ops.scale_and_shift(view, draw, policy))
    if policy.gamma:
        changes.append(lambda view, draw, _: value_ops.gamma(view, draw, policy.gamma))
    if policy.bias_field:
        changes.append(lambda view, draw, _: value_ops.bias_field(view, draw, policy.bias_field))
    if policy.channel_gain:
        changes.append(lambda view, _, key: value_ops.channel_gain(view, key, policy.channel_gain))
    if policy.channel_drop:
        changes.append(lambda view, _, key: value_ops.channel_drop(view, key, policy.channel_drop))
    if policy.channel_mean:
        changes.append(lambda view, draw, _: value_ops.channel_mean(view, draw, policy.channel_mean))
    if policy.own_noise:
        changes.append(
            lambda view, draw, key: value_ops.own_noise(view, policy.own_noise * draw["own_noise"], measured, key)
        )
    if not changes and (policy.holes or policy.erosion):
        changes.append(lambda view, *_: view)
    return changes


def _pointwise(policy, rgb) -> list[Callable]:
    """The operations of the policy that come last, in order: functions of (view [B, s, s, C], draws, key)."""
    operations = []
    if policy.quarter_turn:
        operations.append(lambda view, draw, _: study_ops.quarter_turn(view, draw, policy.quarter_turn))
    if policy.component_gain and rgb:
        operations.append(lambda view, draw, _: exemplar_ops.component_contrast(view, draw, policy.component_gain))
    if policy.hsv_power and rgb:
        operations.append(lambda view, draw, _: exemplar_ops.hsv_jitter(view, draw, policy))
    if policy.solarize:
        operations.append(
            lambda view, draw, _: color.solarize(view, draw["solarize"] < policy.solarize, policy.solarize_threshold)
        )
    if policy.sobel:
        operations.append(lambda view, draw, _: study_ops.sobel(view, draw, policy.sobel))
    if policy.noise:
        operations.append(lambda view, draw, key: study_ops.noise(view, draw, policy.noise, policy.noise_sigma, key))
    if policy.cutout:
        operations.append(lambda view, draw, _: study_ops.cutout(view, draw, policy.cutout, policy.cutout_side))
    return operations
