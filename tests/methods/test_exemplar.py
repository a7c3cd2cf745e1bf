from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.methods.exemplar import classifier_memory
from ssl_keras.views.layer import RandomViews
from tests.methods import harness

TINY = {}
SCENES = ["--learning_rate=0.006"]
TRIPLET = {"form": "triplet", "embedding_dim": 16}


def semi_hard(views, margin):
    """The triplet loss by loops, from the definition: views [V, B, d] of unit length."""
    count, batch, _ = views.shape
    losses = []
    for v in range(count):
        for i in range(batch):
            others = [np.sum((views[v, i] - views[w, j]) ** 2) for w in range(count) for j in range(batch) if j != i]
            for w in range(count):
                if w == v:
                    continue
                positive = np.sum((views[v, i] - views[w, i]) ** 2)
                farther = [d for d in others if d > positive]
                losses.append(max(0.0, margin + positive - (min(farther) if farther else max(others))))
    return np.mean(losses)


@pytest.mark.parametrize("count", [2, 3])
def test_triplet_loss_is_the_definition(count):
    method = harness.make("exemplar", **TRIPLET)
    z = np.random.default_rng(0).normal(size=(count, 6, 16))
    z[1] = z[0] + 0.8 * z[1]  # some positives are near, some far
    unit = z / np.linalg.norm(z, axis=-1, keepdims=True)
    loss = method.triplets(*tf.constant(z, tf.float32))
    assert float(loss) == pytest.approx(semi_hard(unit, 0.5), rel=1e-5)


def test_cross_entropy_is_the_definition():
    method = harness.make("exemplar")
    logits = np.random.default_rng(0).normal(size=(2, 5, 64))
    classes = np.array([3, 60, 0, 7, 7])
    expected = np.mean(np.log(np.exp(logits).sum(-1)) - logits[:, np.arange(5), classes])
    loss = method.cross_entropy(tf.constant(classes), *tf.constant(logits, tf.float32))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_the_classifier_has_a_class_for_each_image_and_the_triplet_form_none():
    classification, triplet = harness.make("exemplar"), harness.make("exemplar", **TRIPLET)
    h_dim, images = classification.backbone.output_shape[-1], harness.FACTS["num_examples"]
    assert classification.head.count_params() == classifier_memory(images, h_dim).parameters == (h_dim + 1) * images
    assert triplet.head.output_shape[-1] == triplet.z_dim == 16
    assert harness.train(classification, harness.batches(1))["chance"] == pytest.approx(1 / images)
    logs = harness.train(triplet, harness.batches(1))
    assert logs["chance"] == pytest.approx(1 / (2 * harness.BATCH - 1)) and 0 <= logs["accuracy"] <= 1


def test_memory_grows_with_the_number_of_images():
    small, large = classifier_memory(8000, 512), classifier_memory(16000, 512)
    assert large.parameters == 2 * small.parameters and large.bytes == 2 * small.bytes
    assert classifier_memory(1_281_167, 2048) == (2_625_111_183, 31_501_334_196)
    assert classifier_memory(10, 4, slots=2).bytes == 50 * 4 * 4


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [TRIPLET, {"transformations": 5}])
def test_two_replicas_equal_one_in_the_other_forms_too(arguments, two_replicas):
    one = harness.make("exemplar", learning_rate=1e-3, **arguments)
    alone = harness.train(one, harness.batches(2))
    with two_replicas.scope():
        two = harness.make("exemplar", learning_rate=1e-3, **arguments)
    together = harness.train(two, harness.batches(2))
    assert together["loss"] == pytest.approx(alone["loss"], rel=1e-4)
    for v, w in zip(one.weights, two.weights, strict=True):
        np.testing.assert_allclose(w.numpy(), v.numpy(), rtol=1e-4, atol=1e-4, err_msg=v.path)


def with_its_own_views(**arguments):
    method = harness.make("exemplar", **arguments)
    method.views = RandomViews("exemplar", harness.SIZE, jit_compile=False)
    return method


def views_at(method, batch, step):
    method.optimizer.iterations.assign(step)
    return [view.numpy() for view in method.make_views(batch)]


def test_views_are_transformations_of_the_images_seed_patch():
    """No two steps' are alike."""
    batch = next(iter(harness.batches(1)))
    method = with_its_own_views(patch=0.5)
    first, second = views_at(method, batch, 0), views_at(method, batch, 1)
    assert first[0].shape == (harness.BATCH, harness.SIZE, harness.SIZE, 3)
    for other in (first[1], second[0]):
        assert np.abs(first[0] - other).max(axis=(1, 2, 3)).min() > 0.02


@pytest.mark.parametrize("transformations", [0, 5])
def test_views_show_the_image_around_the_seed_and_no_black(transformations):
    """Of a ramp they show values from outside the seed, where they are moved, turned or zoomed out; of white, white."""
    method = with_its_own_views(patch=0.5, transformations=transformations)
    plain = [replace(view, component_gain=None, hsv_power=None) for view in method.views.views]
    method.views = RandomViews(plain, harness.SIZE, jit_compile=False)
    batch = next(iter(harness.batches(1)))
    white = {**batch, "image": tf.fill([harness.BATCH, 48, 48, 3], tf.constant(255, tf.uint8))}
    ramp = np.broadcast_to(np.arange(0, 240, 5, np.uint8)[:, None, None], [harness.BATCH, 48, 48, 3])
    seeds = method.seeds(ramp, white["size"], batch["index"])
    beyond = 0
    for step in range(4):
        for view in views_at(method, white, step):
            np.testing.assert_allclose(view, 1.0, atol=1e-5)
        for view in views_at(method, {**white, "image": ramp}, step):
            beyond += np.sum(view.min((1, 2, 3)) < (48 * seeds.top - 1) * 5 / 255 - 0.02)
    assert beyond > 8 * harness.BATCH / 4


def test_k_transformations_are_all_that_an_image_ever_has():
    batch = next(iter(harness.batches(1)))
    method = with_its_own_views(transformations=3)
    seen = [set() for _ in range(harness.BATCH)]
    for step in range(12):
        for view in views_at(method, batch, step):
            for own, image in zip(seen, view):
                own.add(np.rint(image * 1000).tobytes())
    assert {len(own) for own in seen} == {3}


def test_arguments_that_cannot_be_are_refused():
    for arguments, message in (
        ({"form": "nce"}, "classification, triplet"),
        ({"margin": 0.0}, "margin"),
        ({"form": "triplet", "embedding_dim": 2000}, "1 to 1000"),
        ({"patch": 1.5}, "fraction"),
    ):
        with pytest.raises(ValueError, match=message):
            harness.make("exemplar", **arguments)
