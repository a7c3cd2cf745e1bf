"""Images without content in which one cue is planted, and how well a small network solves a pretext task on them."""

import keras
import numpy as np
import tensorflow as tf

from ssl_keras import methods, optim
from ssl_keras.views.layer import RandomViews
from ssl_keras.views.policies import Policy

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


def aberrant(rng, shift=3.0):
    """Coarse noise whose red and blue are magnified about the centre, by `shift` pixels at the edges of the image."""
    green = continuous(rng)[..., 0]
    place = np.arange(SIDE) + shift * np.linspace(-1, 1, SIDE)
    place = np.clip(place, 0, SIDE - 1).astype(np.float32)
    low = np.minimum(place.astype(int), SIDE - 2)
    part = place - low
    other = green[:, :, low] * (1 - part) + green[:, :, low + 1] * part
    other = other[:, low] * (1 - part[:, None]) + other[:, low + 1] * part[:, None]
    return np.stack([other, green, other], axis=-1)


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
    method.optimizer.build(method.trainable_variables)
    step, rng = tf.function(method.train_step, autograph=False), np.random.default_rng(0)
    for number in range(steps):
        if number == steps - steps // 6:
            method.accuracy.reset_state()
        batch = {"image": tf.constant(images(rng)), "size": tf.fill([BATCH, 2], float(SIDE))}
        logs = step(batch)
    return float(logs["accuracy"])
