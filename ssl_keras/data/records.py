"""TFRecord files as sources, read at random: data sets prepared by TensorFlow Datasets, and plain files of
examples.

A TFRecord file is a sequence of records: length (uint64, little endian), its checksum (4 bytes), data,
checksum (4 bytes). One pass over the lengths gives every record's place, so any record is one read, nothing
is held in memory and no order is forced by the format.
"""

import contextlib
import glob
import os
import struct
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from ssl_keras.data.formats.transcode import decodable
from ssl_keras.data.source import Places, Source
from ssl_keras.errors import UserError

IMAGE_KEYS = ("image/encoded", "image")
LABEL_KEYS = ("image/class/label", "label")
TEST_SPLITS = ("test", "validation")
KINDS = {"bytes_list": "bytes", "int64_list": "whole numbers", "float_list": "floats"}
LOOKED_AT = 16  # records, for the names of their features


class Records:
    """The records of TFRecord files, by number."""

    def __init__(self, paths: list[str]):
        self.paths = paths
        places = [record_places(path) for path in paths]
        self.file = np.repeat(np.arange(len(paths)), [len(found) for found in places])
        self.place = np.concatenate(places)  # [N, 2]: offset, length

    def keep(self, chosen: np.ndarray) -> None:
        self.file, self.place = self.file[chosen], self.place[chosen]

    def __len__(self) -> int:
        return len(self.file)

    def features(self, i: int):
        """The features of example i: a mapping from names to tf.train.Feature; UserError where it is damaged."""
        import tensorflow as tf
        from google.protobuf.message import DecodeError

        offset, length = (int(value) for value in self.place[i])
        # Opened for each read: thousands of shards would exhaust the file descriptors.
        descriptor = os.open(self.paths[self.file[i]], os.O_RDONLY)
        try:
            record = os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)
        try:
            return tf.train.Example.FromString(record).features.feature
        except DecodeError:
            raise UserError("a damaged record, or one of another kind than tf.train.Example") from None

    def describe(self, i: int) -> str:
        path = self.paths[self.file[i]]
        return f"{path} at byte {self.place[i, 0]}"


def record_places(path: str) -> np.ndarray:
    """Offset and length in bytes of each record's data, int64 [N, 2]."""
    places = []
    size = os.path.getsize(path)
    at = 0
    with open(path, "rb", buffering=0) as file:
        while at < size:
            header = os.pread(file.fileno(), 12, at)
            length = struct.unpack("<Q", header[:8])[0] if len(header) == 12 else size
            if at + 12 + length + 4 > size:
                kind = "compressed: unpack it" if header[:2] == b"\x1f\x8b" else "cut off, or no TFRecord file"
                raise UserError(f"{path} is {kind} (at byte {at} of {size})")
            places.append((at + 12, length))
            at += 12 + length + 4
    return np.array(places, np.int64).reshape(-1, 2)


def open_tfrecords(pattern: str) -> Source:
    """Examples with an encoded image in `image/encoded` or `image`, and a class in `image/class/label` or `label`:
    a whole number, or a name; names are numbered in their sorted order."""
    found = sorted(glob.glob(os.path.expanduser(pattern)))
    paths = [path for path in found if not os.path.isdir(path)]
    if not paths:
        what = "only folders match: name the files in them, FOLDER/*" if found else "no file matches"
        raise UserError(f"tfrecord:{pattern}: {what}")
    records = Records(paths)
    if not len(records):
        raise UserError(f"tfrecord:{pattern}: the files hold no records")
    features = _features_found(records)
    image_key = next((key for key in IMAGE_KEYS if key in features), None)
    if image_key is None:
        raise UserError(
            f"{paths[0]} has examples of {', '.join(sorted(features)) or 'nothing'}: expected an encoded image in one "
            f"of the features {', '.join(IMAGE_KEYS)}"
        )
    label_key = next((key for key in LABEL_KEYS if key in features), None)
    return _record_source(Path(pattern).name, records, image_key, label_key, None, False)


def _features_found(records: Records) -> set[str]:
    """Names of the features in some of the records: one may lack what the others have."""
    found = set()
    for i in np.unique(np.linspace(0, len(records) - 1, LOOKED_AT).astype(int)):
        with contextlib.suppress(ValueError):  # named when all are read
            found |= set(records.features(int(i)))
    return found


