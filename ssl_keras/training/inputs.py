"""A user's data as the batches that methods take: {"image" [B, S, S, C], "size" float32 [B, 2], "index" int64 [B],
"label" int32 [B]}.

`size` is an image's true height and width, `index` its number in the data, `label` its class or -1. Dicts may also have
`partner`, another image for each, which every second view is made of, and `partner_size`. What is missing is filled in.
What cannot be is refused, before training where the data's types tell, else at the batch that shows it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ssl_keras import distribute
from ssl_keras.data.canvases import batches
from ssl_keras.data.canvases.memory import Canvases
from ssl_keras.data.canvases.pipeline import CanvasSpec
from ssl_keras.errors import UserError
from ssl_keras.training import checks

BATCH_SIZE = 32  # of arrays, as in Keras
FORMS = (
    "a tf.data.Dataset of batches (images; (images, labels); or dicts with image and, if known, label, index, size), "
    "or an array of images [N, S, S, C], with labels [N] as y"
)


class Data(NamedTuple):
    """Batches, as `loop.fit` takes them, and how many make an epoch; None: all that there are."""

    batches: tf.data.Dataset | Callable | Iterable
    steps: int | None


def training(model, x, y, batch_size, shuffle, steps_per_epoch) -> Data:
    """What a method is trained on.

    Args:
        model: the method; its `arguments`, `needs_labels` and `needs_index` say what it needs.
        x: a tf.data.Dataset of global batches, gone through again in each epoch; an array [N, S, S, C] of images, in a
            new order in each epoch; or a function (index, count) -> a data set of complete batches without end, for
            several workers. Images are uint8, uint16, or floats in [0, 1].
        y: labels of an array, int [N] or [N, 1], or None.
        batch_size: of an array; None: the model's own, or 32.
        shuffle: whether an array's images are shuffled. A data set comes as it is.
        steps_per_epoch: optimizer steps; None: one way through the data. A data set without end needs it.
    """
    if callable(x) and not hasattr(x, "shape"):
        return Data(x, steps_per_epoch)
    if not isinstance(x, tf.data.Dataset):
        return _of_arrays(model, x, y, batch_size, shuffle, steps_per_epoch)
    if y is not None or batch_size is not None:
        raise UserError("labels and batches are the data set's own: leave y and batch_size out")
    if distribute.worker(model.distribute_strategy)[1] > 1:
        raise UserError("several workers need a function (index, count) -> the data set of that worker's rows")
    length = int(x.cardinality())
    if length == tf.data.INFINITE_CARDINALITY and steps_per_epoch is None:
        raise UserError("the data set has no end: say steps_per_epoch, how many steps make an epoch")
    completed = _completed(model, x)
    if steps_per_epoch is not None:
        completed = completed.repeat()
    rows = completed.element_spec["image"].shape[0]
    if rows is None:
        return Data(WholeBatches(model, completed), steps_per_epoch)
    check_rows(model, rows)
    if steps_per_epoch is None and length > 0:
        return Data(completed.repeat(), length)
    return Data(completed, steps_per_epoch)


def held_out(model, x, y, batch_size) -> tf.data.Dataset | Iterable:
    """What a method is tested on, once through, in its order: forms as for `training`."""
    if model.needs_index:
        raise UserError(
            f"{type(model).__name__} compares an image with what it kept of it: it has no loss for images that are not "
            "trained on. Leave validation out; judge the encoder by kNN or a linear probe on labeled images"
        )
    if not isinstance(x, tf.data.Dataset):
        data = _of_arrays(model, x, y, batch_size, False, None)
        return data.batches.take(data.steps)
    completed = _completed(model, x)
    if completed.element_spec["image"].shape[0] is None:
        return WholeBatches(model, completed)
    check_rows(model, completed.element_spec["image"].shape[0])
    return completed


class WholeBatches:
    """The batches of a data set with as many images as its first one: a short last batch is left out.

    Going through it from Python, each batch has a known size. `ds.batch(n, drop_remainder=True)` says it at once.
    """

    def __init__(self, model, data: tf.data.Dataset):
        if model.distribute_strategy.num_replicas_in_sync > 1:
            raise UserError("several replicas need batches of one known size: use batch(n, drop_remainder=True)")
        self.model, self.data, self.rows = model, data, None

    def __iter__(self) -> Iterator[dict[str, tf.Tensor]]:
        for batch in self.data:
            rows = batch["image"].shape[0]
            if self.rows is None:
                check_rows(self.model, rows)
                self.rows = rows
            if rows == self.rows:
                yield batch


def check_rows(model, rows: int) -> None:
    """Refuses a global batch size that a method cannot take."""
    own = model.arguments.get("batch_size", rows)
    if rows != own:
        raise UserError(f"{type(model).__name__} was made for batch_size={own}, and the data has batches of {rows}")
    replicas = model.distribute_strategy.num_replicas_in_sync
    if rows % replicas:
        raise UserError(f"batches of {rows} images must be a multiple of the {replicas} replicas")
    with model.distribute_strategy.scope():
        model.check_batch(rows)


def refuse_weights(class_weight, sample_weight) -> None:
    """No loss here has a weight for each image."""
    if class_weight is not None or sample_weight is not None:
        raise UserError("class_weight and sample_weight are not known here: each image counts the same")


def pair(data) -> tuple:
    """Validation data as (x, y)."""
    if isinstance(data, (tuple, list)):
        if len(data) > 2:
            raise UserError("validation_data must be images, (images, labels) or a data set: no sample weights")
        return (*data, None)[:2]
    return data, None


def split(x, y, fraction: float, validation_data) -> tuple:
    """Arrays without their last images, and those: (x, y, (x, y))."""
    if validation_data is not None:
        raise UserError("give validation_data or validation_split, not both")
    if not 0 < fraction < 1:
        raise UserError(f"validation_split must lie between 0 and 1, got {fraction}")
    if isinstance(x, tf.data.Dataset) or not hasattr(x, "shape"):
        raise UserError("validation_split takes images off an array: of a data set, give some as validation_data")
    kept = int(len(x) * (1 - fraction))
    return x[:kept], y if y is None else y[:kept], (x[kept:], y if y is None else y[kept:])


def _of_arrays(model, x, y, batch_size, shuffle, steps_per_epoch) -> Data:
    images = _as_images(x)
    own = model.arguments.get("batch_size")
    rows = batch_size or own or min(BATCH_SIZE, len(images))
    if rows > len(images):
        raise UserError(f"batch_size={rows} is larger than the data, {len(images)} images")
    check_rows(model, rows)
    _check_image_type(model, images.dtype.name, images.shape[1:])
    if images.dtype.kind == "f" and not (images.min() >= -checks.BEYOND and images.max() <= 1 + checks.BEYOND):
        raise UserError(f"{checks.range_of_images()}; got {images.min():.4g} to {images.max():.4g}")
    labels = _labels_of(model, None if y is None else np.asarray(y), len(images))
    most = model.arguments.get("num_examples", len(images))
    if model.needs_index and len(images) > most:
        raise UserError(f"{type(model).__name__} was made for num_examples={most}, and the data has {len(images)}")
    sizes = np.full((len(images), 2), images.shape[1:3], np.float32)
    spec = CanvasSpec(images.shape[1], images.shape[3], images.dtype.name)
    canvases = Canvases(spec, images, sizes, labels, np.arange(len(images)), [])
    whole = len(images) // rows
    # The order goes by epochs trained so far: a model that is saved and loaded sees what it would have seen.
    start = -(-int(keras.ops.convert_to_numpy(model.optimizer.iterations)) // whole) * whole
    data = batches.train_batches(canvases, rows, model.views.seed if shuffle else None, start_step=start)
    return Data(data, steps_per_epoch or whole)


def _as_images(x) -> np.ndarray:
    if x is None or not hasattr(x, "shape"):
        raise UserError(f"expected {FORMS}; got {type(x).__name__}")
    images = np.asarray(x)
    if images.ndim != 4:
        raise UserError(f"images must be an array [N, S, S, C], got shape {images.shape}")
    return images.astype(np.float32) if images.dtype in (np.float64, np.float16) else images


def _labels_of(model, labels, count) -> np.ndarray:
    """int32 [count], -1 where there are none; labels that no method looks at may have any form."""
    if labels is not None and labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels is None or labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != count:
        if model.needs_labels:
            raise UserError(_wanted_labels(model, None if labels is None else (labels.dtype.name, labels.shape)))
        return np.full(count, -1, np.int32)
    most = model.arguments.get("num_classes", checks.LABELS)
    if model.needs_labels and not (labels.min() >= 0 and labels.max() < most):
        raise UserError(f"{checks.range_of_labels(model)}; got {labels.min()} to {labels.max()}")
    return labels.astype(np.int32)


def _completed(model, data: tf.data.Dataset) -> tf.data.Dataset:
    """The data set's batches with all four entries."""
    spec, name = data.element_spec, type(model).__name__
    if isinstance(spec, tuple) and len(spec) > 2:
        raise UserError(f"batches have {len(spec)} parts: give (images, labels); sample weights are not known here")
    named = dict(zip(("image", "label"), spec)) if isinstance(spec, tuple) else spec
    named = named if isinstance(named, dict) else {"image": named}
    if not isinstance(named.get("image"), tf.TensorSpec):
        raise UserError(f"expected {FORMS}; got a data set of {spec}")
    image, label = named["image"], named.get("label")
    if image.shape.rank != 4 or None in image.shape[1:]:
        raise UserError(
            f"batches of images must be [B, S, S, C] with S and C known, got {image.shape}: resize images to one size "
            "and batch them, as ds.map(lambda x: tf.image.resize(x, [96, 96]) / 255).batch(64)"
        )
    _check_image_type(model, image.dtype.name, tuple(image.shape[1:]))
    if model.needs_index and "index" not in named:
        raise UserError(
            f"{name} keeps something of each image, so it must know which image is which: give dicts with image and "
            "index, the image's own number from 0 (ds.enumerate() before shuffling), or an array"
        )
    if "partner" in named:
        if why := model.why_one_image():
            raise UserError(f"{name} {why}: leave partner out of the batches")
        if named["partner"] != image:
            raise UserError(f"partners are {named['partner']}: expected what the images are, {image}")
    flat = isinstance(label, tf.TensorSpec) and (label.shape.rank == 1 or tuple(label.shape[1:]) == (1,))
    numbers = flat and label.dtype.is_integer
    if model.needs_labels and not numbers:
        raise UserError(_wanted_labels(model, label and (label.dtype.name, label.shape)))

    def complete(*element):
        given = dict(zip(("image", "label"), element)) if len(element) == 2 else element[0]
        given = given if isinstance(given, dict) else {"image": given}
        images = given["image"]
        rows = tf.shape(images)[0]
        labels = tf.reshape(given["label"], [-1]) if numbers else tf.fill([rows], -1)
        size = tf.constant([images.shape[1:3].as_list()], tf.float32)
        batch = {
            "image": tf.cast(images, tf.float32) if images.dtype == tf.float64 else images,
            "size": tf.cast(given["size"], tf.float32) if "size" in given else tf.tile(size, [rows, 1]),
            "index": tf.cast(given["index"], tf.int64) if "index" in given else tf.range(tf.cast(rows, tf.int64)),
            "label": tf.cast(labels, tf.int32),
        }
        if "partner" in given:
            given = {"partner_size": batch["size"], **given}
            batch |= {"partner": tf.cast(given["partner"], batch["image"].dtype)}
            batch |= {"partner_size": tf.cast(given["partner_size"], tf.float32)}
        for part in batch.values():
            part.set_shape([images.shape[0], *part.shape[1:]])
        return checks.checked(model, batch)

    complete = tf.autograph.experimental.do_not_convert(complete)
    return data.map(complete, num_parallel_calls=tf.data.AUTOTUNE)


def _check_image_type(model, dtype: str, shape: tuple) -> None:
    if dtype not in ("uint8", "uint16", "float16", "float32", "float64"):
        raise UserError(f"images are {dtype}: expected uint8 (0 to 255), uint16 (0 to 65535) or floats in [0, 1]")
    if shape[0] != shape[1]:
        raise UserError(
            f"images of {shape[0]} by {shape[1]} pixels are not square: resize them to a square, such as "
            "tf.image.resize(x, [96, 96]), and give their true height and width as size in a dict"
        )
    channels = model.backbone.input_shape[-1]
    if shape[-1] != channels:
        raise UserError(f"images have {shape[-1]} channel(s), and the backbone {model.backbone.name} takes {channels}")


def _wanted_labels(model, got) -> str:
    what = "none" if got is None else f"{got[0]} of shape {got[1]}"
    return f"{type(model).__name__} needs labels, the numbers of classes, int [B]; got {what}"
