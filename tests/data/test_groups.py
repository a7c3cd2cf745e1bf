"""Groups of images: how they are told, that copies join them, and that no split parts them."""

import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

from ssl_keras.build.data import open_training_source, read_as
from ssl_keras.config import Config
from ssl_keras.data import splits
from ssl_keras.data.canvases.memory import CanvasSpec, load_canvases
from ssl_keras.data.groups import both_sides, copies, names, parts
from ssl_keras.data.groups.found import class_remarks, grouped
from ssl_keras.data.source import Source, subset
from ssl_keras.data.sources import open_source
from ssl_keras.errors import UserError
from ssl_keras.methods.simclr import SimCLR


def made(paths, labels=None, images=None, patients=None):
    """A source of files below /data; images are all different where none are given."""
    images = images or [np.full((4, 4, 1), 0, np.uint8) + np.eye(4, dtype=np.uint8)[..., None] * (i + 1)
                        for i in range(len(paths))]  # fmt: skip
    return Source(
        "/data", len(paths), lambda i: images[i], lambda i: f"/data/{paths[i]}", arrays=(1, "uint8"), root="/data",
        label=None if labels is None else lambda i: labels[i], group=patients and (lambda i: patients[i]),
        class_names=None if labels is None else ("healthy", "ill"),
    )  # fmt: skip


def slices(people=10, each=4):
    return [f"p{person}/scan_{n}.png" for person in range(people) for n in range(each)]


def sides(train, test):
    return [{source.describe(i).split("/")[-2] for i in range(len(source))} for source in (train, test)]


# ---- how they are told -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, expected",
    [
        ("folder:1", ["a", "a", "b", None]),
        ("folder:2", ["a/x", None, "b/x", None]),
        ("folder:-1", ["a/x", "a", "b/x", None]),
        ("folder:-2", ["a", None, "b", None]),
    ],
)
def test_folders_are_counted_from_the_root_or_from_the_file(text, expected):
    paths = ["a/x/1.png", "a/2.png", "b/x/1.png", "3.png"]
    assert names.by_folder(paths, names.parse(text).folders) == expected


