import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssl_keras import losses
from ssl_keras.methods.supcon import sup_con
from tests.methods import harness
from tests.runs import TINY as RUN
from tests.runs import run_tool

TINY = {"projection_dim": 32}


def unit(*shape, seed=0):
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def expected(z1, z2, labels, temperature):
    """Equation (2) of arXiv:2004.11362, one anchor at a time."""
    z, labels = np.concatenate([z1, z2]).astype(np.float64), np.concatenate([labels, labels])
    terms = []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        total = sum(np.exp(z[i] @ z[a] / temperature) for a in others)
        positives = [p for p in others if labels[p] == labels[i]]
        terms.append(-np.mean([np.log(np.exp(z[i] @ z[p] / temperature) / total) for p in positives]))
    return np.mean(terms)


def test_loss_is_the_papers_equation_2():
    (z1, z2), labels = unit(2, 7, 5), np.array([0, 1, 1, 2, 0, 1, 3])
    loss = sup_con(tf.constant(z1), tf.constant(z2), tf.constant(labels), 0.1)
    assert float(loss) == pytest.approx(expected(z1, z2, labels, 0.1), rel=1e-5)


def test_where_all_labels_differ_it_is_the_loss_of_simclr():
    z1, z2 = map(tf.constant, unit(2, 7, 5))
    assert float(sup_con(z1, z2, tf.range(7), 0.2)) == pytest.approx(float(losses.nt_xent(z1, z2, 0.2)), rel=1e-6)


def test_labels_attract():
    """Views of one class that are alike cost less than views of two classes that are."""
    z1, z2 = map(tf.constant, np.repeat(unit(2, 2, 5), 3, axis=1))
    assert sup_con(z1, z2, tf.constant([0, 0, 0, 1, 1, 1]), 0.1) < sup_con(z1, z2, tf.constant([0, 1, 2, 0, 1, 2]), 0.1)


def test_images_without_labels_are_refused_before_training(tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(40):
        Image.new("RGB", (16, 16), (6 * number, 0, 0)).save(tmp_path / "images" / f"{number}.png")
    flags = ["--method=supcon", f"--data=folder:{tmp_path}/images", f"--workdir={tmp_path}/a"]
    refused = run_tool("pretrain", *RUN, *flags, status=1)
    assert "label" in refused.stderr


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match="temperature"):
        harness.make("supcon", temperature=0.0)
