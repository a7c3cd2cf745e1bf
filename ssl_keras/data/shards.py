"""Shards: canvases packed into TFRecord files, with a manifest that says what they are and an index of where they lie.

A folder of shards holds

- `manifest.json`: what the canvases were made of and how; of each shard its size and its SHA-256;
- `SPLIT-NNNNN.tfrecord`, SPLIT being train or test: a tf.train.Example for each image, in the order of the data;
- `SPLIT.npz`: of each image where it lies, its checksum, label, true size and name, so that nothing is read at a start.

An Example has `image/encoded`, the canvas without loss: a PNG of 1 to 4 channels of 8 bits or one of 16, else zlib of
its bytes, little-endian, all first bytes of the numbers before all second ones; `image/format`, "png" or "zlib";
`image/height` and `image/width` of the image before it was squashed; `image/class/label` (-1: none);
`image/class/text`, `image/filename` and `image/group` where they are known. An image that could not be read has
`image/error`, the reason, in the place of the canvas, so that images are numbered as in the data that were packed.
"""

import hashlib
import io
import os
import zlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from PIL import Image

from ssl_keras import files
from ssl_keras.data.folders.index_file import packed as packed_texts
from ssl_keras.data.folders.index_file import unpacked as unpacked_texts
from ssl_keras.data.records import record_places
from ssl_keras.errors import UserError
from ssl_keras.words import shown

MANIFEST = "manifest.json"
TOOL = "ssl_keras make_shards"
FORMAT = 1
PNG_CHANNELS = {"uint8": 4, "uint16": 1}  # that Pillow reads and writes as they are
COMPRESSION = 3  # of PNG: files are a tenth larger than by the strongest, and written four times as fast
TEXTS = ("name", "group", "error")  # of an `Index`
AGAIN = "run the tools.make_shards command again, which makes the damaged shards anew"


class Item(NamedTuple):
    """An image of a shard.

    Args:
        label: -1: none.
        name: by which a person can find it.
        class_name, group: "": not known.
        size: height and width before it was squashed, px.
        canvas: encoded; None: it could not be read.
        form: of `canvas`, "png" or "zlib".
        error: why it could not be read, or "".
    """

    label: int
    name: str
    class_name: str = ""
    group: str = ""
    size: tuple[int, int] = (0, 0)
    canvas: bytes | None = None
    form: str = ""
    error: str = ""


class Index(NamedTuple):
    """Of each image of a split: its shard, its record's offset and length in bytes and checksum there, and what
    `Item` says, texts as `index_file.packed` has them."""

    shard: np.ndarray
    place: np.ndarray
    crc: np.ndarray
    label: np.ndarray
    size: np.ndarray
    name: np.ndarray
    group: np.ndarray
    error: np.ndarray


def shard_name(split: str, number: int) -> str:
    return f"{split}-{number:05d}.tfrecord"


def encoded(canvas: np.ndarray) -> tuple[bytes, str]:
    """A canvas [S, S, C], uint8, uint16 or float32, without loss: its bytes and their form."""
    if canvas.shape[2] <= PNG_CHANNELS.get(canvas.dtype.name, 0):
        file = io.BytesIO()
        image = Image.fromarray(canvas[..., 0] if canvas.shape[2] == 1 else canvas)
        image.save(file, "PNG", compress_level=COMPRESSION)
        return file.getvalue(), "png"
    plain = canvas.astype(canvas.dtype.newbyteorder("<"), order="C", copy=False)
    return zlib.compress(plain.reshape(-1).view(np.uint8).reshape(-1, canvas.itemsize).T.tobytes(), 1), "zlib"


def decoded(canvas: bytes, form: str, shape: tuple[int, int, int], dtype: str) -> np.ndarray:
    """What `encoded` was given."""
    if form == "png":
        pixels = np.asarray(Image.open(io.BytesIO(canvas), formats=["PNG"]))
    else:
        numbers = np.dtype(dtype).newbyteorder("<")
        columns = np.frombuffer(zlib.decompress(canvas), np.uint8).reshape(numbers.itemsize, -1)
        pixels = np.ascontiguousarray(columns.T).view(numbers)
    return pixels.reshape(shape).astype(dtype, copy=False)


