"""What a batch must hold, seen when it comes: values of images, labels and numbers in their ranges."""

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from ssl_keras.errors import UserError

BEYOND = 1e-3  # by which a float image may lie outside of [0, 1]: rounding
LABELS = 2**31 - 1  # so many may be told apart by a method that is not told how many there are


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Raises as a UserError what `checked` finds in a batch, without TensorFlow's account of the graph."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if found := re.search(r"the (?:images|labels|index) must [^\]\n]*", str(error)):
            raise UserError(found[0].strip()) from None
        raise


def checked(model, batch):
    """The batch, once it is seen that its values lie where they must."""
    checks = []
    images = batch["image"]
    if images.dtype.is_floating:
        outside = (images < -BEYOND) | (images > 1 + BEYOND)
        checks.append(tf.debugging.Assert(~tf.reduce_any(outside), [range_of_images()]))
    if model.needs_labels:
        right = (batch["label"] >= 0) & (batch["label"] < model.arguments.get("num_classes", LABELS))
        checks.append(tf.debugging.Assert(tf.reduce_all(right), [range_of_labels(model)]))
    if model.needs_index:
        most = model.arguments["num_examples"]
        right = (batch["index"] >= 0) & (batch["index"] < most)
        checks.append(
            tf.debugging.Assert(tf.reduce_all(right), [f"the index must lie from 0 to num_examples - 1, {most - 1}"])
        )
    with tf.control_dependencies(checks):
        return {name: tf.identity(part) for name, part in batch.items()}


def range_of_images() -> str:
    return "the images must have values from 0 to 1 where they are floats: divide them by their maximum, such as 255"


def range_of_labels(model) -> str:
    return f"the labels must lie from 0 to num_classes - 1, {model.arguments.get('num_classes', LABELS) - 1}"
