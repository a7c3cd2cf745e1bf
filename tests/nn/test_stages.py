import keras
import numpy as np
import pytest

from ssl_keras.encoders import stages
from ssl_keras.encoders.encoder import build_encoder
from ssl_keras.nn.backbones import build_backbone


def images(size=16):
    return np.random.default_rng(0).uniform(size=(2, size, size, 3)).astype(np.float32)


def test_a_resnet_is_cut_after_each_stage():
    backbone = build_backbone("resnet8", 16, width=0.25, mean=0.4, std=0.2, seed=0)
    assert stages.names(backbone) == ["stage1", "stage2", "stage3"]
    for stage, channels in zip(stages.names(backbone), (8, 16, 32)):
        inside = keras.Model(backbone.input, backbone.get_layer(stage).output)
        expected = np.mean(inside(images(), training=False), axis=(1, 2))
        found = stages.cut(backbone, stage)(images(), training=False)
        assert found.shape == (2, channels)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found, backbone(images(), training=False), rtol=1e-5, atol=1e-6)


def test_a_shipped_encoder_is_cut_with_its_scaling():
    backbone = build_backbone("resnet8", 16, width=0.25, seed=0)
    encoder = build_encoder(backbone, "uint8").model
    assert stages.names(encoder) == stages.names(backbone)
    np.testing.assert_allclose(
        stages.cut(encoder, "stage2")(images() * 255, training=False),
        stages.cut(backbone, "stage2")(images(), training=False),
        rtol=1e-4,
        atol=1e-5,
    )


def test_a_vit_is_cut_after_each_block(tmp_path):
    encoder = build_encoder(build_backbone("vit_tiny", 16, patch=8, seed=0, mean=0.4), "uint8").model
    assert stages.names(encoder) == [f"block{i}" for i in range(1, 13)]
    short = stages.cut(encoder, "block1")
    assert short(images() * 255, training=False).shape == (2, 192)
    assert short.count_params() < encoder.count_params() / 6
    short.save(tmp_path / "short.keras")
    again = keras.saving.load_model(tmp_path / "short.keras")
    np.testing.assert_allclose(again(images()), short(images()), rtol=1e-5, atol=1e-6)


def test_an_unknown_stage_is_refused_with_the_known_ones():
    backbone = build_backbone("resnet8", 16, width=0.25)
    assert stages.cut(backbone, stages.WHOLE) is backbone
    with pytest.raises(ValueError, match=r"no stage 'stage9'.*stage1, stage2, stage3, representation"):
        stages.cut(backbone, "stage9")
