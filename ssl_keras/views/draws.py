"""Random draws that are a function of (seed, step, view, quantity, image) alone.

The generator is Threefry-2x32 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), written out in
32-bit integer arithmetic: `tf.random.stateless_uniform` gives other numbers inside XLA than outside. The image's
place in the global batch is part of the counter, so each replica draws its own slice of what one replica would
draw. Every quantity has its own counter: switching an operation off leaves the draws of the others as they were.
"""

import tensorflow as tf

# New quantities go at the end: those before them keep their values.
QUANTITIES = (
    "crop_area", "crop_aspect", "crop_top", "crop_left", "flip",
    "jitter", "order", "brightness", "contrast", "saturation", "hue", "grayscale",
    "blur", "blur_sigma", "solarize",
)  # fmt: skip

_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)


def threefry(key: tuple[tf.Tensor, tf.Tensor], counter: tuple[tf.Tensor, tf.Tensor], rounds: int = 20):
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


def uniform(bits: tf.Tensor) -> tf.Tensor:
    """Maps uint32 random bits to float32 in [0, 1): multiples of 2^-24."""
    return tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.float32) * 2.0**-24


def image_draws(seed: int, step: tf.Tensor, view: int, batch_size, replica=0) -> dict[str, tf.Tensor]:
    """Draws U(0, 1) for every quantity and image of one view.

    Args:
        seed: the run's seed, in [0, 2^31).
        step: int64 scalar, the step of training.
        view: index of the view: the views of one step are independent.
        batch_size: images on this replica; all replicas have equally many.
        replica: id of this replica, int or int32 scalar.

    Returns:
        {quantity: float32 [batch_size] in [0, 1)}.
    """
    key = (tf.constant(seed, tf.uint32), tf.cast(step, tf.uint32))
    pairs = (len(QUANTITIES) + 1) // 2
    quantity = tf.range(pairs) + (view << 16)
    image = tf.range(batch_size) + replica * batch_size
    counter = (tf.cast(quantity, tf.uint32)[:, None], tf.cast(image, tf.uint32)[None])
    rows = uniform(tf.concat(threefry(key, counter), axis=0))
    return dict(zip(QUANTITIES, tf.unstack(rows)))


def between(u: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Maps U(0, 1) to U(low, high)."""
    return low + (high - low) * u
