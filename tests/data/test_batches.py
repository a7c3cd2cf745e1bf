"""The order of an epoch, and batches in it."""

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.data.canvases.batches import eval_batches, steps_per_epoch, train_batches
from ssl_keras.data.canvases.memory import Canvases, CanvasSpec
from ssl_keras.data.canvases.order import epoch_order, own_part


def numbered(n):
    """Canvases whose every pixel is their number."""
    images = np.arange(n, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    sizes = np.stack([np.arange(n), 2 * np.arange(n)], 1).astype(np.float32)
    labels = (np.arange(n) % 3).astype(np.int32)
    return Canvases(CanvasSpec(4), images, sizes, labels, np.arange(n, dtype=np.int64), [])


def test_order_depends_on_seed_and_epoch_alone():
    order = epoch_order(0, 5, 50)
    np.testing.assert_array_equal(order, epoch_order(0, 5, 50))
    np.testing.assert_array_equal(np.sort(order), np.arange(50))
    assert order.dtype == np.int64
    for other in (epoch_order(1, 5, 50), epoch_order(0, 6, 50), epoch_order(5, 0, 50)):
        assert (order != other).any()


def test_rows_of_a_batch_belong_together():
    batches = list(train_batches(numbered(23), 5, seed=1, steps=3 * 4).as_numpy_iterator())
    assert len(batches) == 3 * (23 // 5)
    for batch in batches:
        number = batch["index"]
        assert (batch["image"] == number[:, None, None, None]).all()
        np.testing.assert_array_equal(batch["size"], np.stack([number, 2 * number], 1))
        np.testing.assert_array_equal(batch["label"], number % 3)


def test_each_index_at_most_once_an_epoch_and_epochs_differ():
    seen = np.array([batch["index"] for batch in train_batches(numbered(20), 5, 0, steps=8).as_numpy_iterator()])
    one, two = seen[:4].ravel(), seen[4:].ravel()
    assert len(set(one)) == len(set(two)) == 20 and (one != two).any()


def test_resumed_batches_are_the_ones_that_would_have_come():
    canvases = numbered(17)
    whole = [batch["index"] for batch in train_batches(canvases, 4, seed=2, steps=12).as_numpy_iterator()]
    for start in (1, 4, 7):  # within an epoch, and at its beginning
        rest = train_batches(canvases, 4, seed=2, start_step=start, steps=12 - start)
        np.testing.assert_array_equal(whole[start:], [batch["index"] for batch in rest.as_numpy_iterator()])


@pytest.mark.parametrize("count", [2, 4])
def test_workers_share_a_batch_by_rows(count):
    canvases = numbered(27)
    whole = list(train_batches(canvases, 8, seed=2, start_step=2, steps=5).as_numpy_iterator())
    parts = [
        list(train_batches(canvases, 8, seed=2, start_step=2, steps=5, shard=(i, count)).as_numpy_iterator())
        for i in range(count)
    ]
    for step, batch in enumerate(whole):
        for key in batch:
            np.testing.assert_array_equal(batch[key], np.concatenate([part[step][key] for part in parts]))


def test_every_image_is_one_workers():
    parts = [own_part(np.random.default_rng(0).permutation(29), 8, (i, 4)) for i in range(4)]
    assert np.sort(np.concatenate(parts)).tolist() == list(range(29))
    assert {len(part) for part in parts} == {7, 8}


@pytest.mark.parametrize(
    "shard, message",
    [((0, 3), "batch size 8 .*multiple of 3, such as --batch_size=9"), ((2, 2), "index from 0 to count - 1")],
)
def test_impossible_shards_are_refused(shard, message):
    with pytest.raises(ValueError, match=message):
        train_batches(numbered(16), 8, seed=0, shard=shard)


def test_cardinality_and_static_shapes():
    endless = train_batches(numbered(9), 4, seed=0)
    assert endless.cardinality() == tf.data.INFINITE_CARDINALITY
    assert train_batches(numbered(9), 4, seed=0, steps=6).cardinality() == 6
    assert {key: (spec.shape.as_list(), spec.dtype) for key, spec in endless.element_spec.items()} == {
        "image": ([4, 4, 4, 3], tf.uint8),
        "size": ([4, 2], tf.float32),
        "index": ([4], tf.int64),
        "label": ([4], tf.int32),
    }


def test_evaluation_goes_through_all_in_order():
    batches = list(eval_batches(numbered(10), 4).as_numpy_iterator())
    assert [len(batch["index"]) for batch in batches] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([batch["index"] for batch in batches]), np.arange(10))


def test_batch_larger_than_the_data_is_refused():
    assert steps_per_epoch(numbered(9), 4) == 2
    with pytest.raises(ValueError, match="batch size 10 is larger than the data, 9 images: use --batch_size=9"):
        train_batches(numbered(9), 10, seed=0)


def test_replicas_share_a_batch_by_rows(two_replicas):
    dataset = train_batches(numbered(16), 8, seed=0, steps=2)
    expected = [batch["index"].reshape(2, 4) for batch in dataset.as_numpy_iterator()]
    found = [
        np.stack([value.numpy() for value in two_replicas.experimental_local_results(batch["index"])])
        for batch in two_replicas.experimental_distribute_dataset(dataset)
    ]
    np.testing.assert_array_equal(found, expected)
