"""Batches that are too small to learn from are refused in one sentence, before training."""

import re

import numpy as np
import pytest

from ssl_keras import methods
from ssl_keras.errors import UserError
from ssl_keras.nn import norm
from tests.methods import harness

# What these methods do; one that is in neither is only held to refuse a single image or to train on it.
FROM_ONE = ("dense_cl", "dino", "exemplar", "inst_disc", "mae", "memory_bank", "moco", "rotation", "supervised")
FROM_TWO = {
    "simclr": "compares",
    "nnclr": "compares",
    "end_to_end": "compares",
    "barlow_twins": "compares",
    "vicreg": "compares",
    "lejepa": "compares",
    "emp_ssl": "compares",
    "supcon": "compares",
    "swav": "compares",
    "byol": "normalizes",
    "simsiam": "normalizes",
    "simsiam_em": "normalizes",
    "context_prediction": "normalizes",
    "jigsaw": "normalizes",
}


def of_batches_of(count, name, monkeypatch, kind="batch", **arguments):
    monkeypatch.setattr(harness, "BATCH", count)
    monkeypatch.setitem(harness.FACTS, "batch_size", count)
    if name in ("moco", "end_to_end", "dense_cl"):
        arguments = {"bn_splits": 1, **arguments}
    with norm.using(kind):
        return harness.make(name, **arguments)


@pytest.mark.parametrize("name", methods.names())
def test_a_batch_of_one_is_refused_or_trains(name, monkeypatch):
    method = of_batches_of(1, name, monkeypatch)
    try:
        method.check_batch(1)
    except UserError as refusal:
        assert name not in FROM_ONE
        reason = FROM_TWO.get(name, "(compares|normalizes)")
        assert re.search(f"{name} {reason} .*at least 2", str(refusal))
        return
    assert name not in FROM_TWO
    logs = harness.train(method, harness.batches(1))
    assert np.isfinite(logs["loss"]) and logs["loss"] != 0


@pytest.mark.parametrize("name", FROM_TWO)
def test_a_batch_of_two_trains(name, monkeypatch):
    method = of_batches_of(2, name, monkeypatch)
    method.check_batch(2)
    before = method.backbone.get_layer("stem_conv").kernel.numpy()
    assert np.isfinite(harness.train(method, harness.batches(1))["loss"])
    moved = method.backbone.get_layer("stem_conv").kernel.numpy()
    assert np.all(np.isfinite(moved)) and np.any(moved != before)


@pytest.mark.parametrize("name", ["simclr", "byol", "swav", "vicreg"])
def test_pieces_of_one_image_are_refused_where_vectors_are_normalized(name):
    method = harness.make(name)
    method.micro_batch_size = 1
    with pytest.raises(ValueError, match=f"{name} normalizes .*micro_batch_size for each replica.*at least 2"):
        method.check_batch(harness.BATCH)
    method.micro_batch_size = 2
    method.check_batch(harness.BATCH)


def test_two_replicas_need_two_images_each_in_a_piece(two_replicas):
    with two_replicas.scope(), norm.using("batch", synchronized=False):
        method = harness.make("byol")
        method.micro_batch_size = 2
        with pytest.raises(ValueError, match="byol normalizes"):
            method.check_batch(harness.BATCH)
        method.micro_batch_size = None
        method.check_batch(2)  # synchronized: two images are normalized together


def test_group_normalization_takes_single_images(monkeypatch):
    method = of_batches_of(1, "byol", monkeypatch, "group")
    method.check_batch(1)
    assert np.isfinite(harness.train(method, harness.batches(1))["loss"])


def test_maps_of_one_pixel_are_vectors_too(monkeypatch):
    monkeypatch.setattr(harness, "SIZE", 1)
    method = of_batches_of(1, "supervised", monkeypatch)
    with pytest.raises(ValueError, match="supervised normalizes stem"):
        method.check_batch(1)
