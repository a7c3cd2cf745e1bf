import numpy as np
import pytest
import tensorflow as tf

from tests.methods import harness

TINY = {"negatives": 8, "projection_dim": 32}
SCENES = [
    "--view_arg=crop_area=(0.25,1.0)",
    "--view_arg=hue=0.4",
    "--view_arg=grayscale=0.5",
    "--optimizer=adamw",
    "--schedule=cosine",
    "--view_arg=flip=0.5",
    "--method_arg=temperature=0.2",
    "--epochs=30",  # an entry is as old as its image's last visit: slow at first
    "--learning_rate=0.006",
    "--weight_decay=0",
]


def features(seed=0, rows=6):
    """Unit features of the first images, and a method's bank as NumPy sees it."""
    f = np.random.default_rng(seed).normal(size=(rows, TINY["projection_dim"])).astype(np.float32)
    return f / np.linalg.norm(f, axis=1, keepdims=True), np.arange(rows)[::-1].astype(np.int64) * 7


def test_full_softmax_is_equation_3():
    method = harness.make("inst_disc", negatives=0, temperature=0.2)
    f, index = features()
    logits = f @ method.bank.read().numpy().T / 0.2
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.mean(np.log(p[np.arange(6), index]))
    assert float(method.discriminate(tf.constant(f), index, None)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dense", [True, False])
def test_noise_contrast_is_equation_7(dense):
    method = harness.make("inst_disc", temperature=0.2)
    assert method.dense
    method.dense = dense
    f, index = features()
    noise = np.random.default_rng(1).integers(0, 64, (6, 8))
    n, m, bank = 64, 8, method.bank.read().numpy()
    data = np.exp(np.sum(f * bank[index], axis=1) / 0.2)
    drawn = np.exp(np.einsum("bd,bmd->bm", f, bank[noise]) / 0.2)
    z = n * (data.sum() + drawn.sum()) / (6 * (m + 1))  # the images' own outputs are among them
    h_data, h_noise = (p / z / (p / z + m / n) for p in (data, drawn))
    expected = -np.mean(np.log(h_data) + np.log(1 - h_noise).sum(axis=1))
    assert float(method.discriminate(tf.constant(f), index, noise)) == pytest.approx(expected, rel=1e-5)
    assert float(method.partition.z) == pytest.approx(z, rel=1e-5)


def test_z_is_that_of_the_first_batch():
    method = harness.make("inst_disc")
    harness.train(method, harness.batches(1))
    first = float(method.partition.z)
    harness.train(method, harness.batches(2, seed=1))
    assert float(method.partition.z) == first > 0


def test_noise_is_spread_over_the_data_and_differs_between_images():
    method = harness.make("inst_disc", negatives=1000)
    noise = method.draw_noise({"index": tf.range(16)}).numpy()
    assert noise.shape == (16, 1000) and noise.min() == 0 and noise.max() == 63
    counts = np.bincount(noise.ravel(), minlength=64)
    assert abs(counts / 250 - 1).max() < 0.3
    assert np.any(noise[0] != noise[1])


def test_the_bank_moves_half_way_to_the_features_after_the_loss():
    method = harness.make("inst_disc", learning_rate=0.0, negatives=0)
    before = method.bank.read().numpy()
    batch = next(iter(harness.batches(1)))
    (f,) = method.embed(*method.make_views(batch))
    expected = float(method.discriminate(f, batch["index"], None))
    assert harness.train(method, harness.batches(1))["loss"] == pytest.approx(expected, rel=1e-5)
    halves = (before[:16] + f.numpy()) / 2
    after = method.bank.read().numpy()
    np.testing.assert_allclose(after[:16], halves / np.linalg.norm(halves, axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_array_equal(after[16:], before[16:])


@pytest.mark.parametrize("negatives", [0, 8])
def test_the_proximal_term_is_the_squared_distance_to_the_bank(negatives):
    f, index = features()
    noise = np.zeros((6, 8), np.int32) if negatives else None
    plain, drawn = (
        harness.make("inst_disc", negatives=negatives, proximal=weight).discriminate(tf.constant(f), index, noise)
        for weight in (0.0, 3.0)
    )
    bank = harness.make("inst_disc", negatives=negatives).bank.read().numpy()
    expected = 3.0 * np.mean(np.sum((f - bank[index]) ** 2, axis=1))
    assert float(drawn) - float(plain) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "arguments", [{"temperature": 0.0}, {"bank_momentum": 1.0}, {"negatives": -1}, {"proximal": -1}]
)
def test_impossible_settings_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        harness.make("inst_disc", **arguments)