def test_a_pattern_counts_by_its_first_group_and_sees_the_path_below_the_root():
    assert names.by_pattern(["p1_2.png", "p12_3.png", "x.png"], r"p(\d+)_") == ["1", "12", None]
    assert names.by_pattern(["p1_2.png"], r"p\d+") == ["p1"]
    source, = grouped([made(slices())], r"^(p\d+)/")
    np.testing.assert_array_equal(source.groups, np.arange(40) // 4)


@pytest.mark.parametrize(
    "text, words",
    [
        ("(", "is no regular expression"),
        ("folder:0", "a number but 0"),
        ("folder:x", "a number but 0"),
        ("dicom:study", "expected dicom:patient"),
    ],
)
def test_other_forms_are_refused_with_the_settings(text, words):
    with pytest.raises(UserError, match=words):
        Config(group_by=text)


@pytest.mark.parametrize(
    "text, words",
    [
        ("patient_", "found in none of 40 names; the first is p0/scan_0.png"),
        ("scan", "all 40 images are of one group, scan, so that none can be held out"),
        ("folder:2", "none of the 40 images lies below so many folders"),
        ("dicom:patient", "none of the 40 images of /data tells its patient"),
    ],
)
def test_groups_that_cannot_be_are_refused_in_words(text, words):
    with pytest.raises(UserError, match=words):
        grouped([made(slices())], text)


def test_images_in_no_folder_have_no_folders():
    with pytest.raises(UserError, match="are no files in folders"):
        grouped([open_source("builtin:scenes:8")], "folder:1")


def test_who_has_no_group_is_alone_and_counted():
    source, = grouped([made([*slices(3), "a.png", "b.png"])], "folder:1")
    assert len(set(source.groups[-2:]) | set(source.groups[:12])) == 5
    assert "2 images without a group, each a group of its own; first: a.png" in source.remarks
    assert any("3 of 12 images; the largest, p0, has 4" in remark for remark in source.remarks)


def test_odd_groups_are_said():
    source, = grouped([made([f"{'p' * (i > 2)}{i}/{i}.png" if i < 3 else f"p/{i}.png" for i in range(12)])], "folder:1")
    assert any("one group has 9 of 12 images, 75%: that of p." in remark for remark in source.remarks)
    source, = grouped([made(slices())], r".*")
    assert any("no two images are of one group" in remark for remark in source.remarks)
    labels = [int(person == 3) for person in range(10) for _ in range(4)]
    source, = grouped([made(slices(), labels)], "folder:1")
    assert class_remarks(source) == [
        "1 class of one group alone, which cannot be held out: such as ill, 4 images, the group of "
        "/data/p3/scan_0.png"
    ]
    labels = [int(person > 4) for person in range(10) for _ in range(4)]
    labels[0] = 1
    source, = grouped([made(slices(), labels)], "folder:1")
    assert class_remarks(source)[0].startswith("1 group with images of all 2 classes, where most have one")


def test_auto_takes_patients_then_numbered_names_then_nothing():
    patients = [f"h{i // 8}" for i in range(40)]
    for source, count in ((made(slices(), patients=patients), 5), (made(slices()), 10), (made(["a.png", "b.png"]), 2)):
        found, = grouped([source], "auto")
        assert len(set(found.groups)) == count, found.remarks
    assert "none are seen" in found.remarks[0]
    assert grouped([made(slices())], None)[0].groups is grouped([made(slices())], "none")[0].groups is None


def test_groups_go_with_the_images(tmp_path):
    source, = grouped([made(slices(), patients=[f"h{i // 4}" for i in range(40)])], "dicom:patient")
    part = subset(source, np.array([39, 2, 1]), "part")
    assert part.groups.tolist() == source.groups[[39, 2, 1]].tolist() and part.group(0) == "h9"
    assert dataclasses.replace(part, name="x").groups is part.groups
    canvases = load_canvases(part, CanvasSpec(4, 1))
    assert canvases.groups.tolist() == canvases.subset(np.arange(3)).groups.tolist() == part.groups.tolist()
    assert load_canvases(part, CanvasSpec(4, 1), budget_bytes=0).subset(np.array([0])).groups.tolist() == [9]


# ---- copies ----------------------------------------------------------------------------------------------------------


def test_copies_join_groups_and_constant_images_do_not(tmp_path):
    rng = np.random.default_rng(0)
    for person in range(4):
        (tmp_path / f"p{person}").mkdir()
        for n in range(3):
            image = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / f"p{person}" / f"{n}.png")
        Image.new("RGB", (8, 8)).save(tmp_path / f"p{person}" / "black.png")
    shutil.copy(tmp_path / "p0" / "1.png", tmp_path / "p2" / "copy.png")
    (tmp_path / "p1" / "bad.png").write_bytes(b"")
    source, = grouped([open_source(f"folder:{tmp_path}")], "folder:1")
    of = {source.describe(i).split("/")[-2]: source.groups[i] for i in range(len(source))}
    assert of["p0"] == of["p2"] and len(set(of.values())) == 3
    assert "2 images with copies, which are of one group: 4 groups became 3" in source.remarks


def test_groups_that_share_copies_become_one_however_long_the_chain():
    groups, digests = np.array([0, 0, 1, 1, 2, 3]), [b"a", b"b", b"b", b"c", b"c", None]
    found, count = copies.joined(groups, digests)
    assert found.tolist() == [0, 0, 0, 0, 0, 1] and count == 4
    assert copies.joined(np.array([0, 1]), [None, b"a"])[0].tolist() == [0, 1]


def test_the_same_pixels_of_another_shape_are_no_copy():
    one = np.arange(16, dtype=np.uint8)
    images = [one.reshape(4, 4, 1), one.reshape(2, 8, 1), one.reshape(4, 4, 1)]
    first, second, third = copies.digests([made(list("abc"), images=images)])
    assert first == third != second


