"""TFRecord files as images: features of other kinds, labels of any kind, damaged files."""

import gzip
import struct

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.data.canvases.memory import CanvasSpec, load_canvases
from ssl_keras.data.canvases.probe import probe
from ssl_keras.data.sources import open_source
from ssl_keras.data.splits import train_and_test

PNG = tf.io.encode_png(np.zeros((4, 4, 3), np.uint8)).numpy()
PIXELS = [0] * 48


def feature(value):
    values = list(value) if isinstance(value, list) else [value]
    if isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def written(path, examples):
    """A file of examples, each {name: value or list of values}."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            named = {name: feature(value) for name, value in example.items()}
            writer.write(tf.train.Example(features=tf.train.Features(feature=named)).SerializeToString())
    return f"tfrecord:{path}"


def labelled(path, labels):
    """A file of images with these labels, None for none."""
    return written(path, [{"image": PNG} | ({} if label is None else {"label": label}) for label in labels])


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 2, 1, 2], [0, 2, 1, 2]),
        ([None, 2, None, 0], [-1, 2, -1, 0]),
        ([1.0, 2.0, None, 0.0], [1, 2, -1, 0]),
        ([b"dog", b"cat", None, b"dog"], [1, 0, -1, 1]),
        ([1, [], 0, 1], [1, -1, 0, 1]),
    ],
)
def test_labels_are_classes(tmp_path, labels, expected):
    spec = written(
        tmp_path / "a.tfrecord",
        [{"image": PNG} | ({} if label in (None, []) else {"label": label}) for label in labels],
    )
    source = open_source(spec)
    assert source.labels.tolist() == expected
    canvases = load_canvases(source, CanvasSpec(4))
    assert canvases.labels.tolist() == expected and not canvases.bad


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 3_000_000_000], "a.tfrecord at byte .* is 3000000000: expected a class from 0 to 2147483647"),
        ([0, -5], "is -5: expected a class from 0"),
        ([0.5, 1.0], "label of .* is 0.5: expected a whole number"),
        ([float("nan"), 1.0], "is nan: expected a whole number"),
        ([b"cat", 1], "some labels in label are names, some numbers such as 1"),
        ([1, b"cat"], "some labels in label are names, some numbers such as 1"),
        ([0, [1, 2]], r"has 2 labels \(whole numbers\) in label"),
    ],
)
def test_wrong_labels_stop_only_who_needs_them(tmp_path, labels, message):
    spec = labelled(tmp_path / "a.tfrecord", labels)
    with pytest.raises(ValueError, match=message):
        train_and_test(spec)
    for budget in (None, 0):
        canvases = load_canvases(open_source(spec), CanvasSpec(4), budget_bytes=budget)
        assert len(canvases) == len(labels) and (canvases.labels == -1).all()


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        ({"label": 1}, "the feature image is missing or empty: expected one encoded image .*; the record has label"),
        ({"image": PIXELS}, "the feature image holds 48 whole numbers: expected one encoded image"),
        ({"image": [0.5, 0.25]}, "the feature image holds 2 floats: expected one encoded image"),
        ({"image": [PNG, PNG]}, "the feature image holds 2 bytes: expected one encoded image"),
        ({"image": bytes(48)}, "nothing but zero bytes"),
        ({"image": PNG[:-20]}, "truncated PNG"),
    ],
)
def test_records_without_an_image_are_named(tmp_path, example, reason):
    spec = written(tmp_path / "a.tfrecord", [{"image": PNG}, example, {"image": PNG}])
    canvases = load_canvases(open_source(spec), CanvasSpec(4), max_bad_fraction=0.5)
    assert canvases.index.tolist() == [0, 2]
    ((name, found),) = canvases.bad
    assert "a.tfrecord at byte" in name
    np.testing.assert_(tf.strings.regex_full_match(found, f"{reason}.*").numpy(), found)
    if "image" in example and not isinstance(example["image"], bytes):
        spec = written(tmp_path / "b.tfrecord", [example] * 3)
        with pytest.raises(ValueError, match=f"none of 3 images looked at can be read.*{reason}"):
            probe(open_source(spec))


def test_the_first_record_may_lack_what_the_others_have(tmp_path):
    spec = written(tmp_path / "a.tfrecord", [{"other": 1}] + [{"image/encoded": PNG, "image/class/label": 7}] * 40)
    source = open_source(spec)
    assert source.labels.tolist() == [-1] + [7] * 40
    assert len(load_canvases(source, CanvasSpec(4), max_bad_fraction=0.1)) == 40


def test_a_damaged_record_costs_one_image(tmp_path):
    spec = labelled(tmp_path / "a.tfrecord", [0, 1, 2])
    data = bytearray((tmp_path / "a.tfrecord").read_bytes())
    data[12] = 0xFF
    (tmp_path / "a.tfrecord").write_bytes(data)
    canvases = load_canvases(open_source(spec), CanvasSpec(4), max_bad_fraction=0.5)
    assert canvases.labels.tolist() == [1, 2] and "damaged record" in canvases.bad[0][1]


@pytest.mark.parametrize("length", [2**60, 2**64 - 1, 2**63, 100_000])
def test_impossible_lengths_are_refused(tmp_path, length):
    spec = labelled(tmp_path / "a.tfrecord", [0, 1])
    data = (tmp_path / "a.tfrecord").read_bytes()
    (tmp_path / "a.tfrecord").write_bytes(struct.pack("<Q", length) + data[8:])
    with pytest.raises(ValueError, match=r"a.tfrecord is cut off, or no TFRecord file \(at byte 0 of"):
        open_source(spec)


def test_files_that_hold_no_records(tmp_path):
    spec = labelled(tmp_path / "a.tfrecord", [0, 1])
    data = (tmp_path / "a.tfrecord").read_bytes()
    for content, message in (
        (data[:-5], "cut off"),
        (gzip.compress(data), "compressed: unpack it"),
        (b"", "the files hold no records"),
        (b"abc", "cut off"),
    ):
        (tmp_path / "a.tfrecord").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            open_source(spec)
    with pytest.raises(ValueError, match="has examples of jpg, label: expected an encoded image in one of"):
        open_source(written(tmp_path / "a.tfrecord", [{"jpg": PNG, "label": 1}]))
    with pytest.raises(ValueError, match="has examples of nothing: expected"):
        open_source(written(tmp_path / "a.tfrecord", [{}]))


def test_folders_are_no_files(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(ValueError, match=r"only folders match: name the files in them, FOLDER/\*"):
        open_source(f"tfrecord:{tmp_path}/*")
    labelled(tmp_path / "y", [0, 1])
    assert len(open_source(f"tfrecord:{tmp_path}/*")) == 2
