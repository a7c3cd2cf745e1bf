"""The choice of normalization."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.nn import heads, norm
from ssl_keras.nn.backbones import build_backbone
from ssl_keras.nn.batch_norm import FusedBatchNormalization
from ssl_keras.nn.state import MomentumEncoder


def layers_of(*models):
    return [layer for model in models for layer in model._flatten_layers()]


@pytest.mark.parametrize(
    "channels, vector, expected",
    [(64, False, 32), (8, False, 8), (48, False, 24), (37, False, 1), (2048, True, 32), (128, True, 8), (16, True, 1)],
)
def test_groups_are_32_or_the_largest_divisor_and_never_of_one_number(channels, vector, expected):
    assert norm.groups(channels, vector) == expected


@pytest.mark.parametrize("shape", [(2, 5, 4, 64), (2, 128)])
def test_each_group_of_each_row_is_normalized(shape):
    with norm.using("group"):
        layer = norm.normalization("n", shape[-1], vector=len(shape) == 2)
    x = np.random.default_rng(0).normal(3.0, 2.0, shape).astype("float32")
    y = np.asarray(layer(x)).reshape(2, -1, layer.groups, shape[-1] // layer.groups)
    np.testing.assert_allclose(y.mean((1, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((1, 3)), 1, rtol=1e-3)


def test_a_rows_embedding_depends_on_that_row_alone():
    with norm.using("group"):
        backbone = build_backbone("resnet8", 16, 3, width=0.5, seed=0)
        head = heads.simclr_projector(64, 3, 64, 32)
    target = MomentumEncoder(backbone, head)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers_of(backbone, head, target))
    x = tf.constant(np.random.default_rng(0).uniform(size=(6, 16, 16, 3)), tf.float32)
    for embed in (lambda x: head(backbone(x, training=True), training=True), target):
        together = embed(x)
        np.testing.assert_allclose(embed(x[2:3]), together[2:3], rtol=1e-4, atol=1e-5)
        assert float(tf.reduce_min(tf.math.reduce_std(together, axis=0))) > 1e-3  # and on it, it does


def test_the_choice_ends_with_its_block_and_on_errors():
    with pytest.raises(RuntimeError), norm.using("group"):
        raise RuntimeError
    assert isinstance(norm.normalization("n", 8), FusedBatchNormalization)


def test_unknown_norms_are_refused():
    with pytest.raises(ValueError, match="batch, group"), norm.using("layer"):
        pass
