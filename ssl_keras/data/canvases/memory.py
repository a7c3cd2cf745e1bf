"""All images of a source as canvases: in memory where they fit, decoded anew in each epoch where they do not."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from ssl_keras import machine
from ssl_keras.data.canvases.pipeline import CanvasSpec, decoded, stop_if_too_many
from ssl_keras.data.canvases.served import ServedCanvases
from ssl_keras.data.canvases.streams import StreamedCanvases
from ssl_keras.data.reasons import list_bad
from ssl_keras.data.source import Source
from ssl_keras.errors import UserError
from ssl_keras.progress import Bar

MEMORY_SHARE = 0.4
CHUNK = 256


@dataclass
class Canvases:
    """N images in memory.

    Args:
        spec: size, channels and dtype.
        images: [N, S, S, C].
        sizes: float32 [N, 2], each image's true height and width, px.
        labels: int32 [N], -1 where an image has none.
        index: int64 [N], each image's number in its source.
        bad: (description, reason) of the images that could not be read.
        class_names: names of the classes, or None.
        bad_indices: the numbers in the source of `bad`, in the same order.
        groups: int [N], a number for each group of images that belong together; None: not known.
    """

    spec: CanvasSpec
    images: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray
    index: np.ndarray
    bad: list[tuple[str, str]]
    class_names: tuple[str, ...] | None = None
    bad_indices: list[int] = field(default_factory=list)
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    def sample(self, n: int) -> np.ndarray:
        """Up to n images spread evenly over the data, float32 [n, S, S, C] in [0, 1], NaN in gaps; always the
        same."""
        rows = np.linspace(0, len(self) - 1, min(n, len(self))).astype(np.int64)
        return self.spec.unit(self.images[rows])

    def expect_bad(self, indices: Iterable[int]) -> None:
        """Checks that the images that could not be read are the ones of an interrupted run, its `bad_indices`.

        Raises:
            UserError: they are others, so the rows of the canvases, and the batches, would be others too.
        """
        then, now = {int(i) for i in indices}, set(self.bad_indices)
        if then == now:
            return
        named = {i: f"{name} ({reason})" for i, (name, reason) in zip(self.bad_indices, self.bad)}
        changes = [
            f"{what}: {', '.join(named.get(i, f'number {i}') for i in sorted(which)[:3])}{', ..' * (len(which) > 3)}"
            for what, which in (("can no longer be read", now - then), ("can be read again", then - now))
            if which
        ]
        raise UserError(
            f"the data has changed since the run began ({'; '.join(changes)}): bring the files back to how they were, "
            "or start a new run in another --workdir"
        )

    def subset(self, rows: np.ndarray) -> "Canvases":
        """The images at some rows, in their order."""
        groups = None if self.groups is None else self.groups[rows]
        parts = (array[rows] for array in (self.images, self.sizes, self.labels, self.index))
        return Canvases(self.spec, *parts, [], self.class_names, groups=groups)


def load_canvases(
    source: Source,
    spec: CanvasSpec,
    max_bad_fraction: float = 0.01,
    budget_bytes: int | None = None,
    data_service: str | None = None,
) -> Canvases | StreamedCanvases:
    """The canvases of all readable images of a source, in its order.

    Args:
        max_bad_fraction: how many of the images may be unreadable, 0 to 1.
        budget_bytes: most memory for the images (default: 40 % of the machine's); above it they are streamed.
        data_service: address (grpc://host:port) of a tf.data service that decodes the training batches.
    Raises:
        BadFilesError: more images are unreadable; its `bad` lists them all.
        UserError: the data service does not answer, or cannot read this kind of source.
    """
    if data_service:
        return ServedCanvases(source, spec, max_bad_fraction, data_service)
    if len(source) * spec.bytes > (machine.memory_bytes() * MEMORY_SHARE if budget_bytes is None else budget_bytes):
        return StreamedCanvases(source, spec, max_bad_fraction)

    images = np.empty((len(source), *spec.shape), spec.dtype)
    sizes = np.empty((len(source), 2), np.float32)
    index = np.empty(len(source), np.int64)
    kept = 0
    stream = decoded(source, spec, tf.data.Dataset.range(len(source)), indices=lambda positions: positions)
    with Bar("reading images", len(source)) as bar:
        for chunk in stream.batch(CHUNK).prefetch(2).as_numpy_iterator():
            stop = kept + len(chunk["position"])
            images[kept:stop], sizes[kept:stop], index[kept:stop] = chunk["image"], chunk["size"], chunk["position"]
            kept = stop
            bar.show(int(chunk["position"][-1]) + 1)

    index = index[:kept]
    dropped = np.setdiff1d(np.arange(len(source)), index).tolist()
    bad = list_bad(source, dropped)
    stop_if_too_many(bad, len(source), max_bad_fraction)
    labels = source.labels_if_fine[index]
    groups = None if source.groups is None else source.groups[index]
    return Canvases(spec, images[:kept], sizes[:kept], labels, index, bad, source.class_names, dropped, groups)
