"""The layer that makes views: a batch of images in, a batch per view out, on the device, with no loop over images."""

import math
from dataclasses import asdict

import keras
import keras_cv
import tensorflow as tf
from absl import logging

from ssl_keras.distribute import has_accelerator
from ssl_keras.errors import UserError
from ssl_keras.views import gap_ops, policies
from ssl_keras.views.draws import Key, image_draws
from ssl_keras.views.policy import Policy
from ssl_keras.views.render import FULL_SCALE, make_view
from ssl_keras.views.resample import SMALLEST_BANDED, resample, resampling_matrix, transposed, with_mask

COLORS = ("fused", "exact")
FORMS = ("auto", "dense", "banded")


@keras.saving.register_keras_serializable("ssl_keras")
class RandomViews(keras_cv.layers.VectorizedBaseImageAugmentationLayer):
    """Makes random views of a batch of images.

    Every draw is a function of (seed, step, view, the image's place in the global batch). So the same step gives the
    same views, on any number of replicas, inside XLA and outside. All arithmetic is float32, under mixed precision too.
    Under a strategy, call it in replica context, as a `train_step` is.

    Args:
        views: one `Policy` per view, or the name of a recipe, see `policies.get`.
        image_size: side in pixels of the views whose policy does not state a size.
        seed: the run's seed, in [0, 2^31).
        jit_compile: whether XLA compiles the views; None: yes, except for ragged images.
        color: "fused": all color operations as one matrix; "exact": one by one, as torchvision does.
        form: form of the resampling matrices: "dense", "banded", or "auto": banded where XLA compiles for a CPU and the
            view has `resample.SMALLEST_BANDED` pixels or more.
        gaps: whether images are 0, or NaN where they are floats, in pixels where nothing was measured: these then take
            no part in what is computed of the others.
        mark_gaps: whether they are NaN in the views, as are those that a policy takes out; else 0.
    """

    def __init__(
        self,
        views,
        image_size,
        seed=0,
        jit_compile=None,
        color="fused",
        form="auto",
        gaps=False,
        mark_gaps=False,
        **kwargs,
    ):
        super().__init__(seed=seed, **{**kwargs, "dtype": "float32", "autocast": False})
        if not 0 <= seed < 2**31:
            raise UserError(f"seed={seed} must lie in [0, 2^31)")
        if color not in COLORS:
            raise UserError(f"color={color!r} is unknown: use {' or '.join(COLORS)}")
        if form not in FORMS:
            raise UserError(f"form={form!r} is unknown: use one of {', '.join(FORMS)}")
        views = policies.get(views, image_size) if isinstance(views, str) else views
        self.views = tuple(policy.sized(image_size) for policy in views)
        self.image_size, self.seed, self.jit_compile, self.color, self.form = image_size, seed, jit_compile, color, form
        self.gaps, self.mark_gaps = gaps, mark_gaps
        self.share = 1.0  # of their side that the views have at present
        self._makers = {}
        # Compiled by itself: once for all views, and not in the loops that gather from its result.
        self._transposed = self._compiled(
            lambda images: transposed(images, FULL_SCALE[images.dtype.name], masks=self.gaps)
        )
        self._noted_channels = set()
        self.built = True

    def call(self, inputs, sizes=None, step=None, within=None, partners=None):
        """Makes the views of one step.

        Args:
            inputs: images [b, H, W, C]: uint8 in 0..255, uint16 in 0..65535 or float in [0, 1], with any number of
                channels; or a single image [H, W, C]; or a ragged batch of images of different sizes; or a dict with
                such "images" (and "sizes"), whose other entries are passed on.
            sizes: float32 [b, 2], true height and width of each image before it was squashed to the canvas; None: the
                image's own. Crops are drawn in the true geometry.
            step: int64 scalar, e.g. `optimizer.iterations`; None: drawn at random.
            within: `boxes.Boxes`, the part of each image that views are made of, see `render.make_view`; None: all.
            partners: (images, sizes) of as many other images, of which every second view is made; None: all views are
                of the images themselves. Not for ragged images.

        Returns:
            A list with one float32 [b, s_v, s_v, C] in [0, 1] per view, NaN where `mark_gaps` says so; for a dict, the
            dict with this as "images".
        """
        batch, form = self._format_inputs(_tensors(inputs))
        sizes = batch.get("sizes", sizes)
        if step is None:
            step = self._random_generator.uniform_full_int([], dtype=tf.int64)
        views = self._make(batch["images"], sizes, tf.cast(step, tf.int64), within, partners)
        if not form["batched"]:
            views = [tf.squeeze(view, axis=0) for view in views]
        return self._packed(inputs, views)

    def _make(self, images, sizes, step, within, partners):
        views, extents = [policy.at_share(self.share) for policy in self.views], None
        if isinstance(images, tf.RaggedTensor):
            rows = images.row_lengths(1)
            extents = tf.cast(tf.stack([rows, tf.reduce_max(images.row_lengths(2), axis=1)], axis=1), tf.float32)
            images = images.to_tensor()
        self._check(images)
        if sizes is None:
            sizes = extents
        if sizes is None:
            sizes = tf.broadcast_to(tf.cast(tf.shape(images)[1:3], tf.float32), [tf.shape(images)[0], 2])
        context = tf.distribute.get_replica_context()
        replica = tf.cast(context.replica_id_in_sync_group if context else 0, tf.int32)
        sizes = tf.reshape(tf.cast(sizes, tf.float32), [-1, 2])
        if extents is not None:
            return [
                self._view(policy, False, images, sizes, step, replica, view, extents, within=within)
                for view, policy in enumerate(views)
            ]
        shown = [(images, sizes)]
        if partners is not None:
            shown.append((tf.convert_to_tensor(partners[0]), tf.reshape(tf.cast(partners[1], tf.float32), [-1, 2])))
        banded = any(map(self._is_banded, views))
        shown = [(*pair, self._transposed(pair[0]) if banded else None) for pair in shown]
        made = []
        for view, policy in enumerate(views):
            images, sizes, columns = shown[view % len(shown)]
            made.append(self._maker(policy)(images, sizes, step, replica, tf.constant(view), columns, within))
        return made

    def _maker(self, policy):
        """The function that makes views of one policy, compiled where it should be.

        Views of one policy share it: a multi-crop recipe of eight views has two.
        """
        if policy in self._makers:
            return self._makers[policy]

        def make(images, sizes, step, replica, view, columns, within):
            banded = self._is_banded(policy)
            return self._view(policy, banded, images, sizes, step, replica, view, columns=columns, within=within)

        self._makers[policy] = self._compiled(make)
        return self._makers[policy]

    def _compiled(self, function):
        return tf.function(function, jit_compile=self.jit_compile is not False, autograph=False)

    def _is_banded(self, policy):
        if self.form != "auto":
            return self.form == "banded"
        return self.jit_compile is not False and not has_accelerator() and policy.size >= SMALLEST_BANDED

    def _view(self, policy, banded, images, sizes, step, replica, view, extents=None, columns=None, within=None):
        batch = images.shape[0] or tf.shape(images)[0]
        key = Key(self.seed, step, view, replica * batch + tf.range(batch))
        draw, exact, gaps = image_draws(key), self.color == "exact", (self.gaps, self.mark_gaps)
        return make_view(policy, images, sizes, draw, key, exact, banded, extents, columns, within, *gaps)

    def _check(self, images):
        dtype, channels = images.dtype.name, images.shape[-1]
        if dtype not in FULL_SCALE:
            raise UserError(f"images are {dtype}: expected uint8, uint16 or a float dtype with values in [0, 1]")
        if channels is None:
            raise UserError("the number of channels of the images must be known")
        replaced = any(policy.jitter or policy.grayscale for policy in self.views)
        if channels != 3 and replaced and channels not in self._noted_channels:
            self._noted_channels.add(channels)
            logging.info(
                "Images have %d channels, not 3: saturation, hue and grayscale are replaced by gain, offset, gamma and "
                "noise per channel.",
                channels,
            )

    def _packed(self, inputs, views):
        return {**inputs, "images": views} if isinstance(inputs, dict) else views

    def compute_output_shape(self, input_shape):
        return [(*input_shape[:-3], policy.size, policy.size, input_shape[-1]) for policy in self.views]

    def get_config(self):
        return {
            **super().get_config(),
            "views": [asdict(policy) for policy in self.views],
            "image_size": self.image_size,
            "seed": self.seed,
            "jit_compile": self.jit_compile,
            "color": self.color,
            "form": self.form,
            "gaps": self.gaps,
            "mark_gaps": self.mark_gaps,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "views": [Policy(**policy) for policy in config["views"]]})


