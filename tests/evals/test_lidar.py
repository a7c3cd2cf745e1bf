import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.data.canvases.memory import Canvases, CanvasSpec
from ssl_keras.evals import lidar
from ssl_keras.evals import run as evaluation
from ssl_keras.evals.subject import Encoding, Subject
from ssl_keras.scores import spectrum
from ssl_keras.views import policies


def subject(images, encode, recipe="mae"):
    n, size = images.shape[:2]
    whole = np.full((n, 2), size, np.float32)
    spec = CanvasSpec(size, images.shape[-1], "uint8")
    canvases = Canvases(spec, images, whole, np.full(n, -1, np.int32), np.arange(n), [])
    encoding = Encoding(encode, size, "center")
    return Subject(None, None, (canvases, canvases), 0, lambda: encoding, policies.get(recipe, size))


def mean_color(x):
    return tf.reduce_mean(x, axis=(1, 2)) - 0.5


def found(given, **options):
    lidar_row, alignment = lidar.evaluate(given, lidar.Options(**options))
    assert (lidar_row.metric, alignment.metric) == ("lidar", "alignment")
    return lidar_row.value, alignment.value


def plain(n=300, seed=0):
    """Images of one color each."""
    colors = np.random.default_rng(seed).integers(0, 256, (n, 1, 1, 3), np.uint8)
    return np.broadcast_to(colors, (n, 16, 16, 3)).copy()


def test_what_views_leave_alone_tells_images_apart():
    rank, alignment = found(subject(plain(), mean_color), views=4)  # crops and flips do not change the color
    assert rank == pytest.approx(3, abs=0.05) and alignment < 1e-9


def test_what_views_change_counts_less():
    def two(x):  # the color, and a number of the view alone, a hundred times as large
        return tf.concat([mean_color(x), 100 * tf.random.stateless_normal([tf.shape(x)[0], 1], [1, 2])], axis=1)

    rank, alignment = found(subject(plain(), two), views=8)
    assert rank < 3.2 and alignment < 2


def test_the_numbers_are_those_of_the_same_views_whatever_the_batch(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)
    given = subject(images, lambda x: tf.reshape(x, [-1, 768])[:, :20])
    whole = lidar._features(given, given.views[0], lidar.Options(views=3))
    assert whole.shape == (40, 3, 20) and len(np.unique(whole.reshape(120, 20), axis=0)) == 120
    assert found(given, views=3) == (spectrum.lidar(whole), spectrum.alignment(whole[:, 0], whole[:, 1]))
    assert found(given, views=3) == found(given, views=3)  # the same bytes
    monkeypatch.setattr(lidar, "BATCH", 16)  # the last batch is short
    assert lidar._features(given, given.views[0], lidar.Options(views=3)).shape == whole.shape


def test_one_image_and_features_alone_are_refused():
    with pytest.raises(ValueError, match="two at least, and there is one"):
        found(subject(plain(1), mean_color), views=2)
    with pytest.raises(ValueError, match="only features here"):
        found(Subject(lambda: None))
    with pytest.raises(ValueError, match="not finite"):
        found(subject(plain(8), lambda x: mean_color(x) / 0.0), views=2)


def test_encoders_and_pixels_are_judged_by_the_views_of_the_run(finished):
    request = evaluation.request_from(
        {"workdir": str(finished)}, "run,random,pixels", "lidar", None, options={"lidar": {"images": 60, "views": 4}}
    )
    rows = evaluation.evaluate(request)
    assert [row["encoder"] for row in rows] == ["run", "random", "pixels"]
    assert all("error" not in row and 1 <= row["lidar"] <= row["dimension"] for row in rows)
    assert rows[0]["images"] == 60 and rows[0]["recipe"] == "that of the run"
