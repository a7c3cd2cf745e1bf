"""The doctor: every kind of trouble is named once, in words, and a healthy run is left alone."""

import json
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.config import Config
from ssl_keras.training.doctor import CollapsedError, Doctor
from ssl_keras.training.health import Health
from ssl_keras.training.signs import SIGNS, Case
from tests.methods import harness
from tests.runs import TINY, run_tool

CASE = Case(images=512, dimension=128, z_dim=64, chance_loss=6.0)
HEALTHY = {"loss": 3.0, "z_std": 0.12, "effective_rank": 40.0}


def history(*changes, healthy=2):
    lines = [HEALTHY] * healthy + [HEALTHY | change for change in changes]
    return [{"epoch": number, **line} for number, line in enumerate(lines, 1)]


def told(case, lines, healing=1, **settings):
    """The remarks of epochs that come one after another."""
    said, seen = [], []
    doctor = Doctor(case, seen, said.append, healing=healing, **settings)
    for number, line in enumerate(lines):
        seen.append(line)
        doctor.on_epoch_end(number, line)
    assert list(doctor.remarks.values()) == said
    assert Doctor(case, lines, healing=healing).remarks == doctor.remarks  # a resumed run knows the same
    return said


PRETEXT = {"accuracy": 0.95, "chance": 0.25}
TROUBLES = [
    ("complete collapse", CASE, [{"z_std": 0.02}] * 3),
    ("complete collapse", CASE, [{"effective_rank": 1.1}] * 3),
    ("dimensional collapse", CASE, [{"effective_rank": 5.0}] * 3),
    ("dimensional collapse", CASE, [{"effective_rank": 13.0}] * 3),  # a third of its best
    ("uniform codes", CASE, [{"code_entropy": 0.99, "code_divergence": 0.001}] * 3),
    ("one code", CASE, [{"mean_code_entropy": 0.3}] * 3),
    ("dead prototypes", CASE, [{"prototypes_used": 0.05}] * 3),
    ("stuck at chance", CASE, [{"loss": 5.99}] * 3),
    ("stuck at chance", CASE, [{"accuracy": 0.26, "chance": 0.25}] * 3),
    ("dead predictor", CASE, [{"predictor_cosine": 1.0}] * 3),
    ("stale queue", Case(512, 128, queue_age=100, momentum=0.9), [{}] * 3),
    ("teacher behind", CASE, [{"knn_top1": 0.4, "knn_student_top1": 0.5}] * 5),
    ("shortcut", Case(512, 128), [PRETEXT | {"knn_top1": 0.3}] * 3),
    ("saturated loss", CASE, [{"loss": 0.01}] * 3),
]


@pytest.mark.parametrize("name, case, changes", TROUBLES)
def test_each_trouble_is_named_once_with_a_remedy(name, case, changes):
    (remark,) = told(case, history(*changes))
    assert remark.startswith(f"{name.upper()} (epoch ") and "unknown" not in remark.partition("effective rank")[0]
    remedy = next(sign.remedy for sign in SIGNS if sign.name == name)
    assert remark.endswith(remedy) and ("--" in remedy)


def test_all_signs_are_tried_here():
    assert {name for name, *_ in TROUBLES} == {sign.name for sign in SIGNS}


def test_a_healthy_run_and_a_single_bad_epoch_are_left_alone():
    assert told(CASE, history({}, {}, {}, {"z_std": 0.01}, {}, {"z_std": 0.01})) == []
    assert told(Case(512, 128, queue_age=16, momentum=0.99), history({}, {})) == []
    rising = history(*({"prototypes_used": used} for used in (0.04, 0.055, 0.09, 0.15)), healthy=0)
    assert told(CASE, rising) == []  # DINO on the built-in scenes, from random weights
    spreading = history(*({"z_std": 0.0098 * 1.04**epoch} for epoch in range(6)), healthy=0)
    assert told(CASE, spreading) == []  # SupCon there
    losses = (1.4502, 1.3938, 1.3892, 1.3849, 1.3862)
    moving = history(*({"accuracy": 0.26, "chance": 0.25, "loss": loss} for loss in losses), healthy=0)
    assert told(CASE, moving) == []  # Rotation there
    labeled = Case(512, 128, 64, labels=True)
    assert told(labeled, history({"effective_rank": 9.0}, {"effective_rank": 9.0})) == []  # classes: few directions
    assert told(CASE, history({"knn_top1": 0.4, "knn_student_top1": 0.5})) == []


def test_the_warm_up_is_not_judged():
    lines = history(*[{"z_std": 0.01}] * 3, healthy=0)
    assert told(CASE, lines, healing=3) == []
    assert len(told(CASE, lines, healing=1)) == 1


def test_a_collapse_ends_the_run_where_asked_and_other_trouble_does_not():
    with pytest.raises(CollapsedError, match="stopped, as --stop_on_collapse asks: COMPLETE COLLAPSE"):
        told(CASE, history(*[{"z_std": 0.01}] * 3), stop=True)
    assert len(told(CASE, history(*[{"loss": 5.99}] * 3), stop=True)) == 1


