"""Labels from a CSV file."""

import numpy as np
import pytest
from PIL import Image

from ssl_keras.data import labels
from ssl_keras.data.sources import open_source
from ssl_keras.errors import UserError

COUNT = 40


@pytest.fixture
def folder(tmp_path):
    """Images of ten patients, without classes."""
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        place = tmp_path / "images" / f"patient_{number // 4}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)).save(place / f"{number:02d}.png")
    return tmp_path / "images"


def table(folder, lines, header="path,label"):
    path = folder.parent / "labels.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return str(path)


def lines(numbers=range(COUNT)):
    return [f"patient_{i // 4}/{i:02d}.png,{('healthy', 'ill')[i % 2]}" for i in numbers]


def test_a_csv_gives_the_labels_by_the_end_of_the_path(folder):
    source = labels.from_csv(open_source(f"folder:{folder}"), table(folder, lines(range(30))))
    assert source.class_names == ("healthy", "ill")
    for i in range(COUNT):
        number = int(source.describe(i)[-6:-4])
        assert source.labels[i] == (number % 2 if number < 30 else -1)
    whole = [f"{folder}/{line}" for line in lines()]
    assert (labels.from_csv(source, table(folder, whole)).labels >= 0).all()


@pytest.mark.parametrize(
    "text, header, words",
    [
        (lines([1, 2]), "file,label", "no column path: its first line must name the columns path and label"),
        (lines([1, 2]), "path,class", "no column label"),
        (["patient_0/99.png,ill", "x.png,ill"], "path,label", "names 2 files that .* not have, of 2: patient_0/99"),
        ([], "path,label", "names no images"),
        (["patient_0/00.png,"], "path,label", "line 2: a path and a label are needed"),
        (["patient_0/00.png,ill", "patient_0/00.png,healthy"], "path,label", "two labels"),
    ],
)
def test_mistakes_in_a_csv_are_named(folder, text, header, words):
    with pytest.raises(UserError, match=words):
        labels.from_csv(open_source(f"folder:{folder}"), table(folder, text, header))


def test_a_csv_that_is_not_there_or_no_text(folder, tmp_path):
    source = open_source(f"folder:{folder}")
    with pytest.raises(UserError, match="cannot be read"):
        labels.from_csv(source, str(tmp_path / "none.csv"))
    (tmp_path / "bad.csv").write_bytes(b"path,label\n\xff\xfe,1\n")
    with pytest.raises(UserError, match="cannot be read"):
        labels.from_csv(source, str(tmp_path / "bad.csv"))


def test_a_name_that_two_images_have_is_not_guessed(folder):
    (folder / "other").mkdir()
    (folder / "patient_0" / "00.png").rename(folder / "other" / "01.png")
    with pytest.raises(UserError, match="names 2 images"):
        labels.from_csv(open_source(f"folder:{folder}"), table(folder, ["01.png,ill"]))
