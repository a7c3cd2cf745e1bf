"""Splits and classes as the names of folders tell them."""

import pytest

from ssl_keras.data.folders.layout import arrange, split_of


def tree(**counts):
    """Paths, and their folders, of so many images in each folder; __ is a slash."""
    folders = {name.replace("__", "/"): count for name, count in counts.items()}
    paths = sorted(f"{name}/{i}.png".removeprefix("root/") for name, count in folders.items() for i in range(count))
    parents = {"/".join(name.split("/")[: i + 1]) for name in folders for i in range(name.count("/") + 1)}
    return paths, sorted(parents - {"root"})


def found(**counts):
    layout = arrange(*tree(**counts))
    parts = {part.name: part.class_counts or len(part.paths) for part in (layout.train, *layout.held_out)}
    return parts, layout.remarks


@pytest.mark.parametrize(
    "name, split",
    [
        *(("Training_Set", "training"), ("TRAIN", "train"), ("train-images", "train"), ("test_dataset", "test")),
        *(
            ("val2017", "val"),
            ("held-out", "heldout"),
            ("Dev", "dev"),
            ("trains", None),
            ("retrain", None),
            ("set", None),
        ),
    ],
)
def test_names_of_splits(name, split):
    assert split_of(name) == split


def test_classes_without_splits():
    assert found(cat=2, dog=1) == ({"": {"cat": 2, "dog": 1}}, [])
    assert found(root=3) == ({"": 3}, [])


def test_best_part_to_score_on_comes_first():
    parts, _ = found(train__a=2, train__b=2, dev__a=1, test__a=1, valid__b=1)
    assert list(parts) == ["train", "test", "valid", "dev"]


def test_a_single_subfolder_is_looked_into():
    assert found(archive__dataset__train__a=2, archive__dataset__train__b=2, archive__dataset__val__a=1)[0] == {
        "archive/dataset/train": {"a": 2, "b": 2},
        "archive/dataset/val": {"a": 1},
    }
    assert found(images__a=2, images__b=1)[0] == {"images": {"a": 2, "b": 1}}
    assert found(train__a=2, train__b=1)[0] == {"train": {"a": 2, "b": 1}}
    assert found(test__a=2, test__b=1)[0] == {"test": {"a": 2, "b": 1}}
    assert found(training_set__training_set__a=2, training_set__training_set__b=1, test_set__test_set__b=3)[0] == {
        "training_set": {"a": 2, "b": 1},
        "test_set": {"b": 3},
    }
    assert found(cat=3) == ({"cat": 3}, ["no classes: cat is the one folder that holds images"])


def test_splits_inside_each_class_folder():
    parts, remarks = found(cat__train=2, cat__test=1, dog__Training=2, dog__Test=1, dog=1)
    assert parts == {"*/train": {"cat": 2, "dog": 2}, "*/test": {"cat": 1, "dog": 1}}
    assert remarks == ["1 image outside these splits, not used; first: dog/0.png"]


def test_images_outside_of_the_splits_are_said():
    parts, remarks = found(train__a=2, train__b=2, test__a=1, extra=4, root=1)
    assert "extra" not in str(parts)
    assert remarks == ["5 images outside these splits, not used; first: 0.png"]


def test_a_stray_image_beside_the_one_folder_is_kept_where_there_are_no_splits():
    layout = arrange(*tree(root=1, data__a=2, data__b=2))
    assert layout.train.classes == [None, "a", "a", "b", "b"]


def test_a_class_named_as_a_split_is_said():
    assert found(train=2, car=2) == (
        {"": {"car": 2, "train": 2}},
        ["taken for a class: train, as no folder test or val lies beside it"],
    )
    assert found(dev=2, car=2)[1] == ["taken for a class: dev, as no folder train or training lies beside it"]


def test_empty_splits():
    parts, remarks = found(train__a=1, train__b=1, test=0, val=0)
    assert parts == {"train": {"a": 1, "b": 1}} and remarks == ["no images in test", "no images in val"]
    with pytest.raises(ValueError, match="no images in the training folder train, which lies beside test"):
        found(train=0, test__a=1, test__b=1)


def test_splits_without_one_training_folder_are_refused():
    with pytest.raises(ValueError, match=r"test and val hold test images, and no folder of training images"):
        found(test__a=1, val__a=1)
    with pytest.raises(ValueError, match=r"several folders of training images, Train and training: keep one"):
        found(Train__a=1, training__a=1, test__a=1)
