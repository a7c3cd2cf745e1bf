import numpy as np
import pytest

from tests.methods import harness


@pytest.mark.parametrize("layers, output", [(0, 32), (1, 128), (2, 128), (3, 128)])
def test_head_of_each_depth(layers, output):
    method = harness.make("simclr", head_layers=layers)
    assert method.projector.output_shape[-1] == output == method.z_dim
    assert np.isfinite(harness.train(method, harness.batches(1))["loss"])


def test_loss_starts_near_that_of_chance():
    """Among 2B - 1 candidates of equal similarity, the cross-entropy is log(2B - 1)."""
    method = harness.make("simclr", learning_rate=0.0, temperature=100.0)
    assert harness.train(method, harness.batches(1))["loss"] == pytest.approx(np.log(2 * harness.BATCH - 1), rel=1e-2)


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match="temperature"):
        harness.make("simclr", temperature=0.0)
