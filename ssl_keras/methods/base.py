"""What every method shares: views first, one place that turns a loss into an update, and what is watched.

A method is a subclass in a file of its own that writes out its `train_step`. Its constructor takes
`(backbone, views, *, hyper-parameters)`; keywords named in `configured.FACTS` are told by the data and the settings.

A step is: views; embeddings that need no gradient (`without_gradient`); embeddings and the loss on them (`minimize`);
changes of state, such as a queue's; `watch`. Embeddings and loss are told apart so that a step can go through a large
batch in pieces, and so that the time of the passes can be measured by itself.
"""

import math
from collections.abc import Callable
from typing import ClassVar

import keras
import tensorflow as tf

from ssl_keras import distribute
from ssl_keras.errors import UserError
from ssl_keras.methods.configured import Configured
from ssl_keras.nn import backbones
from ssl_keras.nn.micro_batches import MicroBatches
from ssl_keras.training.fitting import Fitted
from ssl_keras.training.spread import z_std
from ssl_keras.views import draws, policies
from ssl_keras.views.layer import RandomViews
from ssl_keras.views.render import FULL_SCALE


class SSLModel(Fitted, Configured):
    """A backbone, the layer that makes its views, and a loss of the subclass's own.

    Args:
        backbone: functional model, float32 [B, S, S, C] in [0, 1] -> representation h, float32 [B, D].
        views: `views.layer.RandomViews`, batch of canvases -> list of views float32 [B, s, s, C] in [0, 1]; or the name
            of a recipe of `views.policies`, at the backbone's size with seed 0; None: the method's own recipe.
        z_dim: the dimension of the projection in which collapse is watched; None where a method has none.

    Raises:
        UserError: a backbone that does not map square images to vectors, or views that are too many, too few or of
            another size.

    Attributes:
        micro_batch_size: images, over all replicas, that go through the networks at a time; None: the whole batch. The
            step is the same but for batch normalization, whose statistics are then those of each replica's piece (see
            `nn.micro_batches`); with several replicas it must not be synchronized.
    """

    default_views = "simclr"  # name of the recipe in views.policies; another one must give as many views
    any_views = False  # whether it takes any number of views, 2 or more
    multi_crop = False  # whether it does, and brings the backbone to their sizes
    cuts_views = False  # whether the backbone sees parts of the views, whose size is then their own
    needs_labels = False
    needs_index = False  # whether it knows each image of the data by its number
    compares_places = ""  # why both views must be of one image, where parts of views are compared
    smallest_batch = 1  # images, over all replicas, of which its loss can compare some
    normalized_in = 1  # groups into which a batch is divided for batch normalization
    caveats: ClassVar[dict[str, str]] = {}  # evaluation -> what its numbers do not show of this method's encoders
    constant_lr: tuple[str, ...] = ()  # parts of the model whose learning rate is not scheduled, by variable path
    held: ClassVar[dict[str, int]] = {}  # variable path -> the optimizer's first steps in which that part is left alone
    state: tuple[str, ...] = ()  # beginnings of the paths of variables that a step moves otherwise than by gradients

    def __init__(self, backbone: keras.Model, views=None, z_dim: int | None = None):
        super().__init__()
        backbones.check(backbone)
        self.backbone = backbone
        self.views = self._check_views(self._as_layer(views))
        self.settle("views", self.views)
        self.micro_batch_size: int | None = None
        self.loss_mean = keras.metrics.Mean(name="loss")
        self.z_dim = None
        if z_dim is not None:
            self.watch_z(z_dim)
        self.built = True  # every part is built by its own constructor; Keras need not trace a call to find shapes

    def watch_z(self, z_dim: int) -> None:
        """Says in how many dimensions collapse is watched."""
        self.z_dim = z_dim
        self.z_std_mean = keras.metrics.Mean(name="z_std")

    def _as_layer(self, views):
        side = self.backbone.input_shape[1]
        if isinstance(views, keras.layers.Layer) and all(hasattr(views, n) for n in ("views", "image_size", "seed")):
            return views
        if side is None:
            raise UserError(
                f"the backbone {self.backbone.name} takes images of any size, so the views must say theirs: "
                f'views=ssl_keras.RandomViews("{self.default_views}", 96), or give the backbone an input_shape'
            )
        return RandomViews(self.default_views if views is None else views, side)

    def _check_views(self, views):
        sizes, side = [policy.size for policy in views.views], self.backbone.input_shape[1]
        if needed := self.views_lacking(views):
            raise UserError(
                f"{type(self).__name__} needs {needed} view(s) of an image, and the views make {len(sizes)}: such as "
                f'views="{self.default_views}"'
            )
        if side and set(sizes) != {side} and not (self.multi_crop or self.cuts_views):
            raise UserError(
                f"the backbone {self.backbone.name} takes images of {side} pixels, and the views make {sizes}: give "
                "RandomViews that image_size, or build the backbone for the views' size"
            )
        return views

    @classmethod
    def views_lacking(cls, views) -> str | None:
        """How many views of an image the method needs, where `views` makes another number of them; else None."""
        own, count = len(policies.get(cls.default_views, views.image_size)), len(views.views)
        if cls.any_views or cls.multi_crop:
            return None if count >= 2 or count == own else "2 or more"
        return None if count == own else str(own)

    def get_config(self) -> dict:
        return {**super().get_config(), "micro_batch_size": self.micro_batch_size}

    @classmethod
    def from_config(cls, config: dict):
        config = dict(config)
        micro_batch_size = config.pop("micro_batch_size", None)
        model = super().from_config(config)
        model.micro_batch_size = micro_batch_size
        return model

    def call(self, images, training: bool = False) -> tf.Tensor:
        """The representation h [B, D] of images [B, S, S, C]: uint8, uint16, or floats in [0, 1]."""
        images = images["image"] if isinstance(images, dict) else images
        if not images.dtype.is_floating:
            images = tf.cast(images, tf.float32) / FULL_SCALE[images.dtype.name]
        return self.backbone(images, training=training)

    @property
    def view_share(self) -> float:
        return self.views.share

    def make_views(self, batch: dict[str, tf.Tensor], step: tf.Tensor | None = None) -> list[tf.Tensor]:
        """The step's views of a batch, a function of (seed, step): a resumed run draws what it would have drawn.

        Where the batch has partners, images that belong to its own, every second view is of these.

        Args:
            step: int64 scalar; None: that of the optimizer.
        """
        step = self.optimizer.iterations if step is None else step
        partners = (batch["partner"], batch["partner_size"]) if "partner" in batch else None
        return self.views(batch["image"], batch["size"], step=step, partners=partners)

    def why_one_image(self) -> str | None:
        """`why_one_image` of this method and its views."""
        return why_one_image(self, len(self.views.views))

    def check_batch(self, batch_size: int) -> None:
        """Raises UserError where a batch, or what is normalized together of it, is too small to learn from.

        Args:
            batch_size: the global one; `micro_batch_size` is set.
        """
        name = type(self).__module__.rpartition(".")[-1]
        if batch_size < self.smallest_batch:
            raise UserError(
                f"{name} compares the images of a batch: it needs a batch_size of at least {self.smallest_batch}, got "
                f"{batch_size}"
            )
        if self.micro_batch_size is None:
            together = batch_size // self.normalized_in  # over all replicas
        else:
            together = self.micro_batch_size // distribute.num_replicas()
        if together < 2 and (layer := self._normalizes_vectors()):
            raise UserError(
                f"{name} normalizes {layer} over the images that go through it together, here a single one, which "
                "leaves nothing of it: let batch_size, and micro_batch_size for each replica, be at least 2 images "
                "(times bn_splits), or use norm=group"
            )

    def _normalizes_vectors(self) -> str | None:
        """The name of a batch normalization to which an image gives one value per channel, if there is one."""
        for layer in self._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization) and layer._inbound_nodes:
                pixels = layer.input.shape[1:-1]
                if None not in pixels and math.prod(pixels) == 1:
                    return layer.name
        return None

    @property
    def encoder(self) -> keras.Model:
        """What is evaluated, watched and shipped: images -> h."""
        return self.backbone

    def without_gradient(self, embed: Callable, *inputs: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """`embed(*inputs)`, held still: targets, keys and teachers.

        Args:
            embed: as for `minimize`.
            inputs: tensors whose first dimension is this replica's part of the batch.
        """
        if self.micro_batch_size is not None:
            return self._pieces(embed, inputs).embeddings(move=True)
        return tuple(tf.stop_gradient(x) for x in embed(*inputs))

    def minimize(
        self, embed: Callable, loss_of: Callable, *inputs: tf.Tensor
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        """One optimizer step on `loss_of(*embed(*inputs))`.

        Args:
            embed: (*inputs) -> tuple of tensors [b, ...], a row for each row of the inputs: the passes through the
                networks, a function of each row apart from batch normalization's statistics. Tensors with a row for
                each image come in as `inputs`, and what is random is drawn before: `embed` may see a piece at a time.
            loss_of: (*embeddings) -> float32 scalar, the mean over this replica's rows. What compares rows belongs
                here.
            inputs: tensors whose first dimension is this replica's part of the batch.

        Returns:
            The loss, and the embeddings. In `test_step` nothing is learned: these are all.
        """
        if self.tests:
            pieces = self.micro_batch_size is not None
            embeddings = self._pieces(embed, inputs).embeddings(move=False) if pieces else embed(*inputs)
            return loss_of(*embeddings), embeddings
        if self.micro_batch_size is not None:
            return self._minimize_in_pieces(embed, loss_of, inputs)
        with tf.GradientTape() as tape:
            embeddings = embed(*inputs)
            loss = loss_of(*embeddings)
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables, output_gradients=self._weight(loss)), variables)
        return loss, embeddings

    def _minimize_in_pieces(self, embed, loss_of, inputs):
        """The same step by gradient caching."""
        pieces = self._pieces(embed, inputs)
        embeddings = pieces.embeddings(move=False)
        variables = self.trainable_variables
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            loss = loss_of(*embeddings)
        cached, direct = tape.gradient(loss, (embeddings, variables), output_gradients=self._weight(loss))
        by_embeddings = pieces.gradients(cached, variables)
        self.optimizer.apply([_sum(*g) for g in zip(by_embeddings, direct, strict=True)], variables)
        return loss, embeddings

    def _pieces(self, embed, inputs):
        replicas = distribute.num_replicas()
        rows, rest = divmod(self.micro_batch_size, replicas)
        if rest or not rows:
            raise UserError(f"micro_batch_size={self.micro_batch_size} must be a multiple of the {replicas} replicas")
        return MicroBatches(embed, inputs, rows)

    def _weight(self, loss: tf.Tensor) -> tf.Tensor:
        """The gradient of the loss.

        Optimizers sum the replicas' gradients, so each counts 1/replicas; that (and float16's loss scale) enters here,
        which leaves the reported loss untouched.
        """
        return self.optimizer.scale_loss(tf.constant(1.0 / distribute.num_replicas(), loss.dtype))

    def chance_loss(self, batch_size: int) -> float | None:
        """The loss of a network that says nothing, for a global batch of that size; None: not known."""
        return None

    def signs(self, x1: tf.Tensor, x2: tf.Tensor) -> dict[str, float]:
        """Numbers of the method's own by which `training.doctor` knows its troubles, of two views [b, S, S, C]."""
        return {}

    def places(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """The places of this replica's images in the global batch: int32 [b]."""
        b = tf.shape(batch["index"])[0]
        return distribute.replica_id() * b + tf.range(b)

    def draws(self, places: tf.Tensor, count: int) -> tf.Tensor:
        """Draws U(0, 1) of this step, float32 [len(places), count] in [0, 1): functions of (seed, step, place)."""
        step = tf.convert_to_tensor(self.optimizer.iterations)
        return draws.place_draws(self.views.seed, step, places, count)

    def watch(self, loss: tf.Tensor, z: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """Updates the running means of the loss and of `z_std`; returns the logs of the step."""
        self.loss_mean.update_state(loss)
        if z is not None:
            self.z_std_mean.update_state(z_std(z))
        return {metric.name: metric.result() for metric in self.metrics}


def why_one_image(method: SSLModel | type[SSLModel], views: int) -> str | None:
    """Why all `views` of a step must be of one image; None: every second one may be of another one of its group."""
    if method.needs_labels:
        return "takes its positives by labels"
    if method.cuts_views or views < 2:
        return "makes one view of an image"
    if method.needs_index:
        return "keeps something of each image by its own number"
    return method.compares_places or None


def _sum(*gradients: tf.Tensor | None) -> tf.Tensor | None:
    """The sum of those gradients that there are; None where there is none."""
    there = [tf.convert_to_tensor(g) for g in gradients if g is not None]
    return tf.add_n(there) if there else None
