"""The methods as a Keras library: Keras's own calls, or a clear error where one cannot be right."""

import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import ssl_keras
from ssl_keras import UserError, methods
from ssl_keras.training import inputs
from tests.library import BATCH, SIDE, N, assert_same, convolutions, plain_views, simclr, some_images, values
from tests.methods import harness

ROOT = pathlib.Path(__file__).parent.parent
CLASSES = sorted(methods.class_names())


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return some_images()


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return (np.arange(N) % 10).astype(np.int64)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """One that many tests train: its step is traced once."""
    return simclr()


class Steps(keras.callbacks.Callback):
    """The number of steps of each epoch."""

    def __init__(self):
        super().__init__()
        self.of_epochs = []

    def on_epoch_begin(self, epoch, logs=None):
        self.of_epochs.append(0)

    def on_train_batch_end(self, batch, logs=None):
        self.of_epochs[-1] += 1


def steps_of(model, *data, **settings) -> list[int]:
    steps = Steps()
    model.fit(*data, callbacks=[steps], verbose=0, **settings)
    return steps.of_epochs


# ---- names, constructors --------------------------------------------------------------------------------------------


def test_methods_are_there_by_their_class_names_and_nothing_heavy_is_imported_before():
    code = (
        "import sys, ssl_keras; names = dir(ssl_keras); assert not {'tensorflow', 'keras'} & set(sys.modules); "
        f"assert set({CLASSES}) <= set(names)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    for name in CLASSES:
        assert getattr(ssl_keras, name).__name__ == name
    for name in ssl_keras.PARTS:
        assert getattr(ssl_keras, name)
    with pytest.raises(AttributeError, match="SimClr"):
        ssl_keras.SimClr  # noqa: B018


def test_the_page_about_the_library_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/library.md").read_text(), re.M | re.S)
    names = {"images": np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3)).astype(np.uint8)}
    assert len([line for line in blocks[0].splitlines() if line and not line.startswith("#")]) <= 15
    for block in blocks:
        exec(block, names)
    encoder = keras.saving.load_model("shipped.keras")
    assert encoder(np.zeros((1, 32, 32, 3), np.float32)).shape == (1, 256)


def test_default_views_are_the_methods_own_at_the_backbones_size():
    views = ssl_keras.MoCo(convolutions(24), batch_size=8, queue_length=8, bn_splits=1).views
    assert views.image_size == 24 and views.seed == 0
    assert views.views == ssl_keras.RandomViews("moco_v1", 24).views
    assert ssl_keras.SimCLR(convolutions(24), "simclr_cifar").views.views[0].blur == 0


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ssl_keras.SimCLR(convolutions(pool=False)), r"gives \(None, 7, 7, 8\).*GlobalAveragePooling2D"),
        (lambda: ssl_keras.SimCLR(convolutions(24), plain_views(16)), r"takes images of 24 pixels.*\[16, 16\]"),
        (lambda: ssl_keras.SimCLR(convolutions(), plain_views(count=1)), "needs 2 view.*make 1"),
        (lambda: ssl_keras.SimCLR(convolutions(None)), "any size.*RandomViews"),
        (lambda: ssl_keras.SimCLR("resnet18"), "must be a keras.Model, got str"),
        (lambda: ssl_keras.SimCLR(keras.Sequential([keras.layers.Flatten()])), "does not know the shapes"),
        (lambda: ssl_keras.SimCLR(convolutions(), "simclear"), "no views named 'simclear'"),
        (lambda: ssl_keras.MoCo(convolutions()), r"MoCo needs batch_size=\.\.\. \(the images of a step"),
        (lambda: ssl_keras.SwAV(convolutions(), batch_size=8), "SwAV needs num_examples=.*total_steps="),
        (lambda: ssl_keras.MAE(convolutions()), "mae hides patches of a vision transformer"),
        (lambda: ssl_keras.DINO(flattening(), num_examples=8, batch_size=8, total_steps=8), "views of one size"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_the_constructor(make, message):
    with pytest.raises(UserError, match=message):
        make()


def flattening():
    """A backbone of a single size of images."""
    return keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(8)])


