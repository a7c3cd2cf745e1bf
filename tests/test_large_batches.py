"""Runs with group normalization and in micro-batches, from flags to what is shipped; memory by batch size."""

import json

import keras
import pytest

from ssl_keras.benchmarks import memory as benchmark_memory
from ssl_keras.config import Config, read_run
from ssl_keras.encoders import file
from ssl_keras.evals import run as evaluation
from ssl_keras.evals.data import Data
from tests.runs import TINY, losses, run_tool


def kinds(model):
    return {type(layer) for layer in model._flatten_layers()}


def test_a_run_with_group_norm_in_micro_batches_is_kept_judged_and_shipped(tmp_path):
    run = f"--workdir={tmp_path}/a"
    run_tool("pretrain", *TINY, run, "--norm=group", "--micro_batch_size=8", "--epochs=1")
    settings = read_run(f"{tmp_path}/a")
    assert (settings.norm, settings.micro_batch_size) == ("group", 8)
    run_tool("pretrain", *TINY, f"--workdir={tmp_path}/b", "--norm=group", "--epochs=1")
    for ours, expected in zip(losses(tmp_path / "a"), losses(tmp_path / "b"), strict=True):
        assert abs(ours - expected) < 1e-3  # rounding grows from step to step

    encoder = file.load_encoder(f"{tmp_path}/a/encoder.keras").model
    given = {"workdir": f"{tmp_path}/a"}
    request = evaluation.request_from(given, "random", "knn", 20, options={"knn": {"k": (20,)}})
    for model in (encoder, Data(request.config, request.test_examples).images_for("random").encoder.model):
        assert keras.layers.GroupNormalization in kinds(model)
        assert keras.layers.BatchNormalization not in kinds(model)
    run_tool("evaluate", run, "--eval=knn", "--knn_k=5")


def test_pieces_that_the_replicas_cannot_share_are_refused_before_training(tmp_path):
    done = run_tool(
        "pretrain", *TINY, f"--workdir={tmp_path}/a", "--strategy=mirrored", "--num_devices=2", "--micro_batch_size=1",
        status=1,
    )
    assert "multiple of the 2 replicas" in done.stderr


@pytest.mark.slow
def test_the_suite_memory_measures_each_batch_plain_and_in_pieces():
    rows = benchmark_memory.run(Config(backbone="resnet8", width=0.25, image_size=16), (16,), 8, steps=2)
    assert [(row["batch_size"], row["micro_batch_size"]) for row in rows] == [(16, None), (16, 8)]
    assert all(row["peak_bytes"] > 2**27 and row["seconds_per_image"] > 0 for row in rows), rows
    assert "micro-batches of 8" in benchmark_memory.table(rows)
    json.dumps(rows)
