import dataclasses

import keras
import numpy as np
import pytest

from ssl_keras.encoders.contract import of_model
from ssl_keras.encoders.encoder import Encoder
from ssl_keras.evals import fine_tune, linear, recipes, whole
from ssl_keras.evals.features import Features
from ssl_keras.evals.run import merged
from ssl_keras.evals.subject import Subject
from tests.evals.networks import SIDE, canvases, encoder, subject

FAST = {"epochs": 12, "batch_size": 16, "learning_rate": 0.03}


def tuned(encoder, train, test, **options):
    (row,) = merged(fine_tune.evaluate(subject(encoder, train, test), fine_tune.Options(**{**FAST, **options})))
    return row


def weights(encoder):
    return [weight.tobytes() for weight in encoder.model.get_weights()]


def test_it_learns_more_than_the_frozen_features_show_and_leaves_the_encoder_alone():
    given, train, test = encoder(), canvases(0, 192), canvases(1, 150)
    before = weights(given)
    found = tuned(given, train, test)
    (frozen,) = linear.evaluate(subject(given, train, test), linear.Options())
    assert found["top1"] > 0.9 and found["top1"] > frozen.value - 0.02
    assert weights(given) == before
    assert (found["recipe"], found["steps"], found["batch_size"]) == ("small", 12 * 12, 16)
    assert (found["train_examples"], found["test_examples"]) == (192, 150)


def test_accuracy_on_training_images_rises_and_the_same_seed_gives_the_same_network():
    given, train = encoder(), canvases(0, 96)
    first, again, longer = (
        whole.train(given, train, recipes.settled(fine_tune.Options(**{**FAST, "epochs": epochs})), 0)
        for epochs in (1, 1, 15)
    )
    assert first.accuracy(train) + 0.2 < longer.accuracy(train)
    pairs = zip(first.backbone.get_weights(), again.backbone.get_weights(), strict=True)
    assert all(a.tobytes() == b.tobytes() for a, b in pairs)


def test_batch_normalization_trains_and_its_moving_statistics_are_what_is_evaluated():
    given, train = encoder(), canvases(0, 64)
    recipe = recipes.settled(fine_tune.Options(epochs=10, batch_size=32))
    trained = whole.train(given, train, recipe, 0)
    images = train.images[:32].astype(np.float32) / 255
    together = trained.logits(images).numpy()
    alone = np.concatenate([trained.logits(images[i : i + 1]).numpy() for i in range(32)])
    np.testing.assert_allclose(together, alone, atol=1e-3)  # no statistics of a batch
    moving = {weight.path: weight for weight in trained.backbone.non_trainable_weights}
    start = {weight.path: np.asarray(weight) for weight in given.model.non_trainable_weights}
    for path, value in start.items():
        if "moving" in path:
            assert np.abs(np.asarray(moving[path]) - value).max() > 1e-4, path


def test_layer_decay_is_maes_formula():
    paths = [weight.path for weight in encoder("vit_tiny").model.trainable_weights]
    numbers, blocks = whole.layer_numbers(paths)
    assert blocks == 12
    factors = dict(zip(paths, whole.layer_factors(numbers, blocks, 0.65), strict=True))
    assert factors["patch_projection/kernel"] == factors["class_token/embeddings"] == pytest.approx(0.65**13)
    assert factors["block1_mlp1/kernel"] == pytest.approx(0.65**12)
    assert factors["block12_norm2/gamma"] == pytest.approx(0.65)
    assert factors["final_norm/gamma"] == 1.0


def test_a_resnets_blocks_are_its_residual_ones():
    paths = [weight.path for weight in encoder().model.trainable_weights]
    numbers, blocks = whole.layer_numbers(paths)
    assert blocks == 3
    found = dict(zip(paths, numbers, strict=True))
    assert [found[f"{name}_conv/kernel"] for name in ("stem", "stage1_block1_1", "stage2_block1_shortcut")] == [0, 1, 2]
    keras_resnet = [
        "conv1_conv/kernel",
        "conv2_block1_1_conv/kernel",
        "conv2_block2_1_bn/gamma",
        "conv3_block1_0_bn/beta",
    ]
    assert whole.layer_numbers(keras_resnet) == ([0, 1, 2, 3], 3)
    assert whole.layer_numbers(["dense/kernel", "dense/bias"]) == ([], 0)