def test_a_backbone_of_any_size_takes_the_views_of_a_multi_crop_recipe():
    facts = {"num_examples": 8, "batch_size": 8, "total_steps": 8}
    method = ssl_keras.SwAV(convolutions(None), ssl_keras.RandomViews("swav", 32), prototypes=4, **facts)
    crops = [tf.zeros([2, policy.size, policy.size, 3]) for policy in method.views.views]
    assert {crop.shape[1] for crop in crops} == {32, 16}
    assert [h.shape for h in method.crops(*crops)] == [(2, 8)] * 8


# ---- data -----------------------------------------------------------------------------------------------------------


def batch_of(model, *data, **settings) -> dict[str, np.ndarray]:
    data = inputs.training(model, *data, **{"y": None, "batch_size": None, "shuffle": True, **settings}).batches
    return {name: part.numpy() for name, part in next(iter(data)).items()}


def test_missing_entries_of_batches_are_filled_in(model, images, labels):
    forms = {
        "images": images,
        "a tuple": (images,),
        "pairs": (images, labels),
        "labels of one column": (images, labels[:, None]),
        "labels that are no numbers": (images, np.full(N, "cat")),
        "dicts": {"image": images, "label": labels, "name": np.full(N, "cat")},
    }
    for name, parts in forms.items():
        parts = tf.data.Dataset.from_tensor_slices(parts).batch(BATCH)
        batch = batch_of(model, parts, steps_per_epoch=None)
        np.testing.assert_array_equal(batch["image"], images[:BATCH])
        np.testing.assert_array_equal(batch["size"], np.full((BATCH, 2), SIDE, np.float32))
        np.testing.assert_array_equal(batch["index"], np.arange(BATCH))
        known = name in ("pairs", "labels of one column", "dicts")
        np.testing.assert_array_equal(batch["label"], labels[:BATCH] if known else -np.ones(BATCH))
        types = {"image": "uint8", "size": "float32", "index": "int64", "label": "int32"}
        assert {k: v.dtype.name for k, v in batch.items()} == types


def test_rows_of_arrays_are_the_images_numbers_whatever_the_order(model, images, labels):
    for shuffle in (True, False):
        batch = batch_of(model, images, y=labels, batch_size=BATCH, shuffle=shuffle, steps_per_epoch=None)
        np.testing.assert_array_equal(batch["image"], images[batch["index"]])
        np.testing.assert_array_equal(batch["label"], labels[batch["index"]])
        assert np.array_equal(batch["index"], np.arange(BATCH)) != shuffle


def test_an_epoch_is_once_through_the_data_without_a_short_last_batch(model, images):
    data = tf.data.Dataset.from_tensor_slices(images)

    def unknown():
        yield from images

    generated = tf.data.Dataset.from_generator(unknown, output_signature=tf.TensorSpec(images.shape[1:], tf.uint8))
    for ds in (data.batch(BATCH), data.batch(BATCH, drop_remainder=True), generated.batch(BATCH)):
        assert steps_of(model, ds, epochs=2) == [3, 3]
    assert steps_of(model, images, batch_size=BATCH, epochs=2) == [3, 3]
    assert steps_of(model, images, batch_size=BATCH, epochs=3, initial_epoch=2) == [3]
    for ds in (data.repeat().batch(BATCH), data.batch(BATCH).repeat(), data.batch(BATCH)):
        assert steps_of(model, ds, epochs=2, steps_per_epoch=5) == [5, 5]
    with pytest.raises(UserError, match="no end: say steps_per_epoch"):
        model.fit(data.batch(BATCH).repeat())


def test_several_steps_at_once_and_step_by_step_without_a_graph(model, images):
    ds = tf.data.Dataset.from_tensor_slices(images).batch(BATCH, drop_remainder=True)
    assert steps_of(model, ds, steps_per_execution=2) == [2]  # looks at the losses
    slow = simclr()
    slow.compile("sgd", run_eagerly=True)
    assert steps_of(slow, ds) == [3]


