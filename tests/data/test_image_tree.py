"""Which files below a folder are images, where links lead, and what is said of the rest."""

import os

import pytest

from ssl_keras.data.folders.image_tree import image_tree
from ssl_keras.data.sources import open_source


def write(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def link(root, name, target):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    os.symlink(target, root / name)


def test_linked_class_folders_and_files_are_read(tmp_path):
    write(tmp_path, "store/a/1.png", "store/a/2.png", "data/cat/1.png")
    for name in ("dog", "wolf"):  # one folder under two names is two classes
        link(tmp_path, f"data/{name}", "../store/a")
    link(tmp_path, "data/cat/2.png", tmp_path / "store/a/1.png")
    source = open_source(f"folder:{tmp_path}/data")
    assert source.class_names == ("cat", "dog", "wolf") and source.labels.tolist() == [0, 0, 1, 1, 2, 2]
    link(tmp_path, "all", "data")
    assert len(open_source(f"folder:{tmp_path}/all")) == len(open_source(f"folder:{tmp_path}/all/")) == 6


@pytest.mark.parametrize("target", [".", "..", "../..", "/"])
def test_a_link_to_a_folder_that_holds_it_is_not_followed(tmp_path, target):
    write(tmp_path, "data/cat/1.png", "data/dog/1.png", "beside.png")
    link(tmp_path, "data/cat/up", target)
    tree = image_tree(str(tmp_path / "data"))
    assert tree.images == ["cat/1.png", "dog/1.png"]
    assert tree.remarks() == ["did not follow 1 link to a folder that holds the link itself; first: cat/up"]


def test_links_to_one_another_end(tmp_path):
    write(tmp_path, "a/1.png", "b/1.png")
    link(tmp_path, "a/b", "../b")
    link(tmp_path, "b/a", "../a")
    tree = image_tree(str(tmp_path))
    assert tree.images == ["a/1.png", "a/b/1.png", "b/1.png", "b/a/1.png"]
    assert tree.loops.counts.total() == 2


def test_broken_links_are_bad_images_or_said(tmp_path):
    write(tmp_path, "cat/1.png")
    for name in ("cat/2.png", "dog", "itself"):
        link(tmp_path, name, "itself" if name == "itself" else "nowhere")
    tree = image_tree(str(tmp_path))
    assert tree.images == ["cat/1.png", "cat/2.png"]  # the second cannot be read, and is named with the bad files
    assert tree.remarks() == ["2 links to something that is not there; first: dog"]


def test_every_ending_of_jpeg_counts(tmp_path):
    names = [f"{i}{e}" for i, e in enumerate((".jpg", ".JPEG", ".jpe", ".JFIF", ".jif", ".jfi", ".pjpeg", ".pjp"))]
    write(tmp_path, *names)
    assert image_tree(str(tmp_path)).images == names


def test_what_is_passed_over_is_counted_and_said(tmp_path):
    write(tmp_path, "a/1.png", "a/b.HEIC", "a/c.heic", "a/notes", "a/1.2.840.113619", "labels.csv")
    os.mkfifo(tmp_path / "pipe.png")
    assert image_tree(str(tmp_path)).remarks() == [
        "passed over 6 files without an image's ending: 2 .heic, 2 without ending, 1 .csv, 1 special "
        "(rename those that are images); first: a/1.2.840.113619"
    ]
    (tmp_path / "a/1.png").unlink()
    with pytest.raises(ValueError, match=r"no images below .*; passed over 6 files .*2 \.heic"):
        open_source(f"folder:{tmp_path}")


@pytest.mark.parametrize(
    "name",
    [
        *("@eaDir/x.jpg", "a/@eaDir/x.jpg/SYNOPHOTO.jpg", "#recycle/x.jpg", "__MACOSX/a/x.jpg", "lost+found/x.jpg"),
        *("$RECYCLE.BIN/x.jpg", ".Trash-1000/x.jpg", ".thumbnails/x.jpg", "a/.ipynb_checkpoints/x.png", "a/._x.jpg"),
    ],
)
def test_thumbnails_and_deleted_files_are_no_images(tmp_path, name):
    write(tmp_path, "a/1.png", name, "Thumbs.db", ".DS_Store", "a/desktop.ini")
    tree = image_tree(str(tmp_path))
    assert tree.images == ["a/1.png"]
    assert [remark.split(";")[0] for remark in tree.remarks()] == [
        "passed over 1 hidden or system folders and hidden images"
    ]


def test_a_name_that_is_no_utf8_can_be_printed(tmp_path):
    os.close(os.open(os.fsencode(tmp_path) + b"/\xe9.png", os.O_CREAT))
    os.close(os.open(os.fsencode(tmp_path) + b"/\xe9.heic", os.O_CREAT))
    source = open_source(f"folder:{tmp_path}")
    assert (*source.remarks, source.describe(0))[-1].encode() == f"{tmp_path}/\\xe9.png".encode()
    assert source.remarks[0].endswith("first: \\xe9.heic")
