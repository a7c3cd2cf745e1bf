"""What `--normalize`, `--invalid` and `--fill` become for a data set, and what is said of other values later."""

import dataclasses
import re

import numpy as np
import pytest

from ssl_keras.build.data import load, resolve
from ssl_keras.build.values import beyond, clipped, gaps_of, values_of
from ssl_keras.config import Config
from ssl_keras.data.canvases.memory import load_canvases
from ssl_keras.data.canvases.pipeline import CanvasSpec
from ssl_keras.data.source import Source
from ssl_keras.encoders.encoder import build_encoder
from ssl_keras.methods.simclr import SimCLR
from ssl_keras.nn.backbones import build_backbone

SIDE = 16


def source_of(images, name="depth"):
    channels, dtype = images.shape[-1], images.dtype.name
    return Source(name, len(images), images.__getitem__, str, arrays=(channels, dtype))


def depth(holes=0.1):
    """Distances in mm with holes, uint16 [20, 16, 16, 1]."""
    rng = np.random.default_rng(0)
    mm = rng.integers(700, 3200, (20, SIDE, SIDE, 1)).astype(np.uint16)
    mm[rng.random(mm.shape) < holes] = 0
    return mm


def resolved(images, **settings):
    return resolve(Config(data="builtin:scenes", image_size=SIDE, **settings), source_of(images), SimCLR)


def test_the_mean_that_fills_is_that_of_what_was_measured():
    images = depth()
    config, spec = resolved(images, fill="mean")
    (low, high), mm = spec.values.ranges[0], images[images > 0].astype(float)
    expected = np.clip((mm - low) / (high - low), 0, 1).mean()
    assert float(config.fill) == pytest.approx(expected, abs=1e-3)
    assert gaps_of(config).fill == (float(config.fill),) and not gaps_of(config).as_channel
    assert resolve(config, source_of(images), SimCLR)[0] == config  # as a resume and an evaluation find it


def test_images_without_holes_need_no_masks():
    assert gaps_of(resolved(depth(holes=0.0))[0]) is None
    assert gaps_of(resolved(depth())[0]) == ((0.0,), False)
    assert gaps_of(resolved(depth().astype(np.float32))[0]) == ((0.0,), False)  # NaN may come


def test_a_mark_counts_in_8_bit_images_too():
    images = (depth() // 16).astype(np.uint8)
    config, spec = resolved(images, invalid="0")
    assert values_of(config).ranges == ((0.0, 255.0),) and spec.gaps
    assert not resolved(images)[1].gaps
    with pytest.raises(ValueError, match="--invalid=0 needs a range of values: leave out --normalize=none"):
        resolved(images, invalid="0", normalize="none")


def test_a_range_of_each_image_is_kept_as_it_was_asked_for():
    config, spec = resolved(depth(), normalize="image:1,99")
    assert config.normalize == "image:1.0,99.0" and config.invalid == "0" and spec.gaps
    assert resolve(config, source_of(depth()), SimCLR) == (config, spec)
    with pytest.raises(ValueError, match="--fill=mean needs one range for all images"):
        resolved(depth(), normalize="image:1,99", fill="mean")


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda mm: mm, None),
        (lambda mm: (mm / 1000).astype(np.float32), r"on 721 to 3175.*; these are 0.7\S* to 3.1\S*: meters, and"),
        (lambda mm: mm.astype(np.float32) + 9000, r"100% of the values of depth lie at the ends"),
    ],
)
def test_values_beyond_those_of_training_are_told_of(change, said):
    config, spec = resolved(depth())
    canvases = load(source_of(depth()), spec, config)
    assert 0.01 < clipped(canvases) < 0.04
    encoder = build_encoder(
        build_backbone("resnet8", SIDE, 1, width=0.125, seed=0), "uint16", values=spec.values, clipped=clipped(canvases)
    )
    later = source_of(change(np.where(depth() == 0, 1000, depth())))
    seen = load_canvases(later, CanvasSpec.of(SIDE, 1, "uint16", spec.values))
    found = beyond(later, dataclasses.replace(config, dtype=later.arrays[1]), seen, encoder.contract)
    assert found is None if said is None else re.search(said, found), found
