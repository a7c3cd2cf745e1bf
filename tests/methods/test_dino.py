import inspect
import sys

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import optim
from ssl_keras.methods.dino import projection_head
from ssl_keras.nn import vit
from tests.methods import harness, test_every_method

VIEWS = "dino*3"
TINY = {"hidden_dim": 32, "bottleneck_dim": 16, "prototypes": 32, "momentum": 0.5, "freeze_epochs": 0.0}
SCENES = [
    "--view_arg=crop_area=(0.25,1.0)",
    "--view_arg=hue=0.4",
    "--view_arg=grayscale=0.5",
    "--method_arg=hidden_dim=512",
    "--method_arg=prototypes=1024",
    "--method_arg=momentum=0.96",
    "--epochs=20",  # the first targets are a random network's: slow at first
]


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def outputs(views, b=6, k=32, seed=0):
    return list(np.random.default_rng(seed).uniform(-1, 1, (views, b, k)).astype(np.float32))


def test_loss_is_the_papers_equation():
    method = harness.make("dino")
    center = np.linspace(-0.2, 0.2, 32).astype(np.float32)
    method.center.mean.assign(center)
    teacher, student = outputs(2), outputs(4, seed=1)
    terms = [
        -np.mean(np.sum(softmax((teacher[i] - center) / 0.05) * np.log(softmax(student[v] / 0.1)), axis=1))
        for i in range(2)
        for v in range(4)
        if v != i
    ]
    loss = method.cross_entropy(list(map(tf.constant, teacher)), list(map(tf.constant, student)), 0.05)
    assert float(loss) == pytest.approx(np.mean(terms), rel=1e-5)


def test_the_centre_moves_after_the_loss_by_a_tenth_of_the_teachers_mean():
    method = harness.make("dino", learning_rate=0.0)
    batch = next(iter(harness.batches(1)))
    views = method.make_views(batch)
    teacher = method.teach(*views[:2])
    loss_before = method.cross_entropy(teacher, method.compare(*views)[1:], method.temperature_at(0.0))
    logs = harness.train(method, harness.batches(1))
    assert logs["loss"] == pytest.approx(float(loss_before), rel=1e-5)
    np.testing.assert_allclose(method.center.mean.numpy(), 0.1 * np.mean(np.concatenate(teacher), axis=0), atol=1e-6)


def test_the_teacher_is_shipped_and_follows_the_student():
    method = harness.make("dino", momentum=0.9)
    before = [v.numpy() for v in method.encoder.trainable_variables + method.encoder.non_trainable_variables]
    assert method.encoder is not method.backbone and len(before) == len(method.backbone.weights)
    start = method.target.models[0].get_layer("stem_conv").kernel.numpy()
    harness.train(method, harness.batches(1))
    student = method.backbone.get_layer("stem_conv").kernel.numpy()
    moved = method.encoder.get_layer("stem_conv").kernel.numpy()
    np.testing.assert_allclose(moved, 0.9 * start + 0.1 * student, atol=1e-6)


def test_the_teachers_momentum_rises_to_one_along_half_a_cosine():
    method = harness.make("dino", momentum=0.9, learning_rate=0.0)
    student, teacher = (net.get_layer("stem_conv").kernel for net in (method.backbone, method.encoder))
    student.assign_add(tf.ones_like(student))
    train_step, batch = tf.function(method.train_step, autograph=False), next(iter(harness.batches(1)))
    for step in (0, 3, 5, 10):
        method.optimizer.iterations.assign(step)
        before = teacher.numpy()
        train_step(batch)
        share = 0.1 * (np.cos(np.pi * step / harness.FACTS["total_steps"]) + 1) / 2
        np.testing.assert_allclose(teacher.numpy(), before + share * (student.numpy() - before), atol=1e-6)


@pytest.fixture(scope="module")
def with_a_vit():
    """The method on a ViT, while these tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vit.ARCHITECTURES, "vit_one_block", vit.Architecture(32, 1, 2))
        patch.setattr(sys.modules[__name__], "BACKBONE", {"name": "vit_one_block", "patch": 4}, raising=False)
        practiced = test_every_method.practice("dino")
        assert practiced.method.backbone.name == "vit_one_block"
        yield practiced


@pytest.mark.parametrize(
    "holds",
    [
        test_every_method.test_every_trainable_weight_moves_and_no_frozen_one_but_statistics,
        pytest.param(test_every_method.test_two_replicas_equal_one, marks=pytest.mark.slow),
        test_every_method.test_restored_state_makes_the_next_step_identical,
        test_every_method.test_the_shipped_encoder_gives_the_trained_representation,
    ],
)
def test_what_holds_for_every_method_holds_with_a_vit(holds, with_a_vit, request):
    known = {"name": "dino", "practiced": with_a_vit}
    wanted = inspect.signature(holds).parameters
    holds(**{fixture: known.get(fixture) or request.getfixturevalue(fixture) for fixture in wanted})


@pytest.mark.parametrize("norm_last_layer", [True, False])
def test_the_optimizer_leaves_the_last_layer_alone_at_first(norm_last_layer):
    method = harness.make("dino", freeze_epochs=0.5, norm_last_layer=norm_last_layer)  # two steps
    method.compile(optimizer=optim.build_optimizer("adamw", 1e-3, 0.1, held=method.held), jit_compile=False)
    last = method.prototypes.trainable_variables
    assert len(last) == (1 if norm_last_layer else 2)
    before = [v.numpy() for v in last]
    slots = [v for v in method.optimizer.variables if "prototypes" in v.path]
    assert len(slots) == 2 * len(last)
    harness.train(method, harness.batches(2))
    for variable, value in zip(last, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert not any(np.any(slot) for slot in slots)
    harness.train(method, harness.batches(1))
    for variable, value in zip(last, before, strict=True):
        step = np.abs(variable.numpy() - value * (1 - 1e-3 * 0.1)).max()
        assert 0 < step <= 1.05e-3, variable.path


def test_the_teacher_follows_the_learned_lengths():
    method = harness.make("dino", norm_last_layer=False, momentum=0.5)
    harness.train(method, harness.batches(1))
    student, teacher = method.prototypes.lengths.numpy(), method.target.models[2].layers[-1].lengths.numpy()
    assert np.any(student != 1)
    np.testing.assert_allclose(teacher, (1 + student) / 2, rtol=1e-6)


def test_the_heads_weights_start_as_the_released_codes():
    """A normal distribution of deviation 0.02; Keras's truncated one has 0.0176."""
    head = projection_head(256, 512, 256)
    for layer in head.layers:
        for kernel in layer.get_weights()[:1]:
            assert kernel.std() == pytest.approx(0.02, rel=0.01)
            assert np.abs(kernel).max() > 0.06
            assert not np.any(layer.get_weights()[1])


def test_the_teachers_temperature_rises_linearly_and_stays():
    method = harness.make("dino", teacher_warmup=0.4)  # four of ten steps
    temperatures = [float(method.temperature_at(float(step))) for step in (0, 2, 4, 9)]
    np.testing.assert_allclose(temperatures, [0.04, 0.055, 0.07, 0.07], rtol=1e-5)


@pytest.mark.parametrize("option", [{"student_temperature": 0.0}, {"teacher_temperature": -1.0}, {"momentum": 1.5}])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        harness.make("dino", **option)
