import pytest

from ssl_keras.evals import recipes, semi_supervised
from ssl_keras.evals.run import merged
from tests.evals.networks import canvases, encoder, subject

FAST = {"epochs": 8, "batch_size": 16, "learning_rate": 0.03}


def scored(**options):
    train, test = canvases(0, 192), canvases(1, 90)
    options = semi_supervised.Options(**{**FAST, **options})
    return merged(semi_supervised.evaluate(subject(encoder(), train, test), options))


def test_more_labels_are_better_and_rows_have_the_mean_and_range_of_draws():
    few, all_of_them = scored(shares=(0.02, 1.0), draws=2)
    assert (few["share"], few["labels"], few["draws"]) == (0.02, 6, 2)
    assert (all_of_them["share"], all_of_them["labels"], all_of_them["draws"]) == (1.0, 192, 1)
    assert few["top1"] < all_of_them["top1"] and "range" not in all_of_them
    low, high = few["range"]["top1"]
    assert low <= few["top1"] <= high


def test_numbers_of_each_class_are_rows_too_and_the_same_images_are_one():
    rows = scored(shares=(0.01, 0.015), per_class=(1, 4), draws=1, epochs=1)
    assert [(row.get("share"), row.get("per_class"), row["labels"]) for row in rows] == [(0.01, None, 3), (None, 4, 12)]


def test_one_percent_has_the_epochs_of_its_own():
    options = semi_supervised.Options(recipe="simclr")
    assert [recipes.settled(options, share).epochs for share in options.shares] == [60, 30]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"shares": (0.0,)}, "--semi_supervised_shares must be greater than 0"),
        ({"shares": ()}, "name nothing"),
        ({"per_class": (0,)}, "--semi_supervised_per_class and --semi_supervised_draws must be at least 1"),
        ({"draws": 0}, "must be at least 1"),
        ({"recipe": "big"}, "unknown --semi_supervised_recipe"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        semi_supervised.Options(**options)
