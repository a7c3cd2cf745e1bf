import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_curve

from ssl_keras.evals import outliers
from ssl_keras.evals import run as evaluation
from ssl_keras.evals.features import Features
from ssl_keras.scores import neighbors
from tests.evals.judge import judged
from tests.evals.test_linear import features


def apart(seed, n, classes=4, d=8):
    """Classes in directions of their own."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) % classes).astype(np.int32)
    return Features((10 * np.eye(d)[labels] + rng.normal(size=(n, d))).astype(np.float32), labels)


def asked(named, encoder="pixels", **options):
    (row,) = evaluation.evaluate(
        evaluation.request_from({"data": named}, encoder, "outliers", None, options={"outliers": options})
    )
    return row


def test_the_two_numbers_are_those_of_sklearn():
    rng = np.random.default_rng(0)
    for shift in (0.0, 1.0, 3.0):
        near, far = rng.normal(size=237), rng.normal(shift, 2, size=100)
        auroc, rate = outliers.separation(near, far)
        # sklearn calls positive what has a high score: inliers, whose distance is small
        false, true, _ = roc_curve(np.repeat([1, 0], [237, 100]), -np.concatenate([near, far]), drop_intermediate=False)
        assert auroc == pytest.approx(np.trapezoid(true, false))
        assert rate == pytest.approx(false[np.flatnonzero(true >= 0.95)[0]])
    assert outliers.separation(np.arange(10), np.arange(10) + 20) == (1.0, 0.0)
    assert outliers.separation(np.zeros(10), np.zeros(10)) == (0.5, 1.0)


def test_classes_in_places_of_their_own_are_told_apart():
    found = judged(outliers, apart(0, 400), apart(1, 200))
    assert found["auroc"] > 0.999 and found["fpr95"] < 0.01 and found["k"] == 50
    assert found["classes_held_out"] == 4 and found["range"]["auroc"][0] > 0.99


def test_noise_tells_nothing_apart():
    found = judged(outliers, features(0, 2000, 0.0), features(1, 2000, 0.0))
    assert found["auroc"] == pytest.approx(0.5, abs=0.03) and found["fpr95"] == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize("k", [1, 7, 50])
def test_each_class_is_scored_as_if_its_images_had_never_been_there(k):
    train, test = features(0, 150, 2.0), features(1, 120, 2.0)
    found = judged(outliers, train, test, k=k)
    scores = []
    for label in range(4):
        bank = train.x[train.labels != label]
        distances = -neighbors.nearest(test.x, bank, k)[0][:, -1]
        scores.append(outliers.separation(distances[test.labels != label], distances[test.labels == label]))
    assert (found["auroc"], found["fpr95"]) == pytest.approx(tuple(np.mean(scores, axis=0)))
    assert found["range"]["auroc"] == pytest.approx([min(scores)[0], max(scores)[0]])


def test_k_is_cut_to_the_smallest_bank_and_unknown_classes_are_left_out():
    train, test = apart(0, 40), apart(1, 40)
    found = judged(outliers, train, test, k=1000)
    assert found["k"] == 30
    x = np.concatenate([test.x, -test.x])
    more = Features(x, np.concatenate([test.labels, np.full(40, 9, np.int32)]))
    assert judged(outliers, train, more, k=1000)["auroc"] == found["auroc"]


def test_what_cannot_be_scored_is_said_in_words():
    train, test = apart(0, 40, classes=2), apart(1, 40, classes=2)
    with pytest.raises(ValueError, match=r"cannot be held out.*--outliers_data=folder:PATH"):
        judged(outliers, train, test)
    without = Features(train.x, np.full(40, -1, np.int32))
    with pytest.raises(ValueError, match=r"no labels.*--outliers_data=folder:PATH"):
        judged(outliers, without, without)
    with pytest.raises(ValueError, match="only features here, no encoder"):
        judged(outliers, train, test, data="builtin:scenes:20")
    with pytest.raises(ValueError, match="--outliers_k must be at least 1"):
        outliers.Options(k=0)


def test_another_folder_lies_farther_than_the_test_images(tmp_path):
    """Each image is black with one bright column, of whatever size: few of its pixels are those of a scene."""
    for i in range(12):
        image = np.zeros((40, 60, 3), np.uint8)
        image[:, 12 + 3 * i : 15 + 3 * i] = 255
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    found = asked("builtin:scenes:200", data=f"folder:{tmp_path}", examples=10)
    assert found["auroc"] > 0.9 and found["outlier_examples"] == 10 and found["outliers"] == f"folder:{tmp_path}"
    assert found["k"] == 50 and "range" not in found


def test_the_same_images_are_no_outliers():
    """The other data's test images are taken where it has some: here those of the data itself."""
    found = asked("builtin:scenes:200", data="builtin:scenes:200", examples=0)
    assert found["auroc"] == pytest.approx(0.5) and found["outlier_examples"] == 50


def test_other_channels_are_refused(tmp_path):
    np.save(tmp_path / "five.npy", np.zeros((9, 16, 16, 5), np.uint8))
    found = asked("builtin:scenes:60", data=f"npy:{tmp_path}/five.npy")
    assert found["top1"] is None and "5 channels, the encoder takes 3" in found["error"]
    assert "unknown data" in asked("builtin:scenes:60", data="nothing:here")["error"]
