import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.nn import vit
from ssl_keras.optim.groups import ParameterGroups
from tests.methods import harness

vit.ARCHITECTURES["vit_two_blocks"] = vit.Architecture(32, 2, 2)  # twelve take a minute to trace
TINY = {"decoder_dim": 32, "decoder_depth": 1, "decoder_heads": 2}
BACKBONE = {"name": "vit_two_blocks", "patch": 4}
JUDGED_BY = "linear"
SCENES = [
    "--backbone=vit_tiny",
    "--width=1.0",
    "--batch_size=64",
    "--learning_rate=0.004",
    "--method_arg=normalize_patches=False",  # with normalized ones ten epochs leave it below the untrained network
]


def inputs(b=3, patches=16):
    rng = np.random.default_rng(0)
    images = rng.random((b, harness.SIZE, harness.SIZE, 3), "float32")
    return images, rng.random((b, patches), "float32"), rng.normal(size=(b, patches, 48)).astype(np.float32)


@pytest.mark.parametrize("normalized", [True, False])
def test_loss_is_the_mean_square_of_the_hidden_patches(normalized):
    images, noise, painted = inputs()
    errors = []
    for image, draws, output in zip(images.astype(np.float64), noise, painted):
        for patch in np.argsort(draws)[4:]:
            row, column = divmod(patch, 4)
            target = image[4 * row : 4 * row + 4, 4 * column : 4 * column + 4].ravel()
            if normalized:
                target = (target - target.mean()) / np.sqrt(target.var(ddof=1) + 1e-6)
            errors.append(np.mean((output[patch] - target) ** 2))
    assert len(errors) == 3 * 12
    loss = harness.make("mae", normalize_patches=normalized).error(painted, images, noise)
    assert float(loss) == pytest.approx(np.mean(errors), rel=1e-5)


def test_only_what_is_painted_of_hidden_patches_counts():
    method = harness.make("mae")
    images, noise, painted = inputs()
    painted = tf.constant(painted)
    with tf.GradientTape() as tape:
        tape.watch(painted)
        loss = method.error(painted, images, noise)
    felt = np.any(tape.gradient(loss, painted).numpy() != 0, axis=-1)
    np.testing.assert_array_equal(felt, noise > np.sort(noise, axis=1)[:, 3:4])
    assert felt.sum(axis=1).tolist() == [12] * 3  # exactly three quarters of 16


def test_hidden_patches_do_not_reach_the_encoder():
    method = harness.make("mae")
    images, noise, _ = inputs()
    hidden = (noise > np.sort(noise, axis=1)[:, 3:4]).reshape(3, 4, 4)
    mask = np.repeat(np.repeat(hidden, 4, axis=1), 4, axis=2)[..., None]
    (painted,) = method.paint(images, noise)
    np.testing.assert_allclose(method.paint(np.where(mask, 0.5, images), noise)[0], painted, atol=1e-5)
    assert np.abs(method.paint(np.where(mask, images, 0.5), noise)[0] - painted).max() > 1e-3


@pytest.mark.parametrize("ratio, kept", [(0.75, 4), (0.7, 4), (0.4, 9)])
def test_the_share_that_is_kept_is_cut_off(ratio, kept):
    assert harness.make("mae", mask_ratio=ratio).kept == kept  # of 16; 4.8 and 9.6


def test_the_mask_token_decays_as_all_but_biases_and_norms_do():
    method = harness.make("mae")
    treatments = ParameterGroups(exclude_1d=True).resolve(method.trainable_variables)
    for variable, treatment in zip(method.trainable_variables, treatments, strict=True):
        assert treatment.excluded == (variable.path.rsplit("/", 1)[-1] in ("bias", "gamma", "beta")), variable.path


@pytest.mark.parametrize("option", [{"mask_ratio": 1.0}, {"mask_ratio": 0.0}, {"decoder_dim": 33}])
def test_options_that_make_no_task_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        harness.make("mae", **option)


def test_a_backbone_without_patches_is_refused(monkeypatch):
    monkeypatch.setitem(BACKBONE, "name", "resnet8")
    monkeypatch.delitem(BACKBONE, "patch")
    with pytest.raises(ValueError, match="vit_tiny, vit_small, vit_base"):
        harness.make("mae")