def test_layers_move_by_their_factors():
    """A single step of SGD from the same weights: each variable moves by its factor of the step without decay."""
    given, train = encoder(), canvases(0, 32)
    recipe = dataclasses.replace(recipes.RECIPES["simclr"], epochs=1, batch_size=32)
    moved = []
    for decay in (1.0, 0.5):
        trained = whole.train(given, train, dataclasses.replace(recipe, layer_decay=decay), 0)
        moved.append({w.path: np.asarray(w) for w in trained.backbone.trainable_weights})
    for weight in given.model.trainable_weights:
        number = whole.layer_numbers([weight.path, "stage1_block1_", "stage2_block1_", "stage3_block1_"])[0][0]
        full, part = (each[weight.path] - np.asarray(weight) for each in moved)
        np.testing.assert_allclose(part, 0.5 ** (4 - number) * full, rtol=1e-2, atol=2e-6, err_msg=weight.path)


def test_an_encoder_without_known_blocks_is_trained_alike_in_all_layers():
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    plain = Encoder(model, of_model(model, "uint8"))
    train, test = canvases(0, 48), canvases(1, 24)
    assert tuned(plain, train, test, epochs=1)["layer_decay"] == 1.0
    with pytest.raises(ValueError, match="a layer decay needs an encoder whose blocks are known"):
        tuned(plain, train, test, layer_decay=0.5)


@pytest.mark.slow
def test_of_several_rates_the_best_on_held_out_training_images_is_taken():
    given, train = encoder(), canvases(0, 64)
    recipe = recipes.settled(fine_tune.Options(epochs=10, batch_size=16, layer_decay=1.0))
    recipe = dataclasses.replace(recipe, rates=(1e-9, 0.03))
    trained = whole.chosen(given, train, recipe, 0)
    assert trained.recipe.rates == (0.03,) and trained.held_out > 0.5


def test_an_encoders_middle_layer_is_trained_as_an_encoder():
    given, train, test = encoder().cut("stage1"), canvases(0, 48), canvases(1, 24)
    assert tuned(given, train, test, epochs=1)["train_examples"] == 48


def test_the_recipes_are_the_papers():
    simclr, byol, mae = (recipes.RECIPES[name] for name in ("simclr", "byol", "mae"))
    assert simclr.rates[0] * simclr.batch_size / 256 == pytest.approx(0.8)
    assert [rate * byol.batch_size / 256 for rate in byol.rates] == pytest.approx([0.1, 0.05, 0.02, 0.01, 0.005])
    assert mae.warmup * mae.epochs == pytest.approx(5)
    few = recipes.settled(fine_tune.Options(recipe="simclr"), share=0.01)
    assert (few.epochs, recipes.settled(fine_tune.Options(recipe="simclr"), share=0.1).epochs) == (60, 30)
    assert recipes.RECIPES["small"].steps(20) == 300 and recipes.settled(fine_tune.Options(epochs=2)).steps(640) == 20


@pytest.mark.parametrize(
    "options, message",
    [
        ({"recipe": "smal"}, "unknown --fine_tune_recipe 'smal'.*small"),
        ({"epochs": -1}, "--fine_tune_epochs must be at least 0"),
        ({"learning_rate": float("inf")}, "--fine_tune_learning_rate must be at least 0"),
        ({"layer_decay": 1.5}, "--fine_tune_layer_decay must be at least 0 .* at most 1"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        fine_tune.Options(**options)


def test_what_cannot_be_trained_is_a_sentence():
    rng = np.random.default_rng(0)
    data = Features(rng.normal(size=(9, 4)).astype(np.float32), np.arange(9, dtype=np.int32) % 3)
    with pytest.raises(ValueError, match="there is no encoder here"):
        fine_tune.evaluate(Subject(lambda: (data, data)), fine_tune.Options())
    train = canvases(0, 48)
    one = train.subset(np.flatnonzero(train.labels == 1))
    with pytest.raises(ValueError, match="one class only"):
        tuned(encoder(), one, train)
    with pytest.raises(ValueError, match="diverged at a learning rate of 1e\\+30"):
        tuned(encoder(), train, train, recipe="simclr", learning_rate=1e30, epochs=2)
