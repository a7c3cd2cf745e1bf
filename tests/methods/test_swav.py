import numpy as np
import pytest
import tensorflow as tf

from tests.methods import harness
from tests.nn.test_prototypes import cosines, plain_sinkhorn

VIEWS = "swav*3"
TINY = {
    "hidden_dim": 32,
    "projection_dim": 16,
    "prototypes": 32,
    "queue_length": 32,
    "queue_start": 0.0,
    "freeze_epochs": 0.0,
}
SCENES = [
    "--view_arg=crop_area=(0.25,1.0)",
    "--view_arg=hue=0.4",
    "--view_arg=grayscale=0.5",
    "--method_arg=hidden_dim=512",
    "--method_arg=prototypes=256",
    "--method_arg=queue_length=1280",
]


def log_softmax(x):
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("queue", [False, True])
def test_loss_is_the_papers_equation(queue):
    scores = [cosines(b=16, k=6, seed=v) for v in range(4)]
    remembered = [cosines(b=32, k=6, seed=v) for v in (10, 11)] if queue else []
    terms = []
    for i in range(2):
        everything = np.concatenate([scores[i], remembered[i]]) if queue else scores[i]
        q = plain_sinkhorn(everything, 0.05, 3)[:16]
        terms += [-np.mean(np.sum(q * log_softmax(scores[v] / 0.1), axis=1)) for v in range(4) if v != i]
    loss = harness.make("swav").swapped_prediction(list(map(tf.constant, scores)), remembered, tf.constant(True))
    assert float(loss) == pytest.approx(np.mean(terms), rel=1e-5)


def test_before_its_start_the_queue_does_not_count():
    scores = [tf.constant(cosines(b=16, k=6, seed=v)) for v in range(2)]
    remembered = [cosines(b=32, k=6, seed=v) for v in (10, 11)]
    method = harness.make("swav")
    unused = method.swapped_prediction(scores, remembered, tf.constant(False))
    assert float(unused) == pytest.approx(float(method.swapped_prediction(scores, [], None)), rel=1e-6)


def test_the_queue_holds_the_large_views_features():
    method = harness.make("swav")
    harness.train(method, harness.batches(1))
    for queue in method.queues:
        assert int(queue.position) == harness.BATCH
        np.testing.assert_allclose(np.linalg.norm(queue.read(), axis=1), 1, atol=1e-5)
    assert np.any(method.queues[0].read() != method.queues[1].read())


def test_the_queue_counts_once_it_is_full():
    """As in the released code, whose queue starts as zeros and counts when its last row is another one."""
    method = harness.make("swav", queue_start=0.1)  # step 1 of 10; the queue holds two batches
    counted, prediction = [], method.swapped_prediction

    def record(scores, remembered, use_queue):
        counted.append(bool(use_queue))
        return prediction(scores, remembered, use_queue)

    method.swapped_prediction = record
    random = [queue.read().numpy() for queue in method.queues]
    for batch in harness.batches(4):
        method.train_step(batch)
        if counted[-1]:
            assert not any(np.any(queue.read().numpy() == old) for queue, old in zip(method.queues, random))
    assert counted == [False, False, False, True]


def test_prototypes_are_held_still_at_first():
    method = harness.make("swav", freeze_epochs=0.5)  # two steps
    method.prototypes.normalize()
    before = method.prototypes.directions.numpy()
    harness.train(method, harness.batches(2))
    np.testing.assert_allclose(method.prototypes.directions.numpy(), before, atol=1e-6)
    harness.train(method, harness.batches(1))
    assert np.abs(method.prototypes.directions.numpy() - before).max() > 1e-4


def test_without_a_queue():
    method = harness.make("swav", queue_length=0)
    assert np.isfinite(harness.train(method, harness.batches(1))["loss"])
    assert not method.queues


@pytest.mark.parametrize(
    "option",
    [{"temperature": 0.0}, {"epsilon": 0.0}, {"prototypes": 0}, {"sinkhorn_iterations": 0}, {"queue_start": 2.0}],
)
def test_options_that_make_no_loss_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        harness.make("swav", **option)


def test_a_queue_that_batches_do_not_fill_evenly_is_refused():
    with pytest.raises(ValueError, match="use 32"):
        harness.make("swav", queue_length=40)
