"""The generator, against its published vectors, and the independence of what is drawn."""

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.views import draws
from tests.views.inputs import key, some_draws


def words(*values):
    return tuple(tf.constant(value, tf.uint32) for value in values)


@pytest.mark.parametrize(
    "counter, keys, expected",
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_equals_the_known_answers_of_random123(counter, keys, expected):
    assert tuple(int(word) for word in draws.threefry(words(*keys), words(*counter))) == expected


@pytest.mark.parametrize("quantity", draws.QUANTITIES)
def test_every_quantity_is_uniform(quantity):
    counts, _ = np.histogram(some_draws(20000)[quantity], bins=50, range=(0, 1))
    assert ((counts - 400) ** 2 / 400).sum() < 100  # chi-squared, 49 degrees of freedom: p ~ 1e-5


def test_quantities_images_views_steps_and_seeds_are_uncorrelated():
    def table(**kwargs):
        return np.stack([row.numpy() for row in some_draws(4000, **kwargs).values()])

    base = table()
    others = [base[:, np.r_[1:4000, 0]], table(view=1), table(step=3), table(seed=2)]
    correlation = np.corrcoef(np.concatenate([base, *others]))
    np.fill_diagonal(correlation, 0)
    assert np.abs(correlation).max() < 5.5 / np.sqrt(4000)


def test_channels_and_pixels_are_drawn_apart_from_images():
    channel = draws.channel_draws(key(500), 4)
    normals = draws.pixel_normals(key(500), (3, 3, 2)).numpy()
    columns = [some_draws(500)["flip"], *tf.unstack(channel["gain"], axis=1), *tf.unstack(channel["offset"], axis=1)]
    columns += list(normals.reshape(500, -1).T)
    correlation = np.corrcoef(np.stack(columns)) - np.eye(len(columns))
    assert np.abs(correlation).max() < 5.5 / np.sqrt(500)


def test_pixel_normals_are_normal():
    normals = np.sort(draws.pixel_normals(key(20), (30, 30, 3)).numpy().ravel())
    assert abs(normals.mean()) < 0.02 and abs(normals.std() - 1) < 0.02
    assert abs(np.mean(np.abs(normals) < 1) - 0.6827) < 0.01 and abs(np.mean(np.abs(normals) < 2) - 0.9545) < 0.005


def test_replicas_draw_slices_of_the_global_batch():
    whole = some_draws(8)
    for replica in range(2):
        part = some_draws(4, first=4 * replica)
        for name in draws.QUANTITIES:
            np.testing.assert_array_equal(part[name], whole[name][4 * replica : 4 * replica + 4])


def test_xla_draws_the_same_numbers():
    compiled = tf.function(lambda: draws.image_draws(key(8)), jit_compile=True)()
    for name, row in some_draws(8).items():
        np.testing.assert_array_equal(compiled[name], row)
