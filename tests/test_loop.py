"""The loop over steps: where it may start, how many steps it makes at once, what it takes back."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.methods import harness


def trained(**settings):
    """A method after an epoch of four steps, and the logs of that epoch."""
    method = harness.make("simclr", learning_rate=1e-3)
    history = method.fit(harness.batches(4), **settings).history
    return method, {name: values[-1] for name, values in history.items()}


@pytest.fixture(scope="module")
def plain():
    return trained()


class Seen(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.batches = []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(batch)
        self.logs = dict(logs)


def assert_same(a, b, **tolerance):
    for v, w in zip(harness.weights(a), harness.weights(b), strict=True):
        np.testing.assert_allclose(v, w, **tolerance)


def test_several_steps_at_once_are_the_same_steps(plain):
    one, logs = plain
    seen = Seen()
    many, together = trained(steps_per_execution=3, callbacks=[seen])
    assert seen.batches == [2, 3] and together == logs
    assert_same(one, many, rtol=0, atol=0)


def test_several_steps_at_once_on_two_replicas(two_replicas):
    with two_replicas.scope():
        one, many = harness.make("simclr", learning_rate=1e-3), harness.make("simclr", learning_rate=1e-3)
    logs = [m.fit(harness.batches(3), steps_per_execution=n).history for m, n in ((one, 1), (many, 3))]
    assert logs[1]["loss"] == pytest.approx(logs[0]["loss"], rel=1e-5)
    assert_same(one, many, rtol=1e-4, atol=1e-5)


def test_an_epoch_entered_in_its_middle_ends_with_the_same_means(plain):
    whole, logs = plain
    parts = harness.make("simclr", learning_rate=1e-3)

    class Leave(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parts.fit(harness.batches(4), callbacks=[Leave()])
    rest = parts.fit(harness.batches(4).skip(2), steps_per_epoch=4, start_step=2).history
    assert {name: values[-1] for name, values in rest.items()} == logs
    assert_same(whole, parts, rtol=0, atol=0)


def poisoned(steps, at):
    """Batches of float images, one of which is not finite."""

    def spoil(number, batch):
        image = tf.cast(batch["image"], tf.float32) / 255
        return {**batch, "image": tf.where(number == at, np.nan, image)}

    return harness.batches(steps).enumerate().map(spoil)


def test_a_step_that_is_not_finite_is_taken_back_and_counted():
    method = harness.make("moco", learning_rate=1e-3)
    method.fit(poisoned(1, at=-1), undo_nonfinite=True)
    before = {v.path: v.numpy() for v in (*method.weights, *method.optimizer.variables)}

    seen = Seen()
    method.fit(poisoned(1, at=0), undo_nonfinite=True, callbacks=[seen])
    assert seen.logs["skipped"] == 1
    for v in (*method.weights, *method.optimizer.variables):
        if v is method.optimizer.iterations:
            assert int(v.numpy()) == 2
        else:
            np.testing.assert_array_equal(v.numpy(), before[v.path], err_msg=v.path)
    history = method.fit(poisoned(3, at=1), undo_nonfinite=True).history
    assert np.isfinite(history["loss"][-1])


def test_finite_steps_are_the_same_with_and_without_the_guard(plain):
    unguarded, logs = plain
    guarded, also = trained(undo_nonfinite=True)
    assert also["loss"] == logs["loss"]
    assert_same(unguarded, guarded, rtol=0, atol=0)
