"""The layers among keras-cv's own: in an Augmenter, in tf.data, in a train step, saved and loaded."""

import keras
import keras_cv
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.views import policies
from ssl_keras.views.layer import RandomView, RandomViews
from tests.views.inputs import canvases

RECIPE = policies.get("supervised*2", 16)  # crop and flip: what is in a view is not what these tests are about
COLORED = policies.get("moco_v2", 16)


def test_in_an_augmenter_with_keras_cvs_layers():
    augmenter = keras_cv.layers.Augmenter(
        [
            RandomView(RECIPE[:1], 16, jit_compile=False),
            keras_cv.layers.RandomCutout(0.5, 0.5, seed=1),
            keras_cv.layers.Rescaling(2.0, offset=-1.0),
        ]
    )
    out = augmenter({"images": tf.constant(canvases()), "labels": tf.range(8)})
    assert out["images"].shape == (8, 16, 16, 3)
    np.testing.assert_array_equal(out["labels"], np.arange(8))
    assert out["images"].numpy().min() >= -1 and out["images"].numpy().max() <= 1


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_tf_data_with_new_draws_for_every_batch(jit_compile):
    layer = RandomViews(RECIPE, 16, jit_compile=jit_compile)
    dataset = tf.data.Dataset.from_tensors(np.repeat(canvases(1), 4, axis=0)).repeat(3).map(layer)
    batches = [np.stack(views) for views in dataset.as_numpy_iterator()]
    assert batches[0].shape == (2, 4, 16, 16, 3)
    assert np.abs(batches[0] - batches[1]).max() > 0.02 and np.abs(batches[1] - batches[2]).max() > 0.02


def test_by_step_in_tf_data_as_outside():
    layer = RandomViews(RECIPE, 16, jit_compile=False)
    images = canvases()
    dataset = tf.data.Dataset.range(2).map(lambda step: layer(images, step=step))
    for step, views in enumerate(dataset.as_numpy_iterator()):
        np.testing.assert_allclose(views[1], layer(images, step=step)[1], atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_a_train_step(jit_compile):
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.views = RandomViews(RECIPE, 16)
            self.head = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(1)])
            self.built = True

        def train_step(self, images):
            views = self.views(images, step=self.optimizer.iterations)
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(self.head(views[0]) - self.head(views[1])))
            variables = self.head.trainable_variables
            self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
            return {"loss": loss}

    model = Model()
    model.compile("sgd", jit_compile=jit_compile)
    history = model.fit(tf.data.Dataset.from_tensors(canvases()).repeat(2), verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_single_images_and_dicts_as_keras_cv_takes_them():
    layer = RandomViews(RECIPE, 16, jit_compile=False)
    one, batch = canvases(1)[0], canvases(1)
    for single, batched in zip(layer(one, step=3), layer(batch, step=3)):
        np.testing.assert_array_equal(single, batched[0])
    out = layer({"images": batch, "labels": np.array([7]), "sizes": np.float32([[40, 80]])}, step=3)
    np.testing.assert_array_equal(out["labels"], [7])
    np.testing.assert_array_equal(out["images"][0], layer(batch, np.float32([[40, 80]]), step=3)[0])


def test_ragged_images_are_seen_as_each_would_be_alone():
    sides = ((20, 31), (24, 17), (9, 24))
    images = [canvases(1, side=40)[0][:height, :width] for height, width in sides]
    ragged = tf.ragged.stack([tf.RaggedTensor.from_tensor(image, ragged_rank=1) for image in images])
    layer = RandomViews(RECIPE, 16, jit_compile=False)
    together = layer(ragged, step=3)[0].numpy()
    assert together.shape == (3, 16, 16, 3)
    np.testing.assert_allclose(together[0], layer(images[0][None], step=3)[0][0], atol=1e-5)


@pytest.mark.usefixtures("eagerly")
def test_saved_and_loaded():
    layer = RandomViews(COLORED, 16, seed=4, color="exact", jit_compile=False)
    again = RandomViews.from_config(layer.get_config())
    assert again.views == layer.views
    loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    for copy in (again, loaded):
        np.testing.assert_array_equal(copy(canvases(), step=2)[0], layer(canvases(), step=2)[0])


@pytest.mark.usefixtures("eagerly")
def test_float32_under_mixed_precision():
    images = canvases()
    expected = RandomViews(COLORED, 16, jit_compile=False)(images, step=1)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = RandomViews(COLORED, 16, jit_compile=False)(images, step=1)
    finally:
        keras.config.set_dtype_policy("float32")
    assert mixed[0].dtype == tf.float32
    np.testing.assert_array_equal(mixed[0], expected[0])
