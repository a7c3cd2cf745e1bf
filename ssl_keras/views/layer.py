"""The layer that makes views: a batch of canvases in, one batch per view out, on the device, with no loop over images."""

import keras
import tensorflow as tf

from ssl_keras.views import boxes, color, draws
from ssl_keras.views.policies import Policy
from ssl_keras.views.resample import gaussian_kernel, resample, resampling_matrix

# The value that stands for 1.0 in each dtype of canvas.
FULL_SCALE = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0, "float16": 1.0, "bfloat16": 1.0, "float64": 1.0}


class RandomViews(keras.layers.Layer):
    """Makes random views of a batch of images.

    Every draw is a function of (seed, step, view, image's place in the global batch): the same step gives the same views, on any
    number of replicas. All arithmetic is float32, under mixed precision too.

    Args:
        views: one `Policy` per view, see `policies.get`.
        image_size: side in pixels of the views whose policy does not state a size.
        seed: the run's seed, in [0, 2^31).
        jit_compile: whether XLA compiles the views; None: yes.
    """

    def __init__(self, views, image_size: int, seed: int = 0, jit_compile: bool | None = None, **kwargs):
        super().__init__(dtype="float32", autocast=False, **kwargs)
        if not 0 <= seed < 2**31:
            raise ValueError(f"seed={seed} must lie in [0, 2^31)")
        self.views = tuple(
            policy if policy.size else Policy(**{**vars(policy), "size": image_size}) for policy in views
        )
        self.image_size = image_size
        self.seed = seed
        self.jit_compile = jit_compile
        self.built = True
        self._make_views = tf.function(self._views, jit_compile=jit_compile is not False, autograph=False)

    def call(self, images, sizes=None, step=0):
        """Makes the views of one step.

        Args:
            images: canvases [b, S, S, C]: uint8 in 0..255, uint16 in 0..65535 or float32 in [0, 1].
            sizes: float32 [b, 2], true height and width of each image before it was squashed to the canvas; None: the canvas's own.
            step: int64 scalar, e.g. `optimizer.iterations`.

        Returns:
            A list with one float32 [b, s_v, s_v, C] in [0, 1] per view.
        """
        images = tf.convert_to_tensor(images)
        if sizes is None:
            sizes = tf.broadcast_to(tf.constant([images.shape[1:3]], tf.float32), [tf.shape(images)[0], 2])
        context = tf.distribute.get_replica_context()
        replica = tf.convert_to_tensor(context.replica_id_in_sync_group if context else 0, tf.int32)
        step = tf.cast(tf.convert_to_tensor(step), tf.int64)
        return self._make_views(images, tf.cast(sizes, tf.float32), step, replica)

    def _views(self, images, sizes, step, replica):
        batch = images.shape[0] if images.shape[0] is not None else tf.shape(images)[0]
        return [
            make_view(policy, images, sizes, draws.image_draws(self.seed, step, view, batch, replica))
            for view, policy in enumerate(self.views)
        ]

    def compute_output_shape(self, input_shape):
        return [(input_shape[0], policy.size, policy.size, input_shape[-1]) for policy in self.views]


def make_view(policy: Policy, images: tf.Tensor, sizes: tf.Tensor, draw: dict) -> tf.Tensor:
    """Makes one view of each image: float32 [b, s, s, C] in [0, 1]. See `RandomViews.call`."""
    channels = images.shape[-1]
    pixels = _geometry(policy, images, sizes, draw)  # [b, s, C, s]
    means = tf.reduce_mean(pixels, axis=[1, 3])
    if channels == 3:
        matrix, offset = color.fused_color(draw, policy, means)
        view = tf.einsum("bkc,bhcw->bhwk", matrix, pixels) + offset[:, None, None, None]
    else:
        gain, offset = 1,2
        view = gain[:, None, None, None] * tf.transpose(pixels, [0, 1, 3, 2]) + offset[:, None, None, None]
    view = tf.clip_by_value(view, 0.0, 1.0)
    if policy.solarize:
        view = color.solarize(view, draw["solarize"] < policy.solarize, policy.solarize_threshold)
    return view


def center_view(images: tf.Tensor, image_size: int) -> tf.Tensor:
    """Resizes whole canvases, antialiased, without any draw: float32 [b, s, s, C] in [0, 1]; equal sizes pass unchanged.

    Args:
        images: as in `RandomViews.call`.
        image_size: side of the result in pixels.
    """
    images = tf.convert_to_tensor(images)
    scale = FULL_SCALE[images.dtype.name]
    if images.shape[1:3] == (image_size, image_size):
        return tf.cast(images, tf.float32) / scale
    one = tf.ones([1])
    vertical, horizontal = (
        resampling_matrix(0.0 * one, size * one, size, image_size) for size in images.shape[1:3]
    )
    pixels = tf.einsum("oi,biwc,pw->bopc", vertical[0] / scale, tf.cast(images, tf.float32), horizontal[0])
    return tf.clip_by_value(pixels, 0.0, 1.0)


def _geometry(policy, images, sizes, draw):
    """Crop, resize, flip and blur: float32 [b, s, C, s]."""
    batch, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    if policy.crop_padding is not None:
        box = boxes.shifted(draw, policy.crop_padding)
    elif policy.crop_area is not None:
        log_ratio = tf.math.log(sizes[:, 1] / sizes[:, 0])
        box = boxes.random_resized(draw, log_ratio, policy.crop_area, policy.crop_aspect)
    else:
        box = boxes.whole(batch)
    blur = None
    if policy.blur_radius:
        sigma = draws.between(draw["blur_sigma"], *policy.blur_sigma)
        blur = gaussian_kernel(tf.where(draw["blur"] < policy.blur, sigma, 0.0), policy.blur_radius)
    flip = draw["flip"] < policy.flip if policy.flip else None
    kernel = policy.interpolation
    vertical = resampling_matrix(box.top * height, box.height * height, height, policy.size, kernel, None, blur)
    horizontal = resampling_matrix(box.left * width, box.width * width, width, policy.size, kernel, flip, blur)
    return resample(images, vertical, horizontal / FULL_SCALE[images.dtype.name], overshoots=kernel == "bicubic")
