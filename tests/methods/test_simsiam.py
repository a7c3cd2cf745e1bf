import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.training.spread import even_z_std
from tests.methods import harness

TINY = {"projection_dim": 64, "predictor_dim": 16}
# As flags/scenes/simclr.flags: color says nothing about the scenes' classes, and the run is short.
SCENES = [
    "--view_arg=crop_area=(0.25,1.0)",
    "--view_arg=hue=0.4",
    "--view_arg=grayscale=0.5",
    "--optimizer=muon",
    "--learning_rate=0.004",
    "--momentum=0.95",
    "--beta_2=0.95",
    "--weight_decay=0",
    "--epochs=30",  # slow on short schedules
]


def embeddings(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 5, 64)).astype(np.float32)


def minus_cosine(p, z):
    return -np.mean(np.sum(p * z, axis=1) / np.linalg.norm(p, axis=1) / np.linalg.norm(z, axis=1))


def minus_softmax_log_softmax(p, z):
    log_p, log_z = (x - np.log(np.sum(np.exp(x), axis=1, keepdims=True)) for x in (p.astype(float), z.astype(float)))
    return -np.mean(np.sum(np.exp(log_z) * log_p, axis=1))


@pytest.mark.parametrize("similarity, d", [("cosine", minus_cosine), ("cross_entropy", minus_softmax_log_softmax)])
def test_loss_is_the_papers_in_each_symmetry(similarity, d):
    eight = embeddings(8)
    z1, p1, z2, p2, _, p3, z4, _ = eight
    expected = {
        "symmetric": d(p1, z2) / 2 + d(p2, z1) / 2,
        "asymmetric": d(p1, z2),
        "asymmetric_2x": d(p1, z2) / 2 + d(p3, z4) / 2,
    }
    for symmetry, value in expected.items():
        method = harness.make("simsiam", similarity=similarity, symmetry=symmetry)
        given = eight if symmetry == "asymmetric_2x" else eight[:4]
        assert float(method.siamese_loss(*given)) == pytest.approx(value, rel=1e-5)


def test_the_target_gets_no_gradient_unless_asked():
    p, z = (tf.Variable(x) for x in embeddings(2))
    for stop in (True, False):
        for similarity in ("cosine", "cross_entropy"):
            method = harness.make("simsiam", stop_gradient=stop, similarity=similarity)
            with tf.GradientTape() as tape:
                loss = method.distance(p, z)
            assert (tape.gradient(loss, z) is None) is stop


def test_asymmetric_2x_takes_a_second_pair_of_other_views():
    (batch,) = harness.batches(1)
    views = harness.make("simsiam", symmetry="asymmetric_2x").make_views(batch)
    assert len(views) == 4
    assert all(np.any(views[i] != views[j]) for i in range(4) for j in range(i))
    for ours, symmetric in zip(views[:2], harness.make("simsiam").make_views(batch), strict=True):
        np.testing.assert_array_equal(ours, symmetric)


def normalised(head):
    """After which linear layers of a head a batch norm follows."""
    kinds = [type(layer).__name__ for layer in head.layers]
    return ["Batch" in following for kind, following in zip(kinds, [*kinds[1:], ""], strict=True) if kind == "Dense"]


@pytest.mark.parametrize(
    "batch_norm, projector, predictor",
    [
        ("none", [False, False, False], [False, False]),
        ("hidden", [True, True, False], [True, False]),
        ("default", [True, True, True], [True, False]),
        ("all", [True, True, True], [True, True]),
    ],
)
def test_batch_norm_of_the_heads_as_in_table_3(batch_norm, projector, predictor):
    method = harness.make("simsiam", batch_norm=batch_norm)
    assert normalised(method.projector) == projector
    assert normalised(method.predictor) == predictor
    assert np.isfinite(harness.train(method, harness.batches(1))["loss"])


def test_a_fixed_predictor_stays_and_normalises_by_its_batch():
    method = harness.make("simsiam", predictor="fixed")
    before = {v.path: v.numpy() for v in method.predictor.weights}
    z = tf.constant(embeddings(1)[0] + 100)
    hidden = method.predictor.layers[1](method.predictor.layers[0](z), training=True)
    np.testing.assert_allclose(np.mean(hidden, axis=0), 0, atol=1e-4)
    harness.train(method, harness.batches(1))
    for variable in method.predictor.weights:
        assert np.any(variable.numpy() != before[variable.path]) == ("moving_" in variable.path), variable.path
    assert not any("predictor" in v.path for v in method.trainable_variables)


def test_without_predictor_z_is_compared_itself():
    method = harness.make("simsiam", predictor="none")
    z1, p1, *_ = method.project_and_predict(*method.make_views(next(iter(harness.batches(1)))))
    np.testing.assert_array_equal(z1, p1)
    assert not any("predictor" in v.path for v in method.weights)
    assert np.isfinite(harness.train(method, harness.batches(1))["loss"])


def test_a_trained_predictors_rate_stays_unless_asked():
    assert harness.make("simsiam").constant_lr == ("predictor",)
    assert harness.make("simsiam", predictor_lr="decayed").constant_lr == ()
    assert harness.make("simsiam", predictor="fixed").constant_lr == ()
    assert harness.make("simsiam", predictor="none").constant_lr == ()


@pytest.mark.parametrize("name", ["predictor", "predictor_lr", "batch_norm", "similarity", "symmetry"])
def test_an_unknown_choice_is_refused_with_the_known_ones(name):
    with pytest.raises(ValueError, match=f"{name} must be one of .*, got 'other'"):
        harness.make("simsiam", **{name: "other"})


@pytest.mark.slow
def test_without_stop_gradient_or_predictor_the_projections_collapse():
    spread, loss = {}, {}
    for name, arguments in {
        "simsiam": {},
        "no stop-gradient": {"stop_gradient": False},
        "no predictor": {"predictor": "none"},
        "fixed predictor": {"predictor": "fixed"},
    }.items():
        method = harness.make("simsiam", learning_rate=1.0, **arguments)
        for epoch in range(20):
            logs = harness.train(method, harness.batches(20, seed=epoch), traced=True)
        spread[name], loss[name] = logs["z_std"] / even_z_std(64), logs["loss"]
    print(spread, loss)
    assert spread["simsiam"] > 0.5
    assert spread["no stop-gradient"] < 0.25 and spread["no predictor"] < 0.25
    assert loss["no stop-gradient"] < -0.95 and loss["no predictor"] < -0.95
