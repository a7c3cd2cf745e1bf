"""The generator, against its published vectors, and the independence of what is drawn."""

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.views.draws import QUANTITIES, image_draws, threefry


def words(*values):
    return tuple(tf.constant(value, tf.uint32) for value in values)


@pytest.mark.parametrize(
    "counter, key, expected",
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_equals_the_known_answers_of_random123(counter, key, expected):
    assert tuple(int(word) for word in threefry(words(*key), words(*counter))) == expected


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_every_quantity_is_uniform(quantity):
    counts, _ = np.histogram(image_draws(0, 1, 0, 20000)[quantity], bins=50, range=(0, 1))
    assert ((counts - 400) ** 2 / 400).sum() < 100  # chi-squared, 49 degrees of freedom: p ~ 1e-5


def test_quantities_images_views_steps_and_seeds_are_uncorrelated():
    def table(seed, step, view):
        return np.stack([row.numpy() for row in image_draws(seed, step, view, 4000).values()])

    base = table(0, 0, 0)
    others = [base[:, np.r_[1:4000, 0]], table(0, 0, 1), table(0, 1, 0), table(1, 0, 0)]
    correlation = np.corrcoef(np.concatenate([base, *others]))
    np.fill_diagonal(correlation, 0)
    assert np.abs(correlation).max() < 5.5 / np.sqrt(4000)


def test_replicas_draw_slices_of_the_global_batch():
    whole = image_draws(3, 4, 1, 8)
    for replica in range(2):
        part = image_draws(3, 4, 1, 4, replica)
        for name in QUANTITIES:
            np.testing.assert_array_equal(part[name], whole[name][4 * replica : 4 * replica + 4])


def test_xla_draws_the_same_numbers():
    compiled = tf.function(lambda step: image_draws(3, step, 1, 8), jit_compile=True)(tf.constant(7))
    for name, row in image_draws(3, 7, 1, 8).items():
        np.testing.assert_array_equal(compiled[name], row)
