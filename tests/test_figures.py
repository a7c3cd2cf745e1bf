"""The strip of operations: it shows those that a policy has, each alone."""

import numpy as np

from ssl_keras import figures
from ssl_keras.views import policies
from tests.views.inputs import canvases


def tiles(strip):
    return (strip.shape[1] + figures.GAP) // (96 + figures.GAP)


def test_a_strip_has_a_tile_for_every_end_of_every_operation(tmp_path):
    image = canvases(1)[0]
    crop_and_flip = figures.op_strip(image, policies.CROP_AND_FLIP, 24)
    assert tiles(crop_and_flip) == 1 + 2 + 2 + 1  # image, crop, aspect, flip
    simclr = figures.op_strip(image, policies.simclr(), 24)
    assert tiles(simclr) == tiles(crop_and_flip) + 2 + 4 * 2 + 1  # blur, jitter, grayscale
    assert simclr.dtype == np.uint8
    figures.save_png(simclr, tmp_path / "strip.png")
    assert (tmp_path / "strip.png").stat().st_size > 1000


def test_every_recipe_can_be_shown_and_gray_images_too():
    for recipe in policies.POLICIES.values():
        for policy in set(recipe):
            assert tiles(figures.op_strip(canvases(1, channels=1)[0], policy, 24)) >= 2