# ---- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_about_a_share_of_each_class_is_held_out_in_whole_groups(seed):
    rng = np.random.default_rng(seed)
    groups = np.concatenate([rng.integers(0, 60, 400), np.arange(60, 160)])
    labels = np.where(groups % 2, rng.integers(0, 3, 500), 0)
    labels[::50] = -1
    held = parts.held_out(labels, groups, seed, 0.2)
    assert not set(groups[held]) & set(groups[~held & (labels >= 0)]) and not (held & (labels < 0)).any()
    shares = [held[labels == label].mean() for label in range(3)]
    np.testing.assert_allclose(shares, 0.2, atol=0.06)
    assert len(set(groups[held]) & set(range(60))) and (groups[held] >= 60).any()
    np.testing.assert_array_equal(held, parts.held_out(labels, groups, seed, 0.2))


def test_something_of_each_class_is_left_and_large_groups_are_held_out_where_they_must():
    labels, groups = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    assert parts.held_out(labels, groups, 0, 0.2).sum() == 2
    assert not parts.held_out(labels, labels, 0, 0.2).any()  # each group has all of a class
    assert not parts.held_out(labels, np.zeros(4, int), 0, 0.2).any()
    assert parts.held_out(labels, np.arange(4), 0, 0.2).sum() == 2  # one of each class of two
    assert not parts.held_out(np.full(3, -1), np.arange(3), 0, 0.2).any()


def test_folds_keep_groups_whole_and_spread_the_classes():
    groups = np.repeat(np.arange(50), 3)
    labels = groups % 2
    fold = parts.folds(labels, groups, 5, seed=0)
    assert all(len(set(fold[groups == group])) == 1 for group in range(50))
    assert all((np.bincount(fold[labels == label]) == 15).all() for label in (0, 1))


# ---- splits ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """Images of ten patients, four each, of two classes."""
    rng = np.random.default_rng(0)
    for number in range(40):
        place = tmp_path / "images" / ("healthy", "ill")[number % 2] / f"patient_{number // 4}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)).save(place / f"{number:02d}.png")
    return tmp_path / "images"


def test_groups_are_never_on_both_sides(folder):
    train, test, note = splits.train_and_test(f"folder:{folder}", group_by=r"patient_\d+")
    found = sides(train, test)
    assert not found[0] & found[1] and len(found[0] | found[1]) == 10 and "20% of the folder's images, whole" in note
    assert len(test) == 8 and set(test.labels) == {0, 1}
    assert not set(train.groups) & set(test.groups)
    again = splits.train_and_test(f"folder:{folder}", group_by=r"patient_\d+")[1]
    assert [again.describe(i) for i in range(8)] == [test.describe(i) for i in range(8)]
    other = splits.train_and_test(f"folder:{folder}", group_by=r"patient_\d+", seed=1)[1]
    assert sides(other, other)[0] != found[1]


def test_images_without_labels_are_split_by_group_too(folder):
    unlabeled = folder.parent / "flat"
    unlabeled.mkdir()
    for path in folder.rglob("*.png"):
        shutil.copy(path, unlabeled / f"{path.parent.name}_{path.name}")
    train, test, _ = splits.train_and_test(f"folder:{unlabeled}", labeled=False, group_by="auto")
    assert len(train) == 32 and not set(train.groups) & set(test.groups)


def test_a_split_that_groups_do_not_allow_is_refused(folder):
    with pytest.raises(UserError, match="none of the 2 groups can be held out: each class needs images of two groups"):
        splits.train_and_test(f"folder:{folder}", group_by="folder:1")


def test_training_images_of_the_test_images_groups_are_left_out(folder):
    (source,) = grouped([open_source(f"folder:{folder}")], r"patient_(\d+)")
    order = np.argsort([int(source.describe(i)[-6:-4]) for i in range(40)])
    train, test = subset(source, order[:30], "train"), subset(source, order[26:], "test")
    kept, note = splits._apart(train, test)
    names = {kept.describe(i).split("/")[-2] for i in range(len(kept))}
    assert len(kept) == 24 and names == {f"patient_{i}" for i in range(6)} and "6 training images are left out" in note
    with pytest.raises(UserError, match="all training images are of groups that the test images have too"):
        splits._apart(train, dataclasses.replace(train))


