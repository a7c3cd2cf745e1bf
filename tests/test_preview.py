"""The picture of views: every view where its heading says, little white, whatever the number of views and sizes."""

import numpy as np
import pytest
from PIL import Image, ImageFont

from ssl_keras import figures, preview
from ssl_keras.data.canvases.memory import Canvases
from ssl_keras.data.canvases.pipeline import CanvasSpec
from ssl_keras.views import policies
from ssl_keras.views.layer import RandomViews
from tests.views import inputs

SIDE = 32
# Recipe -> the widths of its columns in tiles: 1 view, 2 views, 2 large and 6 small ones.
RECIPES = {"rotation_cifar": (1,), "simclr_cifar": (1, 1), "swav": (1, 1, 0.5, 0.5, 0.5)}


def canvases(count=3, channels=3):
    images = inputs.canvases(count, SIDE, channels) // 2  # no white
    sizes, spec = np.full((count, 2), SIDE, np.float32), CanvasSpec(SIDE, channels, "uint8")
    return Canvases(spec, images, sizes, np.full(count, -1, np.int32), np.arange(count), [])


def random_views(name, **changes):
    return RandomViews(policies.get(name, SIDE, **changes), SIDE, jit_compile=False)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("draws", [1, 3])
def test_a_picture_is_tight_and_its_headings_fit(name, draws, tmp_path):
    views = random_views(name)
    preview.save_views_png(str(tmp_path / "views.png"), views, canvases(), images=3, draws=draws)
    assert preview.is_preview(str(tmp_path / "views.png"))
    pixels = np.asarray(Image.open(tmp_path / "views.png"))
    assert (pixels == 255).all(axis=2).mean() < 0.33

    widths, headings = preview.widths(views.views, draws), preview.headings(views.views, draws)
    assert sum(widths) + figures.GAP * (len(widths) - 1) == pixels.shape[1]
    assert widths[1:] == [96 if share == 1 else 46 for share in RECIPES[name]] * draws
    font = ImageFont.load_default(preview.font_size(views.views, draws))
    assert font.size >= 12 and len(headings) == len(widths)
    for lines, width in zip(headings, widths):
        assert lines[1] and all(font.getlength(line) <= width for line in lines)


def test_a_grid_shows_the_images_and_every_view_of_every_draw():
    views, shown = random_views("swav"), canvases()
    grid = preview.views_grid(views, shown, images=2, draws=2)()
    assert grid.shape == (2 * 96 + 4, 5 * 100 + 6 * 50 - 4, 3) and grid.dtype == np.uint8
    originals = shown.sample(2)
    np.testing.assert_array_equal(grid[1:96:3, 1:96:3], shown.images[0])  # a whole factor: pixels as they are
    left = 100
    for step in range(2):
        made = [view.numpy() for view in views(originals, shown.sizes[[0, 2]], step=step)]
        for large in made[:2]:
            np.testing.assert_array_equal(grid[100:, left : left + 96], figures.tile(large[1], 96))
            left += 100
        for upper, lower in zip(made[2::2], made[3::2]):
            np.testing.assert_array_equal(grid[100:146, left : left + 46], figures.tile(upper[1], 46))
            np.testing.assert_array_equal(grid[150:, left : left + 46], figures.tile(lower[1], 46))
            left += 50


def test_small_crops_stand_in_pairs_and_an_odd_one_alone():
    assert preview.columns(policies.get("dino", 224)) == [(0,), (1,), (2, 3), (4, 5), (6, 7), (8, 9)]
    assert preview.columns(policies.get("dino", 224)[:5]) == [(0,), (1,), (2, 3), (4,)]
    assert preview.columns(policies.get("byol", 224)) == [(0,), (1,)]


@pytest.mark.parametrize("side", [8, 28, 64, 75, 224, 225])
def test_an_image_of_any_size_fills_its_tile(side):
    views = RandomViews(policies.get("mae", side), side, jit_compile=False)
    grid = preview.views_grid(views, canvases(), images=1, draws=1)()
    assert grid.shape[0] >= 96 and grid.shape[1] == 2 * grid.shape[0] + figures.GAP
    assert (grid == 255).all(axis=2).mean() < figures.GAP / 96


def test_images_of_one_channel_and_of_many_can_be_shown():
    for channels in (1, 2, 5):
        grid = preview.views_grid(random_views("simclr_cifar"), canvases(channels=channels), images=1, draws=1)()
        original = canvases(channels=channels).images[0]
        expected = original[..., :3] if channels > 2 else np.repeat(original[..., :1], 3, axis=2)
        np.testing.assert_array_equal(grid[1:96:3, 1:96:3], expected)
