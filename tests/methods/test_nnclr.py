import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import chunked_loss, losses
from ssl_keras.methods.nnclr import nearest
from tests.methods import harness

TINY = {"projection_dim": 16, "projector_dim": 32, "predictor_dim": 32, "queue_length": 32}
# As flags/scenes/simclr.flags: color says nothing about the scenes' classes, and the run is short.
SCENES = [
    "--view_arg=crop_area=(0.25,1.0)",
    "--view_arg=hue=0.4",
    "--view_arg=grayscale=0.5",
    "--method_arg=queue_length=4096",
    "--learning_rate=0.006",
    "--weight_decay=0",
]


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_loss_is_the_contrast_of_neighbours_with_predictions():
    method = harness.make("nnclr", temperature=0.3)
    z1, p1, z2, p2 = np.random.default_rng(0).normal(size=(4, 7, 16)).astype(np.float32)
    queue = method.queue.read().numpy()

    def one_direction(z, p):
        total = 0.0
        for i in range(len(z)):
            neighbour = min(queue, key=lambda key: np.linalg.norm(unit(z[i]) - key))  # section 3.2 of the paper
            similarities = np.exp(unit(p) @ neighbour / 0.3)
            total -= np.log(similarities[i] / similarities.sum())
        return total / len(z)

    expected = (one_direction(z1, p2) + one_direction(z2, p1)) / 2
    assert float(method.contrast(z1, p1, z2, p2)) == pytest.approx(expected, rel=1e-5)


def test_the_neighbour_is_the_key_of_the_largest_cosine_and_gets_no_gradient():
    keys = tf.constant(np.eye(4, dtype=np.float32))
    z = tf.Variable([[0.1, 9.0, 3.0, 0.0], [-5.0, -0.1, -0.2, -1.0]])
    with tf.GradientTape() as tape:
        found = nearest(z, keys)
    np.testing.assert_array_equal(found, keys.numpy()[[1, 1]])
    assert tape.gradient(found, z) is None


@pytest.mark.parametrize("chunk", [1, 40, 100])
def test_neighbours_are_the_same_when_sought_some_rows_at_a_time(chunk, monkeypatch):
    rng = np.random.default_rng(0)
    z, keys = (tf.constant(rng.normal(size=shape), tf.float32) for shape in ((7, 5), (20, 5)))
    keys = losses.l2_normalize(keys)
    expected = nearest(z, keys)
    monkeypatch.setattr(chunked_loss, "CHUNK", chunk)
    np.testing.assert_array_equal(nearest(z, keys), expected)


def test_the_queue_takes_the_first_views_projections_after_the_loss_has_read_it():
    method = harness.make("nnclr", learning_rate=0.0)
    before = method.queue.read().numpy()
    (batch,) = harness.batches(1)
    z1, p1, z2, p2 = method.project_and_predict(*method.make_views(batch))
    expected = float(method.contrast(z1, p1, z2, p2))  # with the random directions that the queue starts with
    assert harness.train(method, harness.batches(1))["loss"] == pytest.approx(expected, rel=1e-4)
    after = method.queue.read().numpy()
    np.testing.assert_allclose(after[: harness.BATCH], unit(z1.numpy()), atol=1e-4)
    np.testing.assert_array_equal(after[harness.BATCH :], before[harness.BATCH :])


def test_gradient_reaches_the_projections_through_the_predictor_alone():
    method = harness.make("nnclr")
    z1, p1, z2, p2 = (tf.Variable(x) for x in np.random.default_rng(0).normal(size=(4, 5, 16)).astype(np.float32))
    with tf.GradientTape() as tape:
        loss = method.contrast(z1, p1, z2, p2)
    gradients = tape.gradient(loss, [z1, z2, p1, p2])
    assert gradients[0] is None and gradients[1] is None
    assert all(np.any(g.numpy()) for g in gradients[2:])


def test_heads_are_the_papers():
    method = harness.make("nnclr")
    layers = [type(layer).__name__.replace("Fused", "") for layer in method.projector.layers]
    assert layers == ["Dense", "BatchNormalization", "ReLU"] * 2 + ["Dense", "BatchNormalization"]
    assert [type(layer).__name__ for layer in method.predictor.layers][-1] == "Dense"


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="temperature"):
        harness.make("nnclr", temperature=0.0)
    with pytest.raises(ValueError, match="multiple of the batch size"):
        harness.make("nnclr", queue_length=harness.BATCH + 1)
