import numpy as np
import pytest
import tensorflow as tf

from tests.methods import harness

TINY = {"hidden_dim": 32, "projection_dim": 16}


def test_loss_is_equation_1_over_all_other_views_of_the_batch():
    method = harness.make("simclr", temperature=0.3)
    z1, z2 = np.random.default_rng(0).normal(size=(2, 6, 16)).astype(np.float32)
    z = np.concatenate([z1, z2]).astype(float)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    terms = []
    for i in range(12):
        others = [k for k in range(12) if k != i]  # not itself, whose similarity would be the largest
        positive = (i + 6) % 12
        terms.append(-np.log(np.exp(z[i] @ z[positive] / 0.3) / np.sum(np.exp(z[others] @ z[i] / 0.3))))
    assert float(method.contrast(z1, z2)) == pytest.approx(np.mean(terms), rel=1e-5)


def test_a_vanishing_temperature_leaves_no_loss_where_views_agree_and_images_differ():
    """A pair of an anchor with itself, were it counted, would leave log 2."""
    z = tf.constant(np.eye(8, 16, dtype=np.float32))
    assert float(harness.make("simclr", temperature=0.01).contrast(z, z)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("layers, output", [(0, 128), (1, 16), (2, 16), (3, 16)])
def test_head_of_each_depth(layers, output):
    method = harness.make("simclr", head_layers=layers)
    kinds = [type(layer).__name__ for layer in method.projector.layers]
    assert kinds.count("Dense") == layers and kinds.count("ReLU") == max(layers - 1, 0)
    assert method.projector.output_shape[-1] == output == method.z_dim
    assert np.isfinite(harness.train(method, harness.batches(1))["loss"])


def test_without_a_head_the_representation_itself_is_compared():
    method = harness.make("simclr", head_layers=0)
    x = tf.random.uniform([4, harness.SIZE, harness.SIZE, 3])
    z1, _ = method.project(x, x)
    np.testing.assert_allclose(z1, method.backbone(tf.concat([x, x], 0), training=True)[:4], rtol=1e-5, atol=1e-6)


def test_hidden_layers_are_as_wide_as_the_representation_unless_told():
    widths = [harness.make("simclr", hidden_dim=dim).projector.layers[0].units for dim in (0, 24)]
    assert widths == [128, 24]


def test_loss_starts_near_that_of_chance():
    """Among 2B - 1 candidates of equal similarity, the cross-entropy is log(2B - 1)."""
    method = harness.make("simclr", learning_rate=0.0, temperature=100.0)
    assert harness.train(method, harness.batches(1))["loss"] == pytest.approx(np.log(2 * harness.BATCH - 1), rel=1e-2)


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match="temperature"):
        harness.make("simclr", temperature=0.0)


def test_the_released_codes_loss_is_twice_the_papers():
    z = np.random.default_rng(0).normal(size=(2, 6, 32)).astype(np.float32)
    paper, code = (harness.make("simclr", loss_scale=scale).contrast(*z) for scale in (1.0, 2.0))
    assert float(code) == pytest.approx(2 * float(paper), rel=1e-6)
