"""Groups in evaluations: what they choose on held-out training images, they choose on images of other groups.

The images of a person are all alike, and persons are ill at random: who has seen the person knows all, who has not is
at chance. So a split that parts persons shows in the numbers.
"""

import dataclasses

import keras
import numpy as np
import pytest

from ssl_keras.data.canvases.memory import Canvases
from ssl_keras.encoders.encoder import build_encoder
from ssl_keras.evals import REGISTRY, calibration, few, linear, linear_sgd, online, recipes, retrieval, whole
from ssl_keras.evals.features import Features
from ssl_keras.scores import neighbors
from ssl_keras.views.policy import Policy
from tests.evals import networks
from tests.evals.judge import judged

PEOPLE, EACH, WIDTH = 80, 3, 100
SEEN, UNSEEN = 0.9, 0.8  # accuracies on images of persons that were seen, and on others


def of_people(seed: int, known: bool = True) -> Features:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(PEOPLE), EACH)
    x = rng.normal(size=(PEOPLE, WIDTH))[groups] + rng.normal(0, 0.05, (len(groups), WIDTH))
    labels = rng.permutation(np.arange(PEOPLE) % 2)[groups].astype(np.int32)
    return Features(x.astype(np.float32), labels, np.arange(len(groups)), groups + 1000 * seed if known else None)


def of_linear(known):
    return judged(linear, of_people(0, known), of_people(1, known))["held_out_top1"]


def of_linear_sgd(known):
    train, test = of_people(0, known), of_people(1, known)
    return judged(linear_sgd, train, test, protocol=("byol",), epochs=60, batch_size=64)["held_out_top1"]


def of_label_efficiency(known):
    train = of_people(0, known)
    return linear.fitted(few.part(train, few.share(train.labels, 0.8, 0, 0)), 0).held_out


def of_calibration(known):
    """How sure the classifier may be: with confidence on images that it knows its temperature is low."""
    return 1 / (1 + judged(calibration, of_people(0, known), of_people(1, known))["temperature"])


def of_retrieval(known):
    return judged(retrieval, of_people(0, known), of_people(1, known), k=(1,))["recall@1"]


CHOOSE = {
    "linear": of_linear,
    "linear_sgd": of_linear_sgd,
    "label_efficiency": of_label_efficiency,
    "calibration": of_calibration,
    "retrieval": of_retrieval,
}
AS_OTHERS = {  # what they choose is chosen there
    "robustness": "linear",
    "fine_tune": "whole",
    "semi_supervised": "whole",
}
NO_SPLIT = {"knn", "ridge", "clusters", "outliers", "spectrum", "lidar"}  # of training images


def test_of_every_evaluation_it_is_known_whether_it_splits():
    assert {*CHOOSE, *AS_OTHERS, *NO_SPLIT} == set(REGISTRY.names())


@pytest.mark.parametrize("name", CHOOSE)
def test_held_out_images_are_of_other_groups(name):
    seen, unseen = CHOOSE[name](False), CHOOSE[name](True)
    assert seen > UNSEEN > unseen
    assert name == "calibration" or seen >= SEEN


def test_a_whole_network_chooses_its_rate_on_other_groups():
    """It is fitted to some and scored on others of its canvases' rows."""

    class Seen(Canvases):
        def subset(self, rows):
            asked.append(set(people[rows]))
            return super().subset(rows)

    asked, people, images = [], np.repeat(np.arange(12), 3), networks.canvases(0, 36)
    own = {field.name: getattr(images, field.name) for field in dataclasses.fields(images)}
    seen = Seen(**own | {"groups": people})
    options = REGISTRY.load("fine_tune").Options(epochs=1, batch_size=16)
    recipe = dataclasses.replace(recipes.settled(options), rates=(0.1, 0.2), view=Policy())
    small = keras.Sequential([keras.Input((networks.SIDE, networks.SIDE, 3)), keras.layers.GlobalAveragePooling2D()])
    whole.chosen(build_encoder(keras.Model(small.inputs, small.outputs), "uint8"), seen, recipe, 0)
    assert len(asked) == 4 and not asked[0] & asked[1] and asked[0] | asked[1] == set(people)


def test_without_groups_all_is_as_it_was():
    labels = np.arange(100) % 4
    for one, other in zip(linear.split(labels, 3), linear.split(labels, 3, None), strict=True):
        np.testing.assert_array_equal(one, other)
    fit, held = linear.split(labels, 0, np.arange(100) // 5)
    assert not set(fit // 5) & set(held // 5) and len(fit) + len(held) == 100
    fit, held = linear.split(labels, 0, labels)
    assert len(fit) == 100 and not len(held)  # no class has two groups


def test_classifiers_are_asked_of_groups_that_they_have_not_seen():
    people = of_people(0)
    shares, classes = linear.out_of_fold(people, 1.0, 0)
    right = (classes[shares.argmax(axis=1)] == people.labels).mean()
    shares, _ = linear.out_of_fold(of_people(0, False), 1.0, 0)
    assert right < UNSEEN < SEEN < (classes[shares.argmax(axis=1)] == people.labels).mean()


def test_scores_while_training_hold_out_whole_groups():
    people = of_people(0)
    labels = np.where(np.arange(len(people.labels)) % 7, people.labels, -1)
    bank, queries = online.bank_and_queries(labels, people.groups)
    assert len(queries) > 20 and not set(people.groups[bank]) & set(people.groups[queries])
    assert (labels[bank] >= 0).all() and (labels[queries] >= 0).all()


def test_the_nearest_of_other_groups_are_those_of_comparing_all():
    rng = np.random.default_rng(0)
    x, groups = rng.normal(size=(40, 6)).astype(np.float32), rng.integers(0, 6, 40)
    cosines, rows = neighbors.nearest_of_other_groups(x, groups, 38)
    z = neighbors.unit(x)
    for i in range(40):
        others = np.flatnonzero(groups != groups[i])
        expected = others[np.argsort(-(z[others] @ z[i]), kind="stable")]
        np.testing.assert_array_equal(rows[i, : len(others)][:38], expected[:38])
        assert (rows[i, len(others) :] == -1).all() and np.isneginf(cosines[i, len(others) :]).all()
