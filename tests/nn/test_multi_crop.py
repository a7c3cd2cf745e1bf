"""Views of several sizes through one backbone."""

import numpy as np
import pytest

from ssl_keras.nn import vit
from ssl_keras.nn.backbones import build_backbone
from ssl_keras.nn.multi_crop import MultiCrop, at_size


def images(n, side):
    return np.random.default_rng(side).random((n, side, side, 3), "float32")


@pytest.mark.parametrize("name", ["resnet8", "vit_tiny"])
def test_another_size_shares_every_weight(name):
    backbone = build_backbone(name, 16, mean=0.5, std=0.25, seed=0)
    small = at_size(backbone, 8)
    assert small.input_shape == (None, 8, 8, 3) and small.output_shape == backbone.output_shape
    assert all(a is b for a, b in zip(small.weights, backbone.weights, strict=True))
    assert at_size(backbone, 16) is backbone


def test_a_resnet_for_another_size_is_the_one_built_for_it():
    small = at_size(build_backbone("resnet8", 32, seed=0, stem="cifar"), 16)
    np.testing.assert_allclose(
        small(images(2, 16)), build_backbone("resnet8", 16, seed=0, stem="cifar")(images(2, 16)), atol=1e-6
    )


def test_a_vits_positions_stretch_with_the_grid():
    backbone = build_backbone("vit_tiny", 16, patch=4, seed=0)
    embed = at_size(backbone, 8).get_layer("embed")
    projection = backbone.get_layer("embed").get_layer("patch_projection")
    x = images(2, 8)
    # Two patches where the backbone's own size has four: the first lies halfway between its patches 0 and 1.
    column, row = vit.sin_cos_positions(np.array([0.5, 2.5]), 192)
    expected = (projection(x).numpy() + column + row).reshape(2, 4, 192)
    np.testing.assert_allclose(embed(x), expected, atol=1e-5)


def test_views_come_back_in_order_with_the_statistics_of_their_size():
    backbone = build_backbone("resnet8", 16, seed=0)
    views = [images(3, 16), images(3, 16) / 2, images(3, 8), images(3, 8) / 2]
    h = MultiCrop(backbone, [16, 16, 8, 8])(*views, training=True)
    large = backbone(np.concatenate(views[:2]), training=True)
    np.testing.assert_allclose(np.concatenate(h[:2]), large, atol=1e-4)
    assert [part.shape for part in h] == [(3, 128)] * 4


@pytest.mark.parametrize("sizes", [[16], [16, 8], [8, 8]])
def test_two_large_views_are_wanted_in_front(sizes):
    with pytest.raises(ValueError, match="two of the image size 16"):
        MultiCrop(build_backbone("resnet8", 16), sizes)


def test_views_that_a_vits_patch_does_not_tile_are_refused():
    with pytest.raises(ValueError, match="use 8"):
        at_size(build_backbone("vit_tiny", 16, patch=4), 9)
