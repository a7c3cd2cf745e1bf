"""The records of TFRecord files, read at random, and sources of them.

A TFRecord file is a sequence of records: length (uint64, little endian), its checksum (4 bytes), data,
checksum (4 bytes). One pass over the lengths gives every record's place, so any record is one read, nothing
is held in memory and no order is forced by the format.
"""

import os
import struct
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from ssl_keras.data.formats.transcode import decodable
from ssl_keras.data.source import Places, Source
from ssl_keras.errors import UserError

IMAGE_KEYS = ("image/encoded", "image")
LABEL_KEYS = ("image/class/label", "label")
KINDS = {"bytes_list": "bytes", "int64_list": "whole numbers", "float_list": "floats"}


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


def record_source(name, records, image_key, label_key, class_names, has_test_split) -> Source:
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