def test_a_run_that_collapses_says_so_and_ends_where_asked(tmp_path):
    settings = [flag for flag in TINY if not flag.startswith(("--epochs", "--learning_rate"))]
    settings += ["--method=simsiam", "--method_arg=predictor=none", "--epochs=60", "--learning_rate=3"]
    settings += ["--optimizer=sgd", "--schedule=constant", "--method_arg=projection_dim=32", "--views=simclr_cifar"]
    workdir = tmp_path / "a"
    done = run_tool("pretrain", *settings, f"--workdir={workdir}", "--stop_on_collapse", status=1)
    assert "error: stopped, as --stop_on_collapse asks: " in done.stderr
    assert "COLLAPSE (epoch " in done.stderr and not (workdir / "summary.json").exists()
    epochs = len((workdir / "metrics.jsonl").read_text().splitlines())
    assert 2 < epochs < 60


def test_a_stale_queue_is_in_the_summary_and_in_tensorboard(tmp_path):
    arguments = ("queue_length=96", "momentum=0.0", "bn_splits=1")
    settings = ["--method=moco", *(f"--method_arg={argument}" for argument in arguments)]
    done = run_tool("pretrain", *TINY, *settings, "--epochs=3", f"--workdir={tmp_path}/a")
    (remark,) = [r for r in json.loads((tmp_path / "a/summary.json").read_text())["remarks"] if "QUEUE" in r]
    assert "keys stay in the queue for 3 steps" in remark and remark in done.stderr
    events = b"".join(file.read_bytes() for file in (tmp_path / "a/tensorboard").glob("events*"))
    assert b"STALE QUEUE" in events and b"similarities/positives" in events


def test_a_healthy_run_has_no_remark(finished):
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["remarks"] == [] and summary["machine"]["cores"] >= 1 and summary["machine"]["processor"]
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert all({"rankme", "uniformity", "alignment", "feature_norm"} <= set(line) for line in lines)


def views(count=16, seed=0):
    images = next(iter(harness.batches(1, seed)))["image"]
    return [tf.cast(images[:count], tf.float32) / 255] * 2


def flat(layer):
    """Sets all weights of a layer to 0."""
    for variable in layer.weights:
        variable.assign(tf.zeros_like(variable))


def test_codes_of_prototypes_that_say_nothing_are_uniform():
    method = harness.make("swav")
    healthy = method.signs(*views())
    flat(method.prototypes)
    found = method.signs(*views())
    assert healthy["code_entropy"] < 0.9999 < found["code_entropy"]
    assert abs(found["code_divergence"]) < 1e-4 and healthy["code_divergence"] > 0.01


def test_a_teacher_that_says_the_same_of_all_has_one_code():
    method = harness.make("dino")
    healthy = method.signs(*views())
    method.center.mean.assign(tf.one_hot(0, method.prototypes.count) * -100.0)  # what centering would have taken away
    found = method.signs(*views())
    assert found["mean_code_entropy"] < min(0.1, healthy["mean_code_entropy"]) and found["code_entropy"] < 0.1
    assert found["prototypes_used"] == 1 / min(16, method.prototypes.count)


@pytest.mark.parametrize("name", ["byol", "simsiam"])
def test_a_predictor_that_is_the_identity_is_dead(name):
    method = harness.make(name)
    assert method.signs(*views())["predictor_cosine"] < 0.99
    method.predictor = keras.layers.Identity()
    assert method.signs(*views())["predictor_cosine"] > 0.9999


@pytest.mark.parametrize("name", ["simclr", "moco", "end_to_end", "swav", "dino"])
def test_chance_is_the_loss_of_a_network_that_says_nothing(name):
    method = harness.make(name)
    for model in {"simclr": ["projector"], "moco": ["projector", "target"], "end_to_end": ["projector"]}.get(name, []):
        flat(getattr(method, model))
    if name in ("swav", "dino"):
        flat(method.prototypes)
        if name == "dino":
            flat(method.target)
    method.optimizer.learning_rate = 0.0
    logs = harness.train(method, harness.batches(1))
    assert logs["loss"] == pytest.approx(method.chance_loss(harness.BATCH), rel=0.01)


def test_momentum_encoders_tell_how_far_they_are():
    method = harness.make("moco")
    assert method.target.distance() == 0
    before = [tf.identity(v) for v in method.backbone.trainable_variables]
    harness.train(method, harness.batches(1))
    assert 0 < method.target.distance() < 1 and before


def test_health_looks_at_two_views():
    method = harness.make("simclr")
    batch = next(iter(harness.batches(1)))
    health, logs = Health(np.asarray(views()[0]), (batch["image"], batch["size"])), {}
    health.set_model(method)
    health.on_epoch_end(0, logs)
    assert 0 <= logs["alignment"] <= 4 and logs["effective_rank"] > 1
    assert health.similarities["positives"].shape == (16,) and health.similarities["negatives"].shape == (16 * 15,)
    assert 2 - 2 * health.similarities["positives"].mean() == pytest.approx(logs["alignment"], abs=1e-5)


def test_no_recipe_has_a_stale_queue():
    """Of the flagfiles with a queue and a momentum."""
    for path in pathlib.Path("flags").rglob("moco*.flags"):
        text = path.read_text()
        found = {name: re.findall(rf"^--method_arg={name}=(\S+)", text, re.M) for name in ("queue_length", "momentum")}
        if all(found.values()):
            batch = int((re.findall(r"^--batch_size=(\d+)", text, re.M) or [Config().batch_size])[-1])
            age = int(found["queue_length"][-1]) / batch
            case = Case(512, 128, queue_age=age, momentum=float(found["momentum"][-1]))
            assert told(case, history({}, {})) == [], path
