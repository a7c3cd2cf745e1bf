"""tools.inspect_data as a user starts it: on a folder that is made here, and on the real ones."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from ssl_keras.config import Config
from ssl_keras.errors import UserError
from ssl_keras.inspection import looks, page, write
from ssl_keras.inspection.suggest import kind_of
from tests.browser import chromium
from tests.runs import run_tool

WRITTEN = {"inspection.json", "contact_sheet.png", "inspection.html", "suggested.flags"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """train and test, two classes each, with a copy on both sides, a constant image and two that cannot be read."""
    root, rng = tmp_path_factory.mktemp("data") / "images", np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 5)):
        for name in ("round", "sq<b>uare"):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                small = Image.fromarray(rng.integers(0, 255, (6, 6, 3), np.uint8))
                small.resize((40, 32)).save(root / split / name / f"{chr(97 + i)}.png")
    train = root / "train" / "round"
    (root / "test" / "round" / "copy.png").write_bytes((train / "c.png").read_bytes())
    Image.new("RGB", (40, 32), "teal").save(train / "teal.png")
    (train / "empty.jpg").write_bytes(b"")
    (train / "cut.png").write_bytes((train / "a.png").read_bytes()[:200])
    return root


@pytest.fixture(scope="module")
def inspected(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("inspected") / "out"
    done = run_tool("inspect_data", f"--data=folder:{folder}", f"--output={output}", fresh=True)
    assert not done.stderr
    return output, done.stdout


def test_it_finds_what_is_wrong(inspected):
    output, said = inspected
    assert {path.name for path in output.iterdir()} == WRITTEN
    found = json.loads((output / "inspection.json").read_text())
    assert found["training_images"] == 43 and found["test_images"] == 11 and found["looked_at"] == 54
    assert found["formats"] == {"PNG": 52} and found["sizes"]["most_frequent"] == {"32 x 40": 52}
    named = [name for row in found["unreadable"]["reasons"] for name in row["first"]]
    assert sorted(named) == ["train/round/cut.png", "train/round/empty.jpg"]
    assert found["constant"] == {"images": 1, "first": ["train/round/teal.png"]}
    assert found["duplicates"]["leakage"]["exact"]["first"] == [["test/round/copy.png", "train/round/c.png"]]
    assert found["classes"]["round"] == {"train": 23, "test": 6}
    for words in ("Mend or remove", "empty file", "Remove 1 constant image", "Split anew: 1 test image", "next: "):
        assert words in said


def test_the_page_stands_alone_and_names_cannot_break_it(inspected):
    text = (inspected[0] / "inspection.html").read_text()
    assert page.is_page(str(inspected[0] / "inspection.html")) and len(text) < 2e6
    assert not re.search(r"(src|href)=\"(?!data:)", text) and "<script" not in text
    assert "sq&lt;b&gt;uare" in text and "sq<b>uare" not in text


@pytest.mark.parametrize("scheme, width", [("light", 1280), ("dark", 400)])
def test_a_browser_shows_it(inspected, scheme, width):
    with chromium() as browser:
        context = browser.new_context(color_scheme=scheme, offline=True, viewport={"width": width, "height": 900})
        tab, asked = context.new_page(), []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(f"file://{inspected[0]}/inspection.html")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate("document.images[0].naturalWidth") > 500
        ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", ground))) > 380) == (scheme == "light")
        assert all(url.startswith(("file:", "data:")) for url in asked)


def test_the_suggested_flags_train(inspected, tmp_path):
    small = ["--backbone=resnet8", "--width=0.25", "--image_size=16", "--epochs=1", f"--workdir={tmp_path}/a"]
    run_tool("pretrain", f"--flagfile={inspected[0]}/suggested.flags", *small)
    assert (tmp_path / "a" / "encoder.keras").exists()


def test_its_own_files_are_replaced_and_no_others(folder, tmp_path):
    output, flags = tmp_path / "out", tmp_path / "my.flags"
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    request = write.Request(Config(data=f"folder:{folder}"), {}, str(output), str(flags), images=20)
    for _ in range(2):
        assert write.inspect(request)[0]["looked_at"] == 20
    assert {path.name for path in output.iterdir()} == WRITTEN - {"suggested.flags"} | {"notes.txt"}
    for path in (*(output / name for name in WRITTEN - {"suggested.flags"}), flags):
        before = path.read_bytes()
        path.write_text("mine")
        with pytest.raises(UserError, match="not written by this program"):
            write.inspect(request)
        assert path.read_text() == "mine"
        path.write_bytes(before)


def test_pictures_do_not_go_into_the_data(folder):
    request = write.Request(Config(data=f"folder:{folder}"), {}, f"{folder}/inspection")
    with pytest.raises(UserError, match="lies in the data"):
        write.inspect(request)
    assert not (folder / "inspection").exists()


@pytest.mark.parametrize(
    "data, kind, expected",
    [
        ("folder:folder_example", "color", ["--channels=3"]),
        ("folder:mednist", "gray", ["--channels=1", "--normalize=none"]),
        ("folder:hand_sr305", "holes", ["--invalid=0", "--normalize=percentile:1,99"]),
        ("folder:dicom", "measured", ["--normalize=percentile:1,99"]),
        ("folder:satellite/EuroSAT_MS", "bands", ["--channels=13", "--normalize=percentile:1,99"]),
        ("npz:pneumoniamnist/pneumoniamnist.npz", "gray", ["--normalize=none"]),
    ],
)
def test_real_images_of_each_kind(real_data, tmp_path, data, kind, expected):
    form, _, path = data.partition(":")
    output = tmp_path / "out"
    request = write.Request(Config(data=f"{form}:{real_data / path}"), {}, str(output), images=300)
    found, _ = write.inspect(request)
    assert kind_of(found["values"]) == kind
    text = (output / "suggested.flags").read_text()
    assert all(flag in text for flag in expected)
    assert sum(found["formats"].values()) + found["unreadable"]["images"] == found["looked_at"]


def test_it_says_when_the_time_was_not_enough(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "SECONDS", 0.0)
    monkeypatch.setattr(looks, "AT_ONCE", 8)
    found, _ = write.inspect(write.Request(Config(data=f"folder:{folder}"), {}, str(tmp_path / "out")))
    assert found["looked_at"] == 8 and "looked at 8 of 54, drawn at random, images" in found["looked"]
