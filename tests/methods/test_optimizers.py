"""Optimizers that the flagfiles name take every method's gradients, a ViT's class token among them."""

import numpy as np
import pytest

from ssl_keras import optim
from tests.methods import harness


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "lars"])
def test_a_vit_learns_by_each_optimizer(optimizer):
    method = harness.make("mae")
    method.compile(optimizer=optim.build_optimizer(optimizer, 1e-3), jit_compile=False)
    assert np.isfinite(harness.train(method, harness.batches(1))["loss"])