def test_groups_of_a_folder_with_splits_are_known_across_them(folder):
    for path in sorted(folder.rglob("*.png")):
        split = "train" if int(path.stem) % 4 < 3 else "test"
        place = folder.parent / "parted" / split / path.parent.relative_to(folder)
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    data = f"folder:{folder.parent}/parted"
    train, test, _ = splits.train_and_test(data)
    assert "10 of 20 sequences of numbered names, such as " in both_sides.warning(train, test)
    with pytest.raises(UserError, match="all training images are of groups that the test images have too"):
        splits.train_and_test(data, group_by=r"patient_\d+")


# ---- the warning -----------------------------------------------------------------------------------------------------


def halves(source):
    return subset(source, np.arange(0, len(source), 2), "train"), subset(source, np.arange(1, len(source), 2), "test")


def test_a_split_by_slice_is_warned_of_with_what_it_costs():
    said = both_sides.warning(*halves(made(slices(), patients=[f"h{i // 4}" for i in range(40)])))
    for words in ("10 of 10 patients", "with 20 of 20 test images", "29 to 55 points", "--group_by=auto", "=none"):
        assert words in said
    said = both_sides.warning(*halves(made(slices())))
    assert "10 of 10 sequences of numbered names, such as p0/scan_.., with 20 of 20" in said


def test_copies_are_known_once_both_parts_were_read():
    source = made([f"{chr(97 + i)}.png" for i in range(20)])
    source.read = lambda i, read=source.read: read(i - 1 if i in (5, 7) else i)
    parted = halves(source)
    assert both_sides.warning(*parted) is None
    for part in parted:
        load_canvases(part, CanvasSpec(4, 1))
    assert "2 test images with a copy in training, such as /data/f.png" in both_sides.warning(*parted)


def test_nothing_is_said_where_nothing_is_seen_or_the_split_keeps_groups_whole(folder):
    assert both_sides.warning(*halves(open_source("builtin:scenes:16"))) is None
    train, test, _ = splits.train_and_test(f"folder:{folder}", group_by=r"patient_\d+")
    assert both_sides.warning(train, test) is None


# ---- tiles, channels as files ----------------------------------------------------------------------------------------


def test_tiles_of_an_image_are_of_one_group(tmp_path):
    rng = np.random.default_rng(0)
    for n in range(6):
        Image.fromarray(rng.integers(0, 255, (32, 48, 3), dtype=np.uint8)).save(tmp_path / f"{chr(97 + n)}.png")
    source = open_training_source(Config(data=f"folder:{tmp_path}", tile="16", group_by="auto"), SimCLR)
    assert len(source) == 36 and len(set(source.groups)) == 6
    assert all(len({source.describe(i)[: -len("[0,0]")].partition("[")[0] for i in np.flatnonzero(source.groups == g)})
               == 1 for g in range(6))  # fmt: skip
    read_as(Config())


def test_channels_as_files_are_grouped_by_what_they_have_in_common(tmp_path):
    rng = np.random.default_rng(0)
    for name in [f"p{n // 2}_{n % 2}_d{channel}" for n in range(4) for channel in (0, 1)]:
        Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    config = Config(data=f"folder:{tmp_path}", channels_from="{}_d0.png,{}_d1.png", group_by="auto")
    source = open_training_source(config, SimCLR)
    read_as(Config())
    assert source.arrays[0] == 2 and source.groups.tolist() == [0, 0, 1, 1] and source.group is None


# ---- DICOM -----------------------------------------------------------------------------------------------------------


def test_patients_of_dicom_are_groups_and_frames_without_a_patient_too(real_data, tmp_path):
    pytest.importorskip("pydicom", reason="pip install -r requirements-imaging.txt")
    for name in ("MR_small.dcm", "MR_small_RLE.dcm", "CT_small.dcm", "emri_small.dcm", "693_J2KR.dcm"):
        shutil.copy(real_data / "dicom" / name, tmp_path)
    source = open_training_source(Config(data=f"folder:{tmp_path}", group_by="dicom:patient"), SimCLR)
    of = {}
    for i in range(len(source)):
        of.setdefault(source.describe(i).split("/")[-1].partition("[")[0], set()).add(int(source.groups[i]))
    assert all(len(groups) == 1 for groups in of.values())
    assert of["MR_small.dcm"] == of["MR_small_RLE.dcm"] and len(set.union(*of.values())) == 4
