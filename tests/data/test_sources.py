"""Which images a data specification names, and what is said where it names none."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssl_keras.data.formats.decode import decode
from ssl_keras.data.sources import open_source
from ssl_keras.data.splits import take, train_and_test


def write_folder(root, files):
    for number, name in enumerate(files):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), (number, 0, 0)).save(root / name, "PNG")


def write_records(path, count, first=0):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(first, first + count):
            image = tf.io.encode_png(tf.fill([2, number + 1, 3], tf.constant(number, tf.uint8))).numpy()
            feature = {
                "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image])),
                "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[number % 3])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def test_folder_is_recursive_sorted_and_labelled_by_its_subfolders(tmp_path):
    write_folder(tmp_path, ["dog/b.png", "dog/deep/a.PNG", "cat/c.jpg", "cat/.hidden.png", ".cache/x/y.png"])
    (tmp_path / "README.md").write_text("not an image")
    source = open_source(f"folder:{tmp_path}")
    assert [source.describe(i) for i in range(len(source))] == [
        str(tmp_path / name) for name in ("cat/c.jpg", "dog/b.png", "dog/deep/a.PNG")
    ]
    assert source.class_names == ("cat", "dog") and source.labels.tolist() == [0, 1, 1]
    assert not source.has_test_split


def test_a_stray_image_has_no_label_and_the_class_folders_stay_classes(tmp_path):
    write_folder(tmp_path, ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png", "overview.png"])
    source = open_source(f"folder:{tmp_path}")
    assert source.class_names == ("cat", "dog") and source.labels.tolist() == [0, 0, 1, 1, -1]
    assert "1 image without a class, beside the class folders; first: overview.png" in source.remarks
    train, test, _ = train_and_test(f"folder:{tmp_path}")
    assert sorted([*train.labels, *test.labels]) == [0, 0, 1, 1]


def test_subfolders_of_a_mostly_flat_folder_are_no_classes(tmp_path):
    write_folder(tmp_path, ["dog/b.png", "loose.png"])
    source = open_source(f"folder:{tmp_path}")
    assert len(source) == 2 and source.labels is None
    assert "no classes: as many images lie beside the 1 subfolder (dog) as in them, or more" in source.remarks
    with pytest.raises(ValueError, match=r"has no labels.*folder of its own.*no classes: as many"):
        train_and_test(f"folder:{tmp_path}")


def test_folder_with_train_and_val_has_two_splits(tmp_path):
    write_folder(tmp_path, ["train/cat/1.png", "train/dog/2.png", "val/dog/3.png"])
    train, test, note = train_and_test(f"folder:{tmp_path}")
    assert train.labels.tolist() == [0, 1] and test.labels.tolist() == [1]
    assert train.has_test_split and "val" in note
    write_folder(tmp_path, ["val/wolf/4.png"])
    with pytest.raises(ValueError, match="wolf"):
        train_and_test(f"folder:{tmp_path}")


def test_all_three_splits_train_alone_is_trained_on_and_test_scored(tmp_path):
    names = [f"{split}/{name}/1.png" for split in ("Training", "Testing", "valid") for name in ("cat", "dog")]
    write_folder(tmp_path, names)
    assert {open_source(f"folder:{tmp_path}").describe(i) for i in range(2)} == {
        str(tmp_path / f"Training/{name}/1.png") for name in ("cat", "dog")
    }
    train, test, note = train_and_test(f"folder:{tmp_path}")
    assert len(train) == len(test) == 2 and note == f"test images: {tmp_path}/Testing"
    assert (
        "splits: Training (2 images) for training, Testing (2 images) for scores; not used: valid (2 images)"
        in train.remarks
    )


@pytest.mark.parametrize("flat", ["test/{}.png", "test/unknown/{}.png"])
def test_a_test_folder_without_classes_is_not_scored_on(tmp_path, flat):
    write_folder(tmp_path, [f"train/{name}/{i}.png" for name in ("cat", "dog") for i in range(5)])
    write_folder(tmp_path, [flat.format(i) for i in range(3)])
    train, test, note = train_and_test(f"folder:{tmp_path}")
    assert (len(train), len(test)) == (8, 2)
    assert note.startswith(f"{tmp_path}/test has no labels, so: held-out 20 % of the folder's images")
    write_folder(tmp_path, ["val/cat/1.png"])
    assert train_and_test(f"folder:{tmp_path}")[2] == f"test images: {tmp_path}/val"


def test_every_spelling_of_a_path_means_the_same(tmp_path, monkeypatch):
    write_folder(tmp_path / "images", ["cat/1.png", "dog/2.png"])
    write_records(tmp_path / "a.tfrecord", 2)
    np.save(tmp_path / "a.npy", np.zeros((2, 8, 8, 3), np.uint8))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for spec in (
        "folder:{}images",
        "folder:{}images/",
        "npy:{}a.npy",
        "tfrecord:{}a.tfrecord",
        "tfrecord:{}*.tfrecord",
    ):
        for before in (f"{tmp_path}/", "", "./", "~/", "~/images/../"):
            assert len(open_source(spec.format(before))) == 2


def test_classes_known_by_numbers_are_numbered_anew(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((8, 4, 4, 3), np.uint8))
    np.save(tmp_path / "a.labels.npy", [1_000_000, 7, 7, 1_000_000, 7, 7, -1, 7])
    train, test, _ = train_and_test(f"npy:{tmp_path}/a.npy")
    assert train.class_names == test.class_names == ("7", "1000000")
    assert sorted([*train.labels, *test.labels]) == [0] * 5 + [1] * 2


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 2**31, 1, 1], r"holds the label 2147483648: expected classes from 0"),
        ([0, 1, -5, 1], r"holds the label -5"),
        ([3, 3, 3, 3], "one class only, '3'"),
        ([-1, 1, -1, 1], "one class only"),
        ([-1, -1, -1, -1], "no labels"),
        ([0, 1, -1, -1], "a test part cannot be held out"),
    ],
)
def test_labels_that_no_evaluation_can_use_are_refused(tmp_path, labels, message):
    np.save(tmp_path / "a.npy", np.zeros((4, 4, 4, 3), np.uint8))
    np.save(tmp_path / "a.labels.npy", np.array(labels))
    with pytest.raises(ValueError, match=message):
        train_and_test(f"npy:{tmp_path}/a.npy")


def test_held_out_part_is_a_fixed_fifth_of_each_class(tmp_path):
    write_folder(tmp_path, [f"{name}/{i}.png" for name, count in (("a", 20), ("b", 5), ("c", 2)) for i in range(count)])
    train, test, note = train_and_test(f"folder:{tmp_path}")
    assert np.bincount(test.labels).tolist() == [4, 1, 1] and np.bincount(train.labels).tolist() == [16, 4, 1]
    names = [{part.describe(i) for i in range(len(part))} for part in (train, test)]
    assert not names[0] & names[1] and len(names[0] | names[1]) == 27
    assert note.startswith("held-out 20 % of the folder's images; a pretraining run on the folder saw them")
    again = train_and_test(f"folder:{tmp_path}")[1]
    assert {again.describe(i) for i in range(len(again))} == names[1]


def test_part_of_a_folder_is_spread_over_it(tmp_path):
    write_folder(tmp_path, [f"{name}/{i:02}.png" for name in "abcd" for i in range(10)])
    source = open_source(f"folder:{tmp_path}")
    part = take(source, 8)
    assert np.bincount(part.labels).tolist() == [2, 2, 2, 2]
    picks = [[p.describe(i) for i in range(8)] for p in (part, take(source, 8), take(source, 8, seed=1))]
    assert picks[0] == picks[1] != picks[2] and len(set(picks[0])) == 8
    assert len(take(source, None)) == len(take(source, 40)) == 40
    with pytest.raises(ValueError, match=r"41 images asked for.* has 40"):
        take(source, 41)


def test_palette_bmp_shows_its_colours(tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)).convert("P")
    image.save(tmp_path / "a.bmp")
    found = decode(open_source(f"folder:{tmp_path}").read(0), 3, "uint8")
    np.testing.assert_array_equal(found, np.asarray(image.convert("RGB")))


def test_records_are_read_in_any_order(tmp_path):
    write_records(tmp_path / "a.tfrecord-0", 3)
    write_records(tmp_path / "a.tfrecord-1", 4, first=3)
    source = open_source(f"tfrecord:{tmp_path}/a.tfrecord-*")
    assert len(source) == 7 and source.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    for number in (6, 0, 3, 2):
        image = decode(source.read(number), 3, "uint8").numpy()
        assert image.shape == (2, number + 1, 3) and (image == number).all()
    train, test, note = train_and_test(f"tfrecord:{tmp_path}/a.tfrecord-*")
    assert len(train) + len(test) == 7 and "held-out" in note


def test_builtin_scenes_have_two_splits():
    train, test, _ = train_and_test("builtin:scenes:40", canvas_size=24)
    assert (len(train), len(test)) == (40, 10)
    assert train.read(0).shape == (24, 24, 3) and train.read(0).dtype == np.uint8
    assert set(np.unique(train.labels)) <= set(range(len(train.class_names)))
    depth = open_source("builtin:depth_scenes")
    assert len(depth) == 4000 and depth.arrays == (1, "uint16")
    assert depth.read(1).dtype == np.uint16 and depth.read(1).shape == (32, 32, 1)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("imagenet", "expected one of builtin:scenes"),
        ("folder:", "expected one of"),
        ("s3:bucket", "expected one of"),
        ("folder:/no/such/place", "/no/such/place does not exist"),
        ("folder:{tmp}/file", "is a file"),
        ("folder:{tmp}/empty", "no images below .*jpg"),
        ("{tmp}/empty", "did you mean folder:"),
        ("builtin:ships", "scenes, depth_scenes"),
        ("builtin:scenes:many", "number of images"),
        ("npy:{tmp}/none.npy", "no file"),
        ("npy:{tmp}/file", "not an .npy"),
        ("tfrecord:{tmp}/*.none", "no file matches"),
        ("tfrecord:{tmp}/file", "no TFRecord"),
        ("tfds:nothing", "not prepared: looked in .*nothing; prepared in .* are none"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, spec, message):
    (tmp_path / "file").write_text("a line of plain text, long enough for a header")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        open_source(spec.format(tmp=tmp_path), data_dir=str(tmp_path))


def test_a_prepared_data_set(tmp_path):
    import tensorflow_datasets as tfds

    pictures = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), np.uint8)
    classes = np.arange(50) % 3
    tfds.dataset_builders.store_as_tfds_dataset(
        "pictures",
        version="1.0.0",
        features=tfds.features.FeaturesDict(
            {"image": tfds.features.Image(shape=(8, 8, 3)), "label": tfds.features.ClassLabel(names=["a", "b", "c"])}
        ),
        split_datasets={
            split: tf.data.Dataset.from_tensor_slices({"image": pictures[part], "label": classes[part]})
            for split, part in (("train", slice(40)), ("test", slice(40, 50)))
        },
        data_dir=tmp_path,
        file_format="tfrecord",
        disable_shuffling=True,
    )
    train, test, note = train_and_test("tfds:pictures", data_dir=str(tmp_path))
    assert (len(train), len(test), train.class_names) == (40, 10, ("a", "b", "c")) and "test" in note
    assert [*train.labels, *test.labels] == classes.tolist()
    for number in (0, 39, 7):
        np.testing.assert_array_equal(decode(train.read(number), 3, "uint8"), pictures[number])
    part = open_source("tfds:pictures:train[30%:50%]", data_dir=str(tmp_path))
    assert [part.read(i) for i in range(len(part))] == [train.read(i) for i in range(12, 20)]
    with pytest.raises(ValueError, match=r"no split 'dev'.*test.*train"):
        open_source("tfds:pictures:dev", data_dir=str(tmp_path))
    with pytest.raises(ValueError, match=r"prepared in .* are pictures"):
        open_source("tfds:photos", data_dir=str(tmp_path))


def test_cifar10(real_data):
    directory = str(real_data / "tfds")
    train, test, note = train_and_test("tfds:cifar10", data_dir=directory)
    assert (len(train), len(test)) == (50_000, 10_000) and "test" in note
    assert train.class_names[:3] == ("airplane", "automobile", "bird")
    assert np.bincount(test.labels).tolist() == [1000] * 10

    import tensorflow_datasets as tfds

    reference = tfds.load("cifar10", data_dir=directory, split="train", download=False)
    for number, example in enumerate(reference.take(3)):
        assert train.label(number) == example["label"].numpy()
        # Decoders differ by a little (DCT methods), images by a lot.
        found = decode(train.read(number), 3, "uint8").numpy().astype(int)
        assert np.abs(found - example["image"].numpy()).mean() < 3

    part = open_source("tfds:cifar10:train[30%:50%]", data_dir=directory)
    assert len(part) == 10_000 and part.read(0) == train.read(15_000) and part.read(9_999) == train.read(24_999)
    first = take(train, 10_000)
    assert len(first) == 10_000 and first.read(9_999) == train.read(9_999)
    with pytest.raises(ValueError, match=r"no split 'dev'.*test.*train"):
        open_source("tfds:cifar10:dev", data_dir=directory)
    with pytest.raises(ValueError, match=r"prepared in .* are cifar10"):
        open_source("tfds:cifar100", data_dir=directory)
