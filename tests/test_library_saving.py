"""A method that is saved and loaded by Keras is the same, and goes on as if it had not stopped."""

import keras
import numpy as np
import pytest

import ssl_keras
from ssl_keras import methods
from ssl_keras.nn import norm
from tests.library import BATCH, assert_same, convolutions, plain_views, simclr, some_images, values
from tests.methods import harness


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return some_images()



@pytest.mark.parametrize("name", methods.names())
def test_a_loaded_method_is_the_saved_one(name, tmp_path):
    method = harness.make(name)
    rng = np.random.default_rng(0)
    for variable in [*method.variables, *method.optimizer.variables]:  # as if it had been trained
        new = rng.integers(0, 3, variable.shape) if "int" in variable.dtype else rng.uniform(0.1, 1, variable.shape)
        variable.assign(new.astype(variable.dtype))
    method.micro_batch_size = 8
    method.save(tmp_path / "m.keras")
    loaded = ssl_keras.load_model(tmp_path / "m.keras")
    assert type(loaded) is type(method) and loaded.micro_batch_size == 8
    assert loaded.arguments.keys() == method.arguments.keys()
    assert loaded.views.get_config() == method.views.get_config()
    assert [v.path for v in loaded.trainable_variables] == [v.path for v in method.trainable_variables]
    assert_same(values(loaded), values(method))
    if loaded.needs_index or name == "moco":
        method.save_weights(tmp_path / "m.weights.h5")
        fresh = harness.make(name)
        fresh.load_weights(tmp_path / "m.weights.h5")
        assert_same([v.numpy() for v in fresh.variables], [v.numpy() for v in method.variables])


def test_training_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(images, tmp_path):
    def moco():
        keras.utils.set_random_seed(0)
        backbone = convolutions(normalize=True)
        method = ssl_keras.MoCo(backbone, plain_views(), batch_size=BATCH, queue_length=32, bn_splits=2)
        method.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, 9)))
        return method

    path = tmp_path / "{epoch}.keras"
    saving = keras.callbacks.ModelCheckpoint(str(path))
    whole = moco()
    losses = whole.fit(images, epochs=2, callbacks=[saving], verbose=0).history["loss"]
    loaded = ssl_keras.load_model(tmp_path / "1.keras")
    again = loaded.fit(images, epochs=2, initial_epoch=1, verbose=0).history["loss"]
    assert again == losses[1:]
    assert_same(values(loaded), values(whole))


def test_the_best_epoch_is_kept_by_its_validation_loss(images, tmp_path):
    model = simclr()
    best = keras.callbacks.ModelCheckpoint(str(tmp_path / "best.keras"), monitor="val_loss", save_best_only=True)
    early = keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)
    log = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    model.fit(
        images[:32], batch_size=BATCH, validation_data=(images[32:48], None), validation_batch_size=BATCH,
        callbacks=[best, early, log], verbose=0,
    )  # fmt: skip
    assert (tmp_path / "best.keras").exists() and "val_loss" in (tmp_path / "log.csv").read_text()


def test_what_networks_are_made_with_is_saved_too(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        with norm.using("group"):
            method = ssl_keras.SimCLR(convolutions(), plain_views())
        method.compile("adam")
        assert type(method.optimizer).__name__ == "LossScale"
        method.save(tmp_path / "m.keras")
    finally:
        keras.config.set_dtype_policy("float32")
    loaded = ssl_keras.load_model(tmp_path / "m.keras")
    kinds = [(type(layer).__name__, layer.dtype_policy.name) for layer in loaded.projector.layers]
    assert kinds == [(type(layer).__name__, layer.dtype_policy.name) for layer in method.projector.layers]
    assert ("GroupNormalization", "mixed_float16") in kinds
    assert keras.config.dtype_policy().name == "float32"
