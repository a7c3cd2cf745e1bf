import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.methods import dense_cl
from ssl_keras.nn.backbones import build_backbone
from tests.methods import harness
from tests.methods.test_moco import info_nce, unit

TINY = {"queue_length": 32, "projection_dim": 32, "hidden_dim": 32, "bn_splits": 2}


def test_a_position_matches_the_one_with_the_most_similar_feature():
    features = unit(3, 6, 4)
    order = np.array([[5, 4, 3, 2, 1, 0], [1, 0, 3, 2, 5, 4], [0, 1, 2, 3, 4, 5]])
    keys = 7.0 * np.take_along_axis(features, np.argsort(order, axis=1)[..., None], axis=1)  # of any norm
    np.testing.assert_array_equal(dense_cl.matches(tf.constant(features), tf.constant(keys)), order)


def test_the_dense_loss_is_info_nce_of_the_matched_positions():
    method = harness.make("dense_cl", temperature=0.2)
    f_q, f_k = unit(2, 5, 9, 4)
    dense_q, dense_k = 3.0 * unit(2, 5, 9, 32, seed=1)
    match = np.argmax(f_q @ f_k.transpose(0, 2, 1), axis=2)
    positives = np.take_along_axis(dense_k, match[..., None], axis=1).reshape(-1, 32) / 3
    expected = info_nce(dense_q.reshape(-1, 32) / 3, positives, method.dense_queue.read().numpy(), 0.2)
    loss = method.dense_contrast(*map(tf.constant, (f_q, dense_q, f_k, dense_k)))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_the_whole_loss_weighs_both_and_reads_the_queues_before_they_are_filled(weight):
    method, terms = harness.make("dense_cl", dense_weight=weight), []
    queues = method.queue.read().numpy(), method.dense_queue.read().numpy()

    def recorded(of):
        def record(*given):
            terms.append(of(*given))
            return terms[-1]

        return record

    method.contrast, method.dense_contrast = recorded(method.contrast), recorded(method.dense_contrast)
    loss = float(method.train_step(next(iter(harness.batches(1))))["loss"])
    assert loss == pytest.approx((1 - weight) * float(terms[0]) + weight * float(terms[1]), rel=1e-5)
    for queue, before in zip((method.queue, method.dense_queue), queues):
        changed = np.any(queue.read().numpy() != before, axis=1)
        assert changed.sum() == harness.BATCH  # of 32 keys; these are new
        np.testing.assert_allclose(np.linalg.norm(queue.read(), axis=1), 1, atol=1e-5)


def test_the_dense_queue_holds_the_mean_dense_embedding_of_each_image():
    method = harness.make("dense_cl", bn_splits=1)
    batch = next(iter(harness.batches(1)))
    _, x_k = method.make_views(batch)
    _, _, dense_k = method.embed_keys(x_k)
    mean = np.mean(dense_k, axis=1)
    method.train_step(batch)
    np.testing.assert_allclose(
        method.dense_queue.read()[: harness.BATCH], mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5
    )


def test_the_representation_is_the_mean_of_the_map():
    method = harness.make("dense_cl")
    x = np.random.default_rng(0).uniform(size=(3, harness.SIZE, harness.SIZE, 3)).astype(np.float32)
    maps = method.feature_map(tf.constant(x), training=False)
    np.testing.assert_allclose(np.mean(maps, axis=(1, 2)), method.backbone(x, training=False), atol=1e-5)


def test_a_backbone_without_a_feature_map_is_refused():
    vit = build_backbone("vit_tiny", 16, patch=8)
    with pytest.raises(ValueError, match="must end with GlobalAveragePooling2D"):
        dense_cl.DenseCL(vit, batch_size=16, queue_length=32, bn_splits=1)


@pytest.mark.parametrize("argument", [{"dense_weight": 2.0}, {"temperature": 0.0}, {"momentum": 1.0}])
def test_an_argument_out_of_range_is_refused(argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        harness.make("dense_cl", **argument)
