"""The strip of operations: it shows those that a policy has, each alone, under words that fit."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import ImageFont

from ssl_keras import figures
from ssl_keras.views import policies
from tests.views.inputs import canvases


def tiles(policy, channels=3):
    """How many tiles a strip has that is wide enough for all of them."""
    strip = figures.op_strip(canvases(1, channels=channels)[0], policy, 24, width=100 * 96)
    inked = (strip < 255).any(axis=(0, 2))
    return 1 + (np.diff(np.flatnonzero(inked)) > 1).sum() if strip.shape == (strip.shape[0], 9600, 3) else 0


def test_a_strip_has_a_tile_for_every_end_of_every_operation():
    assert tiles(policies.CROP_AND_FLIP) == 1 + 4 + 1  # image, crop, flip
    assert tiles(policies.simclr()) == 6 + 8 + 1 + 2  # color jitter, grayscale, blur


STUDIED = replace(policies.CROP_AND_FLIP, crop_area=None, quarter_turn=1.0, sobel=1.0, noise=1.0, cutout=1.0)


@pytest.mark.parametrize("policy", [policies.BYOL_2, policies.PADDED_CROP, policies.EXEMPLAR, STUDIED])
@pytest.mark.parametrize("channels", [1, 5])
def test_every_operation_can_be_shown_on_any_number_of_channels(policy, channels):
    strip = figures.op_strip(canvases(1, channels=channels)[0], replace(policy, size=16), 16, width=300)
    ends = sum(len(operation.ends) for operation in figures.operations(policy, channels))
    assert strip.dtype == np.uint8 and strip.shape[1:] == (300, 3)
    assert strip.shape[0] > 96 * np.ceil((1 + ends) / 3) and ends >= 3


def test_a_strip_fills_its_width():
    image = canvases(1)[0] // 2  # no white
    for width in (196, 396, 700, 2960):
        strip = figures.op_strip(image, policies.simclr(), 24, width)
        white = (strip == 255).all(axis=2).mean()
        assert white < 0.33, width


def test_words_fit_a_tile_and_can_be_read():
    for operation in (*figures.GEOMETRY, *figures.COLOR, *figures.CHANNELS, *figures.LAST):
        lines = (operation.name, *operation.ends)
        size = figures.fitting(lines, figures.SMALLEST_TILE, 14)
        assert size >= 12, lines
        assert all(ImageFont.load_default(size).getlength(line) <= figures.SMALLEST_TILE for line in lines)


def test_long_words_take_a_smaller_font_and_long_texts_more_lines():
    assert figures.fitting(["view 1"], 40, 24) < figures.fitting(["view 1"], 80, 24) <= 24
    lines = figures.wrapped("crop and flip, color jitter (80%), grayscale (20%)", 150, 14)
    assert len(lines) > 1 and " ".join(lines).endswith("grayscale (20%)")
    assert all(ImageFont.load_default(14).getlength(line) <= 150 for line in lines)


@pytest.mark.parametrize(
    ("policy", "channels", "words"),
    [
        (policies.simclr(blur=0.0), 3, "crop and flip, color jitter (80%), grayscale (20%)"),
        (policies.BYOL_2, 3, "crop and flip, color jitter (80%), grayscale (20%), blur (10%), solarize (20%)"),
        (policies.INSTDISC_CIFAR, 3, "crop, color jitter, grayscale (20%)"),
        (policies.MOCO_V2_CIFAR, 1, "crop and flip, jitter (80%), noise (20%)"),
        (policies.PADDED_CROP, 3, "crop and flip"),
        (policies.EXEMPLAR, 3, "zoom, rotation, contrast, HSV jitter"),
        (replace(policies.CROP_AND_FLIP, flip=0.3), 3, "crop, flip (30%)"),
        (policies.pair("crop")[1], 3, ""),
    ],
)
def test_a_policy_in_words(policy, channels, words):
    assert figures.in_words(policy, channels) == words