def open_tfds(rest: str, split: str, data_dir: str | None) -> Source:
    """A prepared data set of TensorFlow Datasets. Nothing is ever downloaded.

    Args:
        rest: NAME or NAME:SPLIT; NAME as below data_dir (`cifar10`, `cifar10/3.0.2`, `name/config`).
        split: "train" reads SPLIT (default: train), "test" the data set's test or validation split.
        data_dir: the folder of prepared data sets (default: tfds's own).
    """
    import tensorflow_datasets as tfds

    name, _, wanted = rest.partition(":")
    wanted = wanted or "train"
    data_dir = os.path.expanduser(data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets"))
    builder = tfds.builder_from_directory(_prepared_folder(name, data_dir))
    test_split = next((known for known in TEST_SPLITS if known in builder.info.splits and known not in wanted), None)
    chosen = wanted if split == "train" else test_split
    if chosen is None:
        raise UserError(f"tfds:{rest} has no test images: its splits are {sorted(builder.info.splits)}")
    try:
        instructions = builder.info.splits[chosen].file_instructions
    except (KeyError, ValueError, AssertionError) as error:
        raise UserError(
            f"tfds:{name} has no split {chosen!r}: known are {sorted(builder.info.splits)}, and parts like train[:10%] "
            f"({error})"
        ) from None
    file_format = builder.info.file_format.value
    if file_format != "tfrecord":
        raise UserError(f"tfds:{name} is stored as {file_format}: prepare it with file_format='tfrecord'")

    records = Records([str(part.filename) for part in instructions])
    first = np.cumsum([0] + [part.examples_in_shard for part in instructions])
    if len(records) != first[-1]:
        raise UserError(f"tfds:{name} {chosen}: {len(records)} records in the files, {first[-1]} by dataset_info.json")
    ranges = [
        np.arange(part.examples_in_shard)[part.skip :][: part.take if part.take >= 0 else None] + start
        for part, start in zip(instructions, first)
    ]
    records.keep(np.concatenate(ranges) if ranges else np.arange(0))
    image_key, label_key = _tfds_keys(builder.info, tfds.features, name)
    class_names = tuple(builder.info.features[label_key].names) if label_key else None
    return _record_source(f"{name} {chosen}", records, image_key, label_key, class_names, test_split is not None)


def _record_source(name, records, image_key, label_key, class_names, has_test_split) -> Source:
    return Source(
        name=name,
        length=len(records),
        read=lambda i: decodable(_image(records.features(i), image_key)),
        describe=records.describe,
        label=RecordLabels(records, label_key) if label_key else None,
        class_names=class_names,
        has_test_split=has_test_split,
        places=Places(records.paths, records.file, records.place, image_key),
    )


def _values(features, key: str) -> tuple[str, Sequence]:
    """What a feature is said to hold, and its values; neither where an example lacks it."""
    kind = features[key].WhichOneof("kind") if key in features else None
    return KINDS.get(kind, "nothing"), getattr(features[key], kind).value if kind else ()


def _image(features, key: str) -> bytes:
    """The encoded image of an example.

    Raises:
        UserError: it has none, or something else in its place.
    """
    kind, values = _values(features, key)
    if kind != "bytes" or len(values) != 1:
        holds = f"holds {len(values)} {kind}" if len(values) else "is missing or empty"
        names = ", ".join(sorted(features)) or "nothing"
        raise UserError(f"the feature {key} {holds}: expected one encoded image (bytes); the record has {names}")
    return values[0]


class RecordLabels:
    """The class number of example i; -1 where it has none or is damaged. All of its work is done when it is asked.

    Whole numbers, also as floats, are what they are. Names (bytes) are numbered in the sorted order of all examples'
    names, which are read at the first one.
    """

    def __init__(self, records: Records, key: str):
        self._records, self._key = records, key

    def __call__(self, i: int) -> int:
        value = self._value(i)
        if isinstance(value, bytes):
            return self._numbers[value]
        if isinstance(value, float):
            if not value.is_integer():
                raise UserError(f"the label of {self._records.describe(i)} is {value:g}: expected a whole number")
            return int(value)
        return value

    def _value(self, i: int) -> int | float | bytes:
        try:
            features = self._records.features(i)
        except ValueError:
            return -1  # its image is damaged too, and that is told
        kind, values = _values(features, self._key)
        if len(values) > 1:
            raise UserError(
                f"{self._records.describe(i)} has {len(values)} labels ({kind}) in {self._key}: expected one class"
            )
        return values[0] if len(values) else -1

    @cached_property
    def _numbers(self) -> dict[bytes, int]:
        values = {self._value(i) for i in range(len(self._records))} - {-1}
        others = [value for value in values if not isinstance(value, bytes)]
        if others:
            raise UserError(
                f"some labels in {self._key} are names, some numbers such as {others[0]}: expected one kind"
            )
        return {name: number for number, name in enumerate(sorted(values))}


def _tfds_keys(info, kinds, name: str) -> tuple[str, str | None]:
    """The features that hold the image and its class: the supervised pair, else the only ones of their kind."""
    pair = info.supervised_keys
    pair = pair if isinstance(pair, tuple) and len(pair) == 2 else (None, None)

    def only(kind, preferred):
        found = [key for key, feature in info.features.items() if isinstance(feature, kind)]
        return preferred if preferred in found else found[0] if len(found) == 1 else None

    image_key = only(kinds.Image, pair[0])
    if image_key is None:
        raise UserError(f"tfds:{name} has no single image feature: {sorted(info.features)}")
    return image_key, only(kinds.ClassLabel, pair[1])


def _prepared_folder(name: str, data_dir: str) -> str:
    """The folder of the newest prepared version of a data set."""
    root = Path(data_dir, name)
    versions = [path.parent for path in root.glob("**/dataset_info.json")] if root.is_dir() else []
    if not versions:
        found = Path(data_dir).glob("*/**/dataset_info.json")
        prepared = sorted({path.parent.parent.relative_to(data_dir).as_posix() for path in found})
        raise UserError(
            f"tfds:{name} is not prepared: looked in {root.absolute()}; prepared in {data_dir} are "
            f"{', '.join(prepared) or 'none'}. Set --data_dir, or run tfds build {name} --data_dir={data_dir} first"
        )
    configs = {path.parent for path in versions}
    if len(configs) > 1:
        known = sorted(path.relative_to(data_dir).as_posix() for path in configs)
        raise UserError(f"tfds:{name} has several configurations: choose one of {', '.join(known)}")
    return str(max(versions, key=lambda path: [int(part) for part in path.name.split(".") if part.isdecimal()]))