@pytest.mark.parametrize(
    "data, settings, message",
    [
        (lambda x, y: x.astype(np.float32), {}, r"divide them by their maximum.*got 0 to 255"),
        (lambda x, y: tf.data.Dataset.from_tensors(x.astype(np.float32)), {}, "divide them by their maximum, such as"),
        (lambda x, y: x.astype(np.int32), {}, "images are int32"),
        (lambda x, y: x[..., :1], {}, "have 1 channel.*takes 3"),
        (lambda x, y: x[:, :8], {}, "images of 8 by 16 pixels are not square"),
        (lambda x, y: x[0], {}, r"must be an array \[N, S, S, C\]"),
        (lambda x, y: list(x), {}, r"expected a tf.data.Dataset.*got list"),
        (lambda x, y: tf.data.Dataset.from_tensor_slices(x), {}, r"batch them"),
        (lambda x, y: tf.data.Dataset.from_tensors({"pixels": x}), {}, "expected a tf.data.Dataset"),
        (lambda x, y: tf.data.Dataset.from_tensors((x, y, y)), {}, "sample weights"),
        (lambda x, y: tf.data.Dataset.from_tensors(x), {"batch_size": 8}, "leave y and batch_size out"),
        (lambda x, y: x, {"batch_size": 64}, "larger than the data, 50 images"),
        (lambda x, y: x, {"batch_size": 1}, "needs a batch_size of at least 2"),
        (lambda x, y: x, {"class_weight": {0: 1.0}}, "class_weight and sample_weight"),
        (lambda x, y: x, {"sample_weight": np.ones(N)}, "class_weight and sample_weight"),
        (lambda x, y: tf.data.Dataset.from_tensors(x), {"validation_split": 0.2}, "takes images off an array"),
        (lambda x, y: tf.data.Dataset.from_tensors(x).take(0), {}, "the data ended after 0 steps"),
    ],
)
def test_data_that_do_not_fit_are_refused(model, images, labels, data, settings, message):
    with pytest.raises(UserError, match=message):
        model.fit(data(images, labels), verbose=0, **settings)


def test_a_method_that_knows_each_image_needs_its_number(images):
    method = ssl_keras.MemoryBankContrast(convolutions(), plain_views(count=1), num_examples=N, negatives=4)
    method.compile("sgd")
    with pytest.raises(UserError, match="index, the image's own number"):
        method.fit(tf.data.Dataset.from_tensors(images))
    with pytest.raises(UserError, match="made for num_examples=50, and the data has 100"):
        method.fit(np.concatenate([images, images]))
    numbers = np.arange(1, N + 1)
    with pytest.raises(UserError, match="the index must lie from 0 to num_examples - 1, 49"):
        method.fit(tf.data.Dataset.from_tensors({"image": images, "index": numbers}), verbose=0)
    with pytest.raises(UserError, match="no loss for images that are not trained on"):
        method.fit(images, validation_data=images)
    before = method.bank.features.numpy()
    method.fit(images[:20], batch_size=20, verbose=0)
    moved = np.any(method.bank.features.numpy() != before, axis=1)
    assert moved[:20].all() and not moved[20:].any()


def test_labels_of_the_supervised_method(images, labels):
    method = ssl_keras.Supervised(convolutions(), plain_views(count=1), num_classes=10)
    method.compile("sgd")
    with pytest.raises(UserError, match=r"needs labels.*got none"):
        method.fit(images)
    with pytest.raises(UserError, match=r"needs labels.*got float32 of shape \(None, 10\)"):
        method.fit(tf.data.Dataset.from_tensor_slices((images, np.eye(10, dtype=np.float32)[labels])).batch(BATCH))
    with pytest.raises(UserError, match="from 0 to num_classes - 1, 9; got 1 to 10"):
        method.fit(images, labels + 1)


