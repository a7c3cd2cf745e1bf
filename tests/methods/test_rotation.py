import numpy as np
import pytest
import tensorflow as tf

from tests.methods import harness

TINY = {}
BACKBONE = {"name": "resnet4", "width": 0.25}  # to a single convolution an image looks alike from all sides
SCENES = [  # scenes hardly tell what is up: turned objects, only light and ground
    "--epochs=15",
    "--optimizer=muon",
    "--learning_rate=0.004",
    "--momentum=0.95",
    "--beta_2=0.95",
    "--weight_decay=0.01",
    "--schedule=cosine",
    "--nesterov=false",
]


@pytest.mark.parametrize("rotations, first_angle", [(4, 0), (2, 0), (2, 90), (8, 0)])
def test_every_set_of_rotations_trains_beside_its_chance(rotations, first_angle):
    method = harness.make("rotation", rotations=rotations, first_angle=first_angle)
    logs = harness.train(method, harness.batches(1))
    assert np.isfinite(logs["loss"]) and 0 <= logs["accuracy"] <= 1
    assert logs["chance"] == pytest.approx(1 / rotations)


def test_all_rotations_of_an_image_are_in_the_batch_after_one_crop():
    method, seen = harness.make("rotation"), []
    method.classify = lambda turned: seen.append(turned) or type(method).classify(method, turned)
    batch = next(iter(harness.batches(1)))
    method.train_step(batch)
    (turned,), (view,) = seen, method.views(batch["image"], batch["size"], step=0)
    assert turned.shape == (harness.BATCH, 4, harness.SIZE, harness.SIZE, 3)  # 4 B images in one pass
    for k in range(4):
        np.testing.assert_array_equal(turned[:, k], np.rot90(view, k, axes=(1, 2)))


def test_loss_is_the_papers_equation_3():
    """The mean over images and rotations of -log of the probability of the angle that was applied."""
    method = harness.make("rotation", learning_rate=0.0)
    logits = np.random.default_rng(0).normal(size=(harness.BATCH, 4, 4)).astype(np.float32)
    method.classify = lambda turned: (tf.constant(logits) + 0.0 * method.classifier.kernel[0, 0],)
    loss = method.train_step(next(iter(harness.batches(1))))["loss"]
    log_sum = np.log(np.exp(logits).sum(axis=-1))
    expected = np.mean(log_sum - np.diagonal(logits, axis1=1, axis2=2))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_rotations_of_what_has_an_up_are_learned():
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 90, (16, 16, 16, 3))
    images[:, :8] += 160  # the sky
    batch = {
        "image": tf.constant(images.astype(np.uint8)),
        "size": tf.fill([16, 2], 16.0),
        "index": tf.range(16, dtype=tf.int64),
        "label": tf.zeros([16], tf.int32),
    }
    method = harness.make("rotation")
    data = tf.data.Dataset.from_tensors(batch).repeat(30)
    harness.train(method, data, traced=True)
    assert harness.train(method, data, traced=True)["accuracy"] > 0.9


def test_other_rotations_are_refused():
    with pytest.raises(ValueError, match="rotations must be 2, 4 or 8"):
        harness.make("rotation", rotations=6)
