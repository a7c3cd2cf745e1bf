"""Draws: random numbers that are a function of (seed, step, view, quantity, image) alone.

The generator is Threefry-2x32 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), written out in
32-bit integer arithmetic: `tf.random.stateless_uniform` gives other numbers inside XLA than outside. The image's place
in the global batch is part of the counter, so each replica draws its own slice of what one replica would draw. Every
quantity has its own counter: switching an operation off leaves the draws of the others as they were.
"""

import math
from typing import NamedTuple

import tensorflow as tf

# New quantities go at the end: those before them keep their values.
QUANTITIES = (
    "crop_area", "crop_aspect", "crop_top", "crop_left", "flip",
    "jitter", "order", "brightness", "contrast", "saturation", "hue", "grayscale",
    "blur", "blur_sigma", "solarize",
    "quarter_turn", "quarter_turns", "cutout", "cutout_side", "cutout_top", "cutout_left",
    "sobel", "noise", "noise_sigma", "zoom", "tilt",
    "component_1", "component_2", "component_3",
    "saturation_power", "saturation_gain", "saturation_shift", "value_power", "value_gain", "value_shift", "hue_shift",
    "gain", "shift", "gamma", "bias_1", "bias_2", "bias_3", "channel_mean", "own_noise",
    "holes", "hole_share", "erosion",
)  # fmt: skip
CHANNEL_QUANTITIES = ("gain", "offset")

_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
# Disjoint ranges of the first counter.
_VIEW, _CHANNELS, _PIXELS, _SHAPES = 1 << 16, 1 << 15, 1 << 14, 1 << 13
_DROPS = _CHANNELS + (1 << 14)
_BLOCK = 16


class Key(NamedTuple):
    """What one view's draws depend on.

    seed: int in [0, 2^31). step, view: integer scalars. images: int32 [B], places in the global batch.
    """

    seed: int
    step: tf.Tensor
    view: tf.Tensor
    images: tf.Tensor


def image_draws(key: Key) -> dict[str, tf.Tensor]:
    """Draws U(0, 1) for every quantity and image: {quantity: float32 [B] in [0, 1)}."""
    pairs = tf.range((len(QUANTITIES) + 1) // 2)
    rows = tf.concat(_bits(key, pairs[:, None], key.images[None]), axis=0)
    return dict(zip(QUANTITIES, tf.unstack(_once(tf.transpose(uniform(rows))), axis=1)))


def channel_draws(key: Key, channels: int) -> dict[str, tf.Tensor]:
    """Draws U(0, 1) for every channel of every image: {quantity: float32 [B, channels] in [0, 1)}."""
    rows = _bits(key, _CHANNELS + tf.range(channels)[None], key.images[:, None])
    return dict(zip(CHANNEL_QUANTITIES, (_once(uniform(row)) for row in rows)))


def channel_drops(key: Key, channels: int) -> tf.Tensor:
    """Draws U(0, 1) for every channel of every image, others than `channel_draws`: float32 [B, channels] in [0, 1)."""
    return _rows(key, _DROPS, channels)


def shape_draws(key: Key, count: int) -> tf.Tensor:
    """Draws U(0, 1) for shapes of every image, four numbers each: float32 [B, count, 4] in [0, 1)."""
    return tf.reshape(_rows(key, _SHAPES, 4 * count), [-1, count, 4])


def pixel_normals(key: Key, shape: tuple) -> tf.Tensor:
    """Draws N(0, 1) for every value of every image: float32 [B, *shape]."""
    bits = _bits(key, tf.constant(_PIXELS), key.images)
    count = math.prod(shape)
    half = -(-count // (2 * _BLOCK)) * _BLOCK
    counter = tf.cast(tf.range(half), tf.uint32)[None]
    x, y = threefry(tuple(word[:, None] for word in bits), (counter, tf.zeros_like(counter)), rounds=12)
    # The inverse of the distribution function: half of the time of Box and Muller's sine and cosine on a CPU.
    u = tf.concat([uniform(x), uniform(y)], axis=1)
    normals = _once(tf.reshape(math.sqrt(2.0) * tf.math.erfinv(2.0 * u - 1.0 + 2.0**-24), [-1, _BLOCK]))
    return tf.reshape(tf.reshape(normals, [-1, 2 * half])[:, :count], [-1, *shape])


@tf.function(jit_compile=True, autograph=False)  # seven times faster on a CPU than op by op
def place_draws(seed: int, step: tf.Tensor, places: tf.Tensor, count: int) -> tf.Tensor:
    """Draws U(0, 1) that belong to no view, for the methods: float32 [len(places), count] in [0, 1).

    Args:
        places: int32 [n], what each row belongs to, such as an image's place in the global batch.
        count: draws of each row, at most 131,072.
    """
    key = Key(seed, step, tf.constant(-1), places)  # wraps to the last range of counters, which no view reaches
    x, y = _bits(key, tf.range((count + 1) // 2)[None], places[:, None])
    return uniform(tf.reshape(tf.stack([x, y], axis=-1), [-1, 2 * ((count + 1) // 2)])[:, :count])


def between(u: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Maps U(0, 1) to U(low, high)."""
    return low + (high - low) * u


def log_between(u: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Maps U(0, 1) to numbers in [low, high] whose logarithm is uniform."""
    return tf.exp(between(u, math.log(low), math.log(high)))


def uniform(bits: tf.Tensor) -> tf.Tensor:
    """Maps uint32 random bits to float32 in [0, 1): multiples of 2^-24."""
    return tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.float32) * 2.0**-24


def threefry(key: tuple, counter: tuple, rounds: int = 20) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes Threefry-2x32: two uint32 of random bits for every pair of uint32 counters, under a pair of keys.

    All four broadcast against each other.
    """
    keys = (key[0], key[1], key[0] ^ key[1] ^ tf.constant(0x1BD11BDA, tf.uint32))
    x, y = counter[0] + keys[0], counter[1] + keys[1]
    for r in range(rounds):
        x = x + y
        turn = tf.constant(_ROTATIONS[r % 8], tf.uint32)
        y = tf.bitwise.left_shift(y, turn) | tf.bitwise.right_shift(y, tf.constant(32, tf.uint32) - turn)
        y = y ^ x
        if r % 4 == 3:
            group = r // 4 + 1
            x = x + keys[group % 3]
            y = y + keys[(group + 1) % 3] + tf.constant(group, tf.uint32)
    return x, y


def _rows(key, start, count):
    """U(0, 1), float32 [B, count], by the counters from `start` on."""
    x, y = _bits(key, start + tf.range((count + 1) // 2)[None], key.images[:, None])
    return _once(uniform(tf.concat([x, y], axis=1)[:, :count]))


def _once(rows):
    """The same numbers [m, n], n small, times one: XLA computes what it multiplies once, and all else again for every
    pixel that needs it."""
    return tf.matmul(rows, tf.eye(rows.shape[1]))


def _bits(key, quantity, image):
    counter = (tf.cast(key.view * _VIEW + quantity, tf.uint32), tf.cast(image, tf.uint32))
    return threefry((tf.constant(key.seed, tf.uint32), tf.cast(key.step, tf.uint32)), counter)
