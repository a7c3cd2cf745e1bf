import numpy as np
import pytest
import tensorflow as tf

from tests.methods import harness

TINY = {"negatives": 32, "projection_dim": 32}
SCENES = [
    "--view_arg=crop_area=(0.25,1.0)",
    "--view_arg=hue=0.4",
    "--view_arg=grayscale=0.5",
    "--method_arg=negatives=1024",
    "--method_arg=temperature=0.2",
    "--epochs=30",  # an entry is as old as its image's last visit: slow at first
    "--learning_rate=0.006",
    "--weight_decay=0",
]


def test_loss_is_info_nce_against_the_own_entry_and_the_drawn_others():
    method = harness.make("memory_bank", temperature=0.2)
    rng = np.random.default_rng(0)
    q = rng.normal(size=(5, 32)).astype(np.float32)
    index, drawn = np.arange(5), rng.integers(0, 64, 32)
    drawn[:2] = 3  # image 3's own entry, twice: no negatives of its own, but of the others
    bank = method.bank.read().numpy()
    terms = []
    for i in range(5):
        positive = np.exp(q[i] @ bank[i] / 0.2)
        negatives = np.exp(bank[drawn[drawn != i]] @ q[i] / 0.2)
        terms.append(-np.log(positive / (positive + negatives.sum())))
    assert float(method.contrast(tf.constant(q), index, drawn)) == pytest.approx(np.mean(terms), rel=1e-5)


def test_negatives_change_with_the_step_and_cover_the_data():
    method = harness.make("memory_bank", negatives=2000)
    first = method.draw_negatives(tf.int64).numpy()
    assert first.min() == 0 and first.max() == 63
    method.optimizer.iterations.assign_add(1)
    assert np.any(method.draw_negatives(tf.int64).numpy() != first)


def test_entries_of_the_batch_move_by_the_momentum_and_others_stay():
    method = harness.make("memory_bank", learning_rate=0.0, bank_momentum=0.75)
    before = method.bank.read().numpy()
    (q,) = method.embed(*method.make_views(next(iter(harness.batches(1)))))
    harness.train(method, harness.batches(1))
    moved = 0.75 * before[:16] + 0.25 * q.numpy()
    after = method.bank.read().numpy()
    np.testing.assert_allclose(after[:16], moved / np.linalg.norm(moved, axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_array_equal(after[16:], before[16:])


@pytest.mark.parametrize("arguments", [{"temperature": 0.0}, {"bank_momentum": 1.0}, {"negatives": 0}])
def test_impossible_settings_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        harness.make("memory_bank", **arguments)
