"""The views' benchmark: every contestant runs, and the rows hold what they promise."""

import numpy as np
import pytest
from PIL import Image

from ssl_keras.benchmarks import pillow_views
from ssl_keras.benchmarks import views as benchmark_views
from ssl_keras.views import policies


@pytest.mark.slow
def test_rows_and_table():
    rows = benchmark_views.run_views_suite(("simclr_cifar",), (32,), rounds=2, seconds=0.05)
    (row,) = rows
    assert row["policy"] == "simclr_cifar" and row["size"] == 32
    for who in ("ours", "ours_in_step", "keras_cv", "pillow"):
        assert 0 < row[who]["low"] <= row[who]["median"] <= row[who]["high"]
    assert set(row["ratios"]) == set(row["cpu_ratios"]) == {"keras_cv", "pillow"}
    assert benchmark_views.table(rows).count("\n") == 2


@pytest.mark.parametrize("name", ["simclr", "byol", "mae"])
def test_the_pillow_yardstick_makes_views_of_the_recipe(name):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))
    for policy in policies.get(name, 24):
        view = pillow_views.make_view(image, vars(policy))
        assert view.size == (24, 24) and np.asarray(view).std() > 1
        x = pillow_views.to_tensor(view)
        assert x.shape == (3, 24, 24) and x.dtype == np.float32
        channels = np.asarray(view).transpose(2, 0, 1) / 255
        np.testing.assert_allclose(x * pillow_views.STD + pillow_views.MEAN, channels, atol=1e-5)
