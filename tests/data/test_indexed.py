"""What is remembered of a folder is what a fresh look finds, whatever has changed since."""

import os
import shutil

import numpy as np
import pytest

from ssl_keras import files
from ssl_keras.data import known_facts
from ssl_keras.data.folders import indexed
from ssl_keras.data.folders.image_tree import EXTENSIONS, image_tree
from ssl_keras.data.readers import pfm
from ssl_keras.data.readers.contract import ReadOptions
from ssl_keras.data.sources import open_source

ENDINGS = (*EXTENSIONS, ".pfm")
ASKED = ReadOptions()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own, in which small folders are remembered too, and changes of a moment ago are settled."""
    monkeypatch.setenv(files.CACHE, str(tmp_path / "cache"))
    for module in (indexed, known_facts):
        monkeypatch.setattr(module, "LEAST", 1)
        monkeypatch.setattr(module, "SETTLED", 0)
    return tmp_path / "cache"


def picture(path, value=0.5, shape=(4, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    head = f"Pf\n{shape[1]} {shape[0]}\n-1.0\n".encode()
    path.write_bytes(head + np.full(shape, value, "<f4").tobytes())


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "data"
    for name in ("cat/1", "cat/2", "dog/deep/3", "dog/4", "train/5"):
        picture(root / f"{name}.pfm")
    for name in ("cat/notes.txt", "dog/a.csv", "dog/.hidden.png", "cat/@eaDir/x.png", "dog/Thumbs.db"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def listed(monkeypatch, root):
    """The tree from memory, checked against a fresh one, and the folders that were read for it."""
    read, scan = [], os.scandir

    def counting(path):
        read.append(os.path.relpath(path, root))
        return scan(path)

    expected = image_tree(str(root), ENDINGS)
    monkeypatch.setattr(os, "scandir", counting)
    found = indexed.indexed_tree(str(root), ENDINGS)
    monkeypatch.setattr(os, "scandir", scan)
    assert found == expected and found.remarks() == expected.remarks()
    return [name for name in read if not name.startswith("..")]


def write_other(root):
    picture(root / "dog/9.pfm")


def remove(root):
    (root / "cat/1.pfm").unlink()


def rename(root):
    (root / "cat/1.pfm").rename(root / "cat/0.pfm")


def file_becomes_folder(root):
    (root / "cat/1.pfm").unlink()
    picture(root / "cat/1.pfm/inside.pfm")


def move_folder(root):
    (root / "dog/deep").rename(root / "cat/deep")


def remove_folder(root):
    shutil.rmtree(root / "dog")


def new_folder(root):
    picture(root / "bird/a/1.pfm")


def set_times_back(root):
    """As `rsync -t` and `cp -p` do."""
    state = os.stat(root / "cat")
    picture(root / "cat/7.pfm")
    os.utime(root / "cat", ns=(state.st_atime_ns, state.st_mtime_ns))


CHANGES = [write_other, remove, rename, file_becomes_folder, move_folder, remove_folder, new_folder, set_times_back]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_folder_is_found_and_the_others_are_not_read(monkeypatch, folder, change):
    assert len(listed(monkeypatch, folder)) == 5  # the root, cat, dog, deep, train
    assert listed(monkeypatch, folder) == []
    change(folder)
    assert 0 < len(listed(monkeypatch, folder)) < 5
    assert listed(monkeypatch, folder) == []


def test_links_and_files_without_ending_are_looked_at_each_time(monkeypatch, folder, tmp_path):
    for name in ("one", "two"):
        picture(tmp_path / name / "x.pfm")
        picture(tmp_path / name / f"{name}.pfm")
    os.symlink(tmp_path / "one", tmp_path / "current")
    os.symlink(tmp_path / "current", folder / "linked")
    (folder / "dog/IM0001").write_bytes(bytes(132))
    listed(monkeypatch, folder)
    assert listed(monkeypatch, folder) == [".", "dog"]
    (tmp_path / "current").unlink()
    os.symlink(tmp_path / "two", tmp_path / "current")  # nothing in the folder itself has changed
    (folder / "dog/IM0001").write_bytes(bytes(128) + b"DICM")
    listed(monkeypatch, folder)
    tree = indexed.indexed_tree(str(folder), ENDINGS)
    assert "linked/two.pfm" in tree.images and "dog/IM0001" in tree.images


def test_what_changed_just_now_and_what_tells_no_times_is_read_again(monkeypatch, folder):
    monkeypatch.setattr(indexed, "SETTLED", 10**12)
    assert len(listed(monkeypatch, folder)) == len(listed(monkeypatch, folder)) == 5
    monkeypatch.setattr(indexed, "SETTLED", 0)
    monkeypatch.setattr(indexed, "KEEP_TIMES", ())
    assert len(listed(monkeypatch, folder)) == len(listed(monkeypatch, folder)) == 5
    assert indexed.file_system("/proc/self") == "proc" or not os.path.exists("/proc/self")


@pytest.mark.parametrize("damage", ["cut", "flipped", "other file", "other folder"])
def test_a_damaged_or_foreign_file_is_as_good_as_none(folder, cache, caplog, damage):
    open_source(f"folder:{folder}")
    kept = sorted(cache.rglob("*.npz"))
    assert len(kept) == 2  # names and headers
    for path in kept:
        whole = path.read_bytes()
        at = len(whole) // 2
        path.write_bytes(
            {
                "cut": whole[:at],
                "flipped": whole.replace(b"cat", b"cow"),
                "other file": b"hello",
                "other folder": whole.replace(os.fsencode(folder.name), b"atad"),
            }[damage]
        )
    source = open_source(f"folder:{folder}")
    assert [source.describe(i) for i in range(len(source))] == [
        f"{folder}/{name}.pfm" for name in ("cat/1", "cat/2", "dog/4", "dog/deep/3", "train/5")
    ]
    assert caplog.text.count("is damaged: it is looked through anew") == 2
    caplog.clear()
    open_source(f"folder:{folder}")
    assert sorted(cache.rglob("*.npz")) == kept and not caplog.text  # it is whole again


def test_no_cache_and_one_that_cannot_be_written_are_no_trouble(monkeypatch, folder, tmp_path):
    for place in ("", str(folder / "cat/notes.txt")):
        monkeypatch.setenv(files.CACHE, place)
        assert len(listed(monkeypatch, folder)) == len(listed(monkeypatch, folder)) == 5
    assert not (tmp_path / "cache").exists()


def test_only_files_that_have_changed_are_opened_for_their_headers(folder):
    paths = sorted(image_tree(str(folder), ENDINGS).images)
    opened = []

    def facts(options=ASKED, of=paths):
        def read(i):
            opened.append(of[i])
            return pfm.facts(str(folder / of[i]), options)

        del opened[:]
        return dict(zip(of, known_facts.facts_of(str(folder), of, read, options)))

    first = facts()
    assert opened == paths and facts() == first and opened == []
    picture(folder / "cat/1.pfm", shape=(4, 9))
    assert facts()["cat/1.pfm"].shape == (4, 9, 1) and opened == ["cat/1.pfm"]
    state = os.stat(folder / "cat/2.pfm")
    picture(folder / "cat/2.pfm", shape=(6, 4))  # as many bytes, and the time set back
    os.utime(folder / "cat/2.pfm", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert facts()["cat/2.pfm"].shape == (6, 4, 1) and opened == ["cat/2.pfm"]
    (folder / "dog/4.pfm").write_bytes(b"no image")
    assert facts()["dog/4.pfm"] is None and facts()["dog/4.pfm"] is None  # not remembered
    assert opened == ["dog/4.pfm"]
    facts(of=paths[:1])  # the others, such as test images, are not forgotten
    assert facts() and opened == ["dog/4.pfm"]
    assert facts(ReadOptions(max_bytes=2**20)) and opened == paths  # another question


def test_a_picture_that_changes_in_a_known_folder_is_read_as_it_is(folder):
    source = open_source(f"folder:{folder}")
    assert source.read(0).max() == 0.5
    picture(folder / "cat/1.pfm", value=0.25)
    again = open_source(f"folder:{folder}")
    assert again.read(0).max() == 0.25 and again.shapes.tolist() == source.shapes.tolist()
