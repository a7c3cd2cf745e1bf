"""Images without content in which one cue is planted, and how well a small network solves a pretext task on them."""

import keras
import numpy as np
import tensorflow as tf

from ssl_keras import methods, optim
from ssl_keras.views.layer import RandomViews
from ssl_keras.views.policy import Policy

SIDE, BATCH = 32, 128


def noise(rng):
    """Gray pixels that know nothing of each other: no cue at all, chance is the best that can be done."""
    return np.repeat(rng.uniform(0, 1, (BATCH, SIDE, SIDE, 1)).astype(np.float32), 3, axis=-1)


def continuous(rng):
    """Gray noise of some pixels' grain: what touches is alike, what is four pixels apart is not."""
    coarse = rng.uniform(0, 1, (BATCH, SIDE // 2, SIDE // 2, 1)).astype(np.float32)
    return np.repeat(tf.image.resize(coarse, [SIDE, SIDE], "bilinear").numpy(), 3, axis=-1)


def tinted(rng):
    """Noise whose red rises from left to right, and whose blue from top to bottom."""
    rise = np.linspace(0, 0.5, SIDE, dtype=np.float32)
    images = 0.5 * noise(rng)
    images[..., 0] += rise
    images[..., 2] += rise[:, None]
    return images


def aberrant(rng, shift=3.0, waves=24):
    """Random waves whose red and blue are magnified about the center, by `shift` pixels at the edges of the image.

    Waves are evaluated where they are wanted: resampled pixels would tell places by their interpolation.
    """
    shape = (BATCH, 1, 1, waves)
    angle, phase = rng.uniform(0, 2 * np.pi, (2, *shape))
    number = 2 * np.pi / rng.uniform(4, 12, shape)  # wavelengths of 4 to 12 pixels

    def field(magnified):
        place = (np.arange(SIDE) - (SIDE - 1) / 2) * magnified
        along = np.cos(angle) * place[:, None, None] + np.sin(angle) * place[:, None]
        return 0.5 + 0.5 * np.cos(number * along + phase).mean(axis=-1) * np.sqrt(waves) / 3

    green, other = field(1.0), field(1.0 + 2 * shift / SIDE)
    return np.clip(np.stack([other, green, other], axis=-1), 0, 1).astype(np.float32)


def in_register(rng):
    """The same waves without the displacement."""
    return aberrant(rng, shift=0.0)


def accuracy(name, images, side, steps, **arguments):
    """Accuracy over the last sixth of `steps` batches of `images(rng)`, by a convolutional network that keeps places.

    Args:
        side: of the method's tiles or patches, in pixels.
    """
    keras.utils.set_random_seed(0)
    x = pixels = keras.Input((side, side, 3))
    for stride in (1, 2):
        x = keras.layers.Conv2D(32, 3, strides=stride, padding="same")(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))
    backbone = keras.Model(pixels, keras.layers.Flatten()(x))
    views = RandomViews([Policy(size=SIDE, crop_area=None, flip=0.0)], SIDE, jit_compile=False)
    method = methods.load(name)(backbone, views, **arguments)
    method.compile(optimizer=optim.build_optimizer("adamw", 2e-3, 1e-4), jit_compile=False)
    step, rng = tf.function(method.train_step, autograph=False), np.random.default_rng(0)
    for number in range(steps):
        if number == steps - steps // 6:
            method.accuracy.reset_state()
        batch = {"image": tf.constant(images(rng)), "size": tf.fill([BATCH, 2], float(SIDE))}
        logs = step(batch)
    return float(logs["accuracy"])
