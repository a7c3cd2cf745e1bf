import dataclasses

import numpy as np
import pytest

from ssl_keras.evals import linear, linear_sgd
from ssl_keras.evals.features import Features
from ssl_keras.evals.run import merged
from ssl_keras.evals.subject import Subject
from tests.evals.judge import judged
from tests.evals.test_linear import features

SMALL = {"epochs": 30, "batch_size": 64}


def rates(name, epochs_at, steps_per_epoch=10):
    """The learning rate of a protocol's own training at the beginning of some epochs."""
    protocol = linear_sgd.PROTOCOLS[name]
    steps = protocol.epochs * steps_per_epoch
    optimizer = protocol.build(protocol.rates[0], protocol.batch_size, steps)
    return [float(optimizer._learning_rate(epoch * steps_per_epoch)) for epoch in epochs_at]


@pytest.mark.parametrize("name", ["moco", "simclr", "byol", "dino"])
def test_separable_classes_are_separated_and_noise_is_not(name):
    options = {"protocol": (name,), **SMALL}
    assert judged(linear_sgd, features(0, 400, 12.0), features(1, 400, 12.0), **options)["top1"] > 0.99
    assert judged(linear_sgd, features(0, 400, 0.0), features(1, 2000, 0.0), **options)["top1"] < 0.33


@pytest.mark.parametrize("name, rate", [("simsiam", 10.0), ("mae", 10.0)])
def test_layer_wise_rates_reach_it_when_steps_are_large_enough(name, rate):
    """Their steps are shares of the weights' length: so few need a larger rate than those of ImageNet."""
    train, test = features(0, 400, 12.0), features(1, 400, 12.0)
    found = judged(linear_sgd, train, test, protocol=(name,), learning_rate=rate, epochs=100, batch_size=32)
    assert found["top1"] > 0.99


def test_it_agrees_with_the_solved_problem():
    train, test = features(0, 2000, 2.0), features(1, 4000, 2.0)
    solved = judged(linear, train, test)["top1"]
    for name, learning_rate in (("simclr", 0.1), ("simsiam", 3.0), ("mae", 3.0)):
        options = {"protocol": (name,), "learning_rate": learning_rate, "epochs": 60, "batch_size": 128}
        assert abs(judged(linear_sgd, train, test, **options)["top1"] - solved) <= 0.01, name


def test_the_norm_of_the_batch_takes_away_scale_and_offset():
    train, test = features(0, 400, 2.0), features(1, 1000, 2.0)
    gain, offset = np.logspace(-2, 2, 20, dtype=np.float32), np.linspace(-50, 50, 20, dtype=np.float32)
    moved = [Features(f.x * gain + offset, f.labels) for f in (train, test)]
    options = {"protocol": ("mae",), "learning_rate": 3.0, "epochs": 100, "batch_size": 32}
    assert (
        abs(judged(linear_sgd, train, test, **options)["top1"] - judged(linear_sgd, *moved, **options)["top1"]) < 0.02
    )


def test_the_same_seed_gives_the_same_classifier_and_another_one_another():
    train = features(0, 300, 1.0)
    protocol = dataclasses.replace(linear_sgd.PROTOCOLS["mae"], epochs=5, batch_size=50)

    def weights(seed):
        return linear_sgd.fitted(train, protocol, 0.1, seed).network.get_weights()

    first, again, other = weights(3), weights(3), weights(4)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, again, strict=True))
    assert any(a.tobytes() != b.tobytes() for a, b in zip(first, other, strict=True))


def test_the_test_part_chooses_nothing():
    train, test = features(0, 300, 1.0), features(1, 300, 1.0)
    other = Features(test.x, np.roll(test.labels, 1))
    a, b = (judged(linear_sgd, train, part, protocol=("byol",), epochs=5) for part in (test, other))
    assert (a["learning_rate"], a["held_out_top1"]) == (b["learning_rate"], b["held_out_top1"])
    assert a["learning_rate"] in linear_sgd.PROTOCOLS["byol"].rates and a["top1"] != b["top1"]


def test_the_schedules_are_the_papers():
    assert rates("moco", [0, 59, 60, 79, 80]) == pytest.approx([30, 30, 3, 3, 0.3])
    assert rates("simclr", [0, 45]) == pytest.approx([1.6, 0.8])
    assert rates("simsiam", [0, 45]) == pytest.approx([1.6, 0.8])
    assert rates("byol", [0, 40]) == pytest.approx([1.6, 0.8])
    assert rates("dino", [0, 50]) == pytest.approx([0.004, 0.002])
    assert rates("mae", [0, 5, 10, 50, 90]) == pytest.approx([0, 3.2, 6.4, 3.2, 0], abs=1e-6)


def test_several_protocols_are_a_row_each_and_the_batch_is_no_larger_than_the_data():
    train, test = features(0, 100, 3.0), features(1, 50, 3.0)
    options = linear_sgd.Options(protocol=("moco", "mae"), epochs=2)
    rows = merged(linear_sgd.evaluate(Subject(lambda: (train, test)), options))
    assert [row["protocol"] for row in rows] == ["moco", "mae"]
    assert [(row["batch_size"], row["steps"]) for row in rows] == [(100, 2), (100, 2)]
    assert all("before they have converged" in row["caveat"] for row in rows)


def test_a_class_of_the_test_images_alone_counts_as_wrong():
    train, test = features(0, 200, 12.0), features(1, 200, 12.0)
    other = Features(test.x, np.where(np.arange(200) < 20, 9, test.labels).astype(np.int32))
    assert judged(linear_sgd, train, other, protocol=("moco",), **SMALL)["top1"] == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"protocol": ("mocco",)}, "unknown --linear_sgd_protocol 'mocco'.*moco"),
        ({"protocol": ()}, "names nothing"),
        ({"epochs": -1}, "--linear_sgd_epochs must be at least 0"),
        ({"batch_size": -1}, "--linear_sgd_batch_size must be at least 0"),
        ({"learning_rate": float("nan")}, "--linear_sgd_learning_rate must be at least 0"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        linear_sgd.Options(**options)


def test_one_class_and_a_divergence_are_sentences():
    data = features(0, 20, 1.0, classes=1)
    with pytest.raises(ValueError, match="one class only"):
        judged(linear_sgd, data, data)
    large = Features(1e17 * features(0, 50, 1.0).x, features(0, 50, 1.0).labels)
    with pytest.raises(ValueError, match="moco: training diverged at a rate of 1e\\+30: lower"):
        judged(linear_sgd, large, large, protocol=("moco",), learning_rate=1e30, epochs=2)