def test_a_method_made_for_another_batch_size_says_so(images):
    method = ssl_keras.MoCo(convolutions(), plain_views(), batch_size=8, queue_length=16, bn_splits=1)
    method.compile("adam")
    with pytest.raises(UserError, match="made for batch_size=8, and the data has batches of 16"):
        method.fit(tf.data.Dataset.from_tensor_slices(images).batch(16), verbose=0)
    assert steps_of(method, images) == [N // 8]


# ---- compile, progress, validation ----------------------------------------------------------------------------------


def test_fit_before_compile_and_a_loss_of_ones_own_are_refused(images):
    method = ssl_keras.SimCLR(convolutions(), plain_views())
    with pytest.raises(UserError, match=r'not compiled: call compile\("adam"\) before fit'):
        method.fit(images)
    with pytest.raises(UserError, match="own loss and metrics: leave loss, metrics out"):
        method.compile("adam", loss="mse", metrics=["accuracy"])


def test_keras_shows_its_progress_bar(model, images, capsys):
    model.fit(images, batch_size=BATCH, epochs=2)
    shown = capsys.readouterr().out
    assert "Epoch 2/2" in shown and "3/3" in shown and "loss:" in shown
    model.fit(images, batch_size=BATCH, verbose=0)
    assert not capsys.readouterr().out


def test_validation_is_told_and_changes_nothing(images):
    held_out = images[-20:]
    logs, trained = [], []
    for validation in ({}, {"validation_data": held_out, "validation_batch_size": 10}):
        method = simclr()
        logs.append(method.fit(images[:30], batch_size=15, epochs=2, verbose=0, **validation).history)
        trained.append(values(method))
    assert_same(*trained)
    assert logs[0]["loss"] == logs[1]["loss"] and len(logs[1]["val_loss"]) == 2
    alone = method.evaluate(held_out, batch_size=10, verbose=0, return_dict=True)
    assert alone["loss"] == pytest.approx(logs[1]["val_loss"][-1], rel=1e-6)
    assert method.evaluate(held_out, batch_size=10, verbose=0) == [alone["loss"], alone["z_std"]]


def test_the_last_images_of_an_array_are_held_out(model, images):
    history = model.fit(images, batch_size=10, validation_split=0.4, verbose=0).history
    assert history["val_loss"] == [pytest.approx(model.evaluate(images[-20:], batch_size=10, verbose=0)[0], rel=1e-6)]


@pytest.mark.parametrize(
    "name", [n if n == "moco" else pytest.param(n, marks=pytest.mark.slow) for n in methods.names()]
)
def test_the_loss_of_held_out_images_is_that_of_their_next_step(name):
    method = harness.make(name)
    if method.needs_index:
        with pytest.raises(UserError, match="no loss for images"):
            method.evaluate(harness.batches(1))
        return
    before = values(method)
    loss = method.evaluate(harness.batches(1), verbose=0, return_dict=True)["loss"]
    assert_same(values(method), before)
    assert harness.train(method, harness.batches(1))["loss"] == pytest.approx(loss, rel=1e-5)


def test_held_out_images_on_two_replicas(two_replicas, images):
    def moco():
        keras.utils.set_random_seed(0)
        backbone = ssl_keras.as_fused(convolutions(normalize=True))  # synchronized where there are two
        facts = {"batch_size": BATCH, "queue_length": 32, "bn_splits": 1, "temperature": 1.0}
        method = ssl_keras.MoCo(backbone, plain_views(), **facts)
        method.compile("adam")
        return method

    with two_replicas.scope():
        method = moco()
    before = values(method)
    loss = method.evaluate(images, verbose=0)[0]
    assert_same(values(method), before)
    assert loss == pytest.approx(moco().evaluate(images, verbose=0)[0], rel=1e-4)
    assert steps_of(method, images) == [N // BATCH]
    with pytest.raises(UserError, match="batches of one known size"):
        method.fit(tf.data.Dataset.from_tensor_slices(images).batch(BATCH))