def example(item: Item) -> bytes:
    """An image as a record: the same bytes for the same image."""
    import tensorflow as tf

    texts = {"format": item.form, "class/text": item.class_name, "filename": item.name, "group": item.group}
    texts |= {"error": item.error}
    numbers = {"height": item.size[0], "width": item.size[1], "class/label": item.label}
    found = tf.train.Example()
    feature = found.features.feature
    if item.canvas is not None:
        feature["image/encoded"].bytes_list.value.append(item.canvas)
    for name, text in texts.items():
        if text:
            feature[f"image/{name}"].bytes_list.value.append(text.encode())
    for name, number in numbers.items():
        feature[f"image/{name}"].int64_list.value.append(number)
    return found.SerializeToString(deterministic=True)


def item_of(record: bytes) -> Item:
    """What `example` was given."""
    import tensorflow as tf

    feature = tf.train.Example.FromString(record).features.feature

    def values(name: str):
        return feature[f"image/{name}"].bytes_list.value if f"image/{name}" in feature else ()

    def text(name: str) -> str:
        return b"".join(values(name)).decode()

    label, *size = (feature[f"image/{name}"].int64_list.value[0] for name in ("class/label", "height", "width"))
    canvas = next(iter(values("encoded")), None)
    names = (text(name) for name in ("filename", "class/text", "group"))
    return Item(label, *names, tuple(size), canvas, text("format"), text("error"))


def write(path: str, items: Iterable[Item]) -> None:
    """Writes a shard."""
    import tensorflow as tf

    with tf.io.TFRecordWriter(path) as writer:
        for item in items:
            writer.write(example(item))


def read_back(path: str, number: int) -> Index:
    """The index of one shard, all of whose checksums are looked at.

    Args:
        number: of the shard in its split.

    Raises:
        UserError: it is damaged.
    """
    import tensorflow as tf

    items, checksums = [], []
    try:
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            items.append(item_of(record)._replace(canvas=None))
            checksums.append(zlib.crc32(record))
    except Exception as error:  # TensorFlow's, or the parser's where a checksum is right by chance
        raise UserError(f"{shown(path)} is damaged ({type(error).__name__}): {AGAIN}") from None
    return Index(
        np.full(len(items), number, np.int32),
        record_places(path),
        np.array(checksums, np.uint32),
        np.array([item.label for item in items], np.int32),
        np.array([item.size for item in items], np.int64).reshape(-1, 2),
        *(packed_texts([getattr(item, name) for item in items]) for name in TEXTS),
    )


def write_index(path: str, parts: list[Index]) -> None:
    with files.replacing(path) as beside, open(beside, "wb") as file:
        np.savez(file, **{name: np.concatenate([getattr(part, name) for part in parts]) for name in Index._fields})


def sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: str) -> dict | None:
    """The manifest of a folder of shards, whole or not; None: it has none of ours."""
    try:
        found = files.read_json(os.path.join(folder, MANIFEST))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("tool") == TOOL else None


class Shards:
    """The images of a split of a whole folder of shards.

    Raises:
        UserError: a shard is missing, of another size than it was written, or the index is another.
    """

    def __init__(self, folder: str, manifest: dict, split: str):
        self._canvas, about = manifest["canvas"], manifest["splits"][split]
        self.paths = [os.path.join(folder, shard["file"]) for shard in about["shards"]]
        for path, shard in zip(self.paths, about["shards"]):
            length = os.path.getsize(path) if os.path.isfile(path) else None
            if length != shard["bytes"]:
                holds = "is missing" if length is None else f"has {length} bytes, {shard['bytes']} were written"
                raise UserError(f"{shown(path)} {holds}: {AGAIN}")
        path = os.path.join(folder, about["index"]["file"])
        if not os.path.isfile(path) or sha256(path) != about["index"]["sha256"]:
            raise UserError(f"{shown(path)} is missing or was changed: {AGAIN}")
        with np.load(path, allow_pickle=False) as archive:
            self.index = Index(*(archive[name] for name in Index._fields))
        self.names, self.groups = unpacked_texts(self.index.name), unpacked_texts(self.index.group)

    def read(self, i: int) -> np.ndarray:
        """The canvas of an image.

        Raises:
            UserError: it could not be read when it was packed, or is damaged.
        """
        path, (offset, length) = self.paths[self.index.shard[i]], self.index.place[i].tolist()
        descriptor = os.open(path, os.O_RDONLY)  # for each read: thousands of shards would exhaust the descriptors
        try:
            record = os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)
        if zlib.crc32(record) != self.index.crc[i]:
            raise UserError(f"the shard {os.path.basename(path)} is damaged at byte {offset}: {AGAIN}")
        item = item_of(record)
        if item.canvas is None:
            raise UserError(item.error)
        side, channels = self._canvas["size"], self._canvas["channels"]
        return decoded(item.canvas, item.form, (side, side, channels), self._canvas["dtype"])