@keras.saving.register_keras_serializable("ssl_keras")
class RandomView(RandomViews):
    """Makes one random view of each image, as a layer that composes with keras-cv's: images in, images out.

    It takes what `RandomViews` takes, with a single policy. The result lies in [0, 1], so layers that follow must be
    given that `value_range`.
    """

    def _packed(self, inputs, views):
        return super()._packed(inputs, views[0])

    def compute_output_shape(self, input_shape):
        return super().compute_output_shape(input_shape)[0]


def _tensors(inputs):
    if isinstance(inputs, dict):
        return {name: _tensors(value) for name, value in inputs.items()}
    return inputs if isinstance(inputs, tf.RaggedTensor) else tf.convert_to_tensor(inputs)


CROPS = ("center", "squash")  # how an image of any proportions becomes a square for evaluation


def crop_of(how: str, canvas_size: int, image_size: int) -> float | None:
    """The `crop` of `center_view` by its name in `CROPS`; what is cut off is the margin by which canvases are larger.

    "center" is what the papers do: the shorter side becomes 256, of which the central 224 are cut out. Images as small
    as their views have no margin: nothing but the ends of the longer side is cut off.
    """
    return min(1.0, image_size / canvas_size) if how == "center" else None


def center_view(
    images: tf.Tensor, image_size: int, sizes=None, crop: float | None = None, gaps: bool = False
) -> tf.Tensor:
    """Resizes images for evaluation, antialiased, without any random draw.

    Args:
        images: as in `RandomViews.call`, [b, H, W, C].
        image_size: side of the result in pixels.
        sizes: float32 [b, 2], true height and width of each image; None: the canvas's own.
        crop: None: the whole canvas, squashed; else the central square whose side is this fraction of the image's
            shorter side in true geometry (224 / 256 is the usual one).
        gaps: whether there may be nothing measured in some pixels, see `RandomViews`.

    Returns:
        float32 [b, s, s, C] in [0, 1], NaN in gaps; where nothing is to be resized or cut, the images themselves,
        scaled.
    """
    images = tf.convert_to_tensor(images)
    scale = FULL_SCALE[images.dtype.name]
    if crop is None and images.shape[1:3] == (image_size, image_size):
        view, there = (tf.cast(part, tf.float32) / scale for part in with_mask(images, scale))
        return tf.where(there > 0, view, math.nan) if gaps else tf.cast(images, tf.float32) / scale
    batch = tf.shape(images)[0]
    share = tf.ones([batch, 2])
    if crop is not None:
        canvas = tf.cast(tf.shape(images)[1:3], tf.float32)
        sizes = tf.cast(canvas if sizes is None else sizes, tf.float32)
        share = share * crop * tf.reduce_min(sizes, axis=-1, keepdims=True) / sizes
    matrices = [
        resampling_matrix((0.5 - 0.5 * share[:, k]) * side, share[:, k] * side, side, image_size)
        for k, side in enumerate(images.shape[1:3])
    ]
    if not gaps:
        return tf.clip_by_value(resample(images, *matrices, full_scale=scale), 0.0, 1.0)
    view = resample(images, *matrices, full_scale=scale, masks=True, channels_first=True)
    values, measured = gap_ops.measured_mean(view)
    return tf.transpose(tf.where(measured, values, math.nan), [0, 2, 3, 1])
