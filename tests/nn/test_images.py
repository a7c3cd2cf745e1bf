"""The statistics that a backbone takes away from its input."""

import keras
import numpy as np
import pytest

from ssl_keras.nn import images
from ssl_keras.nn.backbones import build_backbone

MEAN, STD = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_statistics_are_those_that_the_backbone_was_built_for(dtype):
    backbone = build_backbone("resnet8", 16, width=0.25, mean=MEAN, std=STD)
    found = images.statistics(backbone, dtype)
    assert found[0].dtype == found[1].dtype == dtype
    np.testing.assert_allclose(found, (MEAN, STD), rtol=1e-6)


def test_statistics_are_found_in_a_part_of_a_model():
    image = keras.Input((16, 16, 3))
    wrapped = keras.Model(image, build_backbone("resnet8", 16, width=0.25, mean=MEAN, std=STD)(image / 255))
    np.testing.assert_allclose(images.statistics(wrapped), (MEAN, STD), rtol=1e-6)


def test_a_backbone_without_statistics_shows_none():
    assert images.statistics(build_backbone("resnet8", 16, width=0.25)) is None
