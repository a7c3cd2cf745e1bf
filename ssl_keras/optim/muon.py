"""Muon: momentum whose matrices are made orthogonal."""

import math

import keras
import tensorflow as tf

from ssl_keras import distribute
from ssl_keras.optim.adamw import AdamW


@keras.saving.register_keras_serializable(package="ssl_keras")
class Muon(AdamW):
    """Momentum whose matrices are made orthogonal (Jordan et al., 2024), AdamW for all other parameters.

    v ← μv + g;  w ← w − lr·λ·w − lr · 0.2√max(m, n) · O(g + μv), where O is the nearest semi-orthogonal matrix of an
    m x n kernel, a convolution's taken as [height·width·in, out]. The factor gives steps of the size of Adam's, so that
    both share a learning rate (Liu et al., 2025, arXiv:2502.16982, equation 4).

    A departure: AdamW also takes the matrices whose shorter side exceeds `WIDEST`, at a tenth of the rate. O costs the
    square of that side, whatever the batch: two layers of 2,048 x 2,048 in a head take longer than a small network's
    passes. And a step of Adam's, all of whose entries are about as large, stretches such a matrix by 2 lr sqrt(n) where
    O stretches it by 0.2 lr sqrt(n).
    """

    STEPS = ((3.4445, -4.7750, 2.0315),) * 5  # of the Newton-Schulz iteration, Jordan's coefficients
    WIDEST, WIDE_RATE = 1024, 0.1

    def _update(self, gradient, variable, learning_rate):
        if len(variable.shape) < 2 or self._is_wide(variable):
            return super()._update(gradient, variable, learning_rate)
        lr, decay, _ = self._treatment(variable, learning_rate)
        velocity = self._momentums[self._get_variable_index(variable)]
        self.assign(velocity, self.beta_1 * velocity + gradient)
        direction = tf.reshape(gradient + self.beta_1 * velocity, [-1, variable.shape[-1]])
        factor = 0.2 * max(direction.shape) ** 0.5
        self.assign_sub(variable, lr * decay * variable)
        self.assign_sub(variable, lr * factor * tf.reshape(self._orthogonal(direction), variable.shape))

    def _treatment(self, variable, learning_rate):
        lr, decay, excluded = super()._treatment(variable, learning_rate)
        return (self.WIDE_RATE * lr if self._is_wide(variable) else lr), decay, excluded

    def _is_wide(self, variable):
        return len(variable.shape) > 1 and min(math.prod(variable.shape[:-1]), variable.shape[-1]) > self.WIDEST

    def _orthogonal(self, x):
        """U V^T of x = U S V^T, to within singular values of 0.7 to 1.2: float32 [m, n].

        Each step multiplies x by a polynomial of its Gram matrix. Between two steps that matrix can be made from the
        small ones at hand instead of from x, which is up to five times faster for long matrices. It then gathers
        rounding errors, so this is for CPUs, whose products of float32 are those of float32.
        """
        tall = x.shape[0] > x.shape[1]
        x = x / (tf.norm(x) + 1e-7)
        steps_per_gram = len(self.STEPS) if _is_long(x) and not distribute.has_accelerator() else 1
        for first in range(0, len(self.STEPS), steps_per_gram):
            gram = tf.matmul(x, x, transpose_a=tall, transpose_b=not tall)
            identity = product = tf.eye(gram.shape[0])
            for a, b, c in self.STEPS[first : first + steps_per_gram]:
                step = a * identity + b * gram + c * tf.matmul(gram, gram)
                product = step if product is identity else tf.matmul(product, step)
                gram = tf.matmul(gram, tf.matmul(step, step))
            x = tf.matmul(x, product) if tall else tf.matmul(product, x)
        return x


def _is_long(x):
    """Whether to save products with x outweighs those of its Gram matrix with itself."""
    return max(x.shape) > 1.5 * min(x.shape)
