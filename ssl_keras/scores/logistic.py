"""Multinomial logistic regression, solved to its end for one penalty after another.

The objective is scikit-learn's, divided by C n: mean cross-entropy + |W|² / (2 C n), the bias free of the penalty, on
standardized features. L-BFGS takes few steps where the problem is well conditioned, so its variables are W̃ with
W = V diag(s) W̃, V the eigenvectors of the features' correlations, λ their eigenvalues, and s = (λ + 1/(C n))^(-1/2):
the curvature of the loss in W̃ is then about the same in all directions. The optimum is the same, as the penalty is
still that of W.

All rows are seen at each step, in pieces, on the device: two matrix products each.
"""

import dataclasses
from functools import cache, cached_property

import numpy as np
import scipy.linalg
import scipy.optimize
import tensorflow as tf
import threadpoolctl

from ssl_keras import machine

ROWS = 16_384  # in a piece
ROTATED = 4096  # eigenvectors are found of at most so many features, or rows
FEW = 100_000  # numbers in a piece below which NumPy is faster than a call of TensorFlow
MEMORY_SHARE = 0.2  # of the machine's, for rotated features; larger ones are rotated piece by piece, at every step
TOLERANCE, MEMORY = 1e-7, 20  # of L-BFGS: least relative gain of a step, and pairs that it remembers


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A linear classifier: logits = (x - mean) @ weights + bias.

    Args:
        mean: float32 [D].
        weights: float32 [D, K].
        bias: float32 [K].
        loss: mean cross-entropy on the rows that it was fitted to, without the penalty.
        objective: the same with the penalty.
        evaluations: how often all rows were looked at.
    """

    mean: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    loss: float
    objective: float
    evaluations: int

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Of features [N, D]: float32 [N, K]."""
        pieces = [(x[i : i + ROWS] - self.mean) @ self.weights + self.bias for i in range(0, len(x), ROWS)]
        return np.concatenate(pieces) if pieces else np.zeros((0, len(self.bias)), np.float32)

    def accuracy(self, x: np.ndarray, numbers: np.ndarray) -> float:
        """The share of features [N, D] whose class it finds; a number that it does not know counts as wrong."""
        return float((self.logits(x).argmax(axis=1) == numbers).mean())


class Regression:
    """Features and their classes, made ready once for all penalties.

    Args:
        x: float32 [N, D], also of a file (`numpy.memmap`).
        numbers: int [N], classes from 0 to K - 1.
        classes: K.
    """

    def __init__(self, x: np.ndarray, numbers: np.ndarray, classes: int):
        self.x, self.numbers, self.classes = x, np.asarray(numbers, np.int32), classes
        self.mean, self.scale, self.rotation, self.spread = _directions(x)
        self._kept = x.nbytes <= MEMORY_SHARE * machine.memory_bytes()
        self._last: tuple | None = None  # W and bias of the last penalty, where the next one starts

    def fit(self, c: float, iterations: int = 300) -> Classifier:
        """The optimum for C = `c`; weaker penalties are found soonest after stronger ones."""
        n, d, k = len(self.x), self.rotation.shape[1], self.classes
        strength = 1.0 / (c * n)
        s = (self.spread + strength) ** -0.5

        def objective(flat):
            scaled, bias = flat[: d * k].reshape(d, k), flat[d * k :]
            weights = s[:, np.newaxis] * scaled
            loss, gradient, gradient_of_bias = self._loss(weights, bias)
            self._evaluations += 1
            penalty = 0.5 * strength * float((weights**2).sum())
            gradient = s[:, np.newaxis] * (gradient + strength * weights)
            return loss + penalty, np.concatenate([gradient.ravel(), gradient_of_bias])

        weights, bias = self._last or (np.zeros((d, k)), np.zeros(k))
        self._evaluations = 0
        limits = {"maxiter": iterations, "maxfun": 2 * iterations, "maxcor": MEMORY, "ftol": TOLERANCE, "gtol": 1e-7}
        # L-BFGS itself solves systems of `MEMORY` unknowns: several threads take up to twenty times as long for them.
        with _pools().limit(limits=1, user_api="blas"):
            found = scipy.optimize.minimize(
                objective,
                np.concatenate([(weights / s[:, np.newaxis]).ravel(), bias]),
                jac=True,
                method="L-BFGS-B",
                options=limits,
            )
        weights, bias = s[:, np.newaxis] * found.x[: d * k].reshape(d, k), found.x[d * k :]
        self._last = weights, bias
        loss = self._loss(weights, bias)[0]
        return Classifier(
            self.mean.astype(np.float32),
            (self.scale[:, np.newaxis] * (self.rotation @ weights)).astype(np.float32),
            bias.astype(np.float32),
            loss,
            loss + 0.5 * strength * float((weights**2).sum()),
            self._evaluations,
        )

    def _loss(self, weights: np.ndarray, bias: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Mean cross-entropy, and its gradients by the weights of rotated features [R, K] and by the bias."""
        turn = None if self._kept else self.scale[:, np.newaxis] * self.rotation
        seen = (weights if turn is None else turn @ weights).astype(np.float32)
        bias = bias.astype(np.float32)
        loss, gradient, gradient_of_bias = 0.0, 0.0, 0.0
        for x, numbers in self._pieces if self._kept else self._streamed():
            of_piece = _loss_of_few if isinstance(x, np.ndarray) else _loss_of_piece
            part, by_weights, by_bias = of_piece(x, numbers, seen, bias)
            loss += float(part)
            gradient = gradient + np.asarray(by_weights, np.float64)
            gradient_of_bias = gradient_of_bias + np.asarray(by_bias, np.float64)
        n = len(self.x)
        return loss / n, (gradient if turn is None else turn.T @ gradient) / n, gradient_of_bias / n

    @cached_property
    def _pieces(self) -> list:
        """The rotated features, on the device; few of them in NumPy."""
        turn = (self.scale[:, np.newaxis] * self.rotation).astype(np.float32)
        pieces = [(tf.matmul(x, turn), numbers) for x, numbers in self._streamed()]
        few = self.x.size <= FEW
        return [(x.numpy(), numbers.numpy()) for x, numbers in pieces] if few else pieces

    def _streamed(self):
        mean = self.mean.astype(np.float32)
        for start in range(0, len(self.x), ROWS):
            piece = slice(start, start + ROWS)
            yield tf.constant(self.x[piece] - mean), tf.constant(self.numbers[piece])


@cache
def _pools() -> threadpoolctl.ThreadpoolController:
    """The libraries of linear algebra that SciPy has loaded; finding them takes longer than a fit."""
    return threadpoolctl.ThreadpoolController()


def _directions(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean [D], 1 / standard deviation [D], eigenvectors [D, R] and eigenvalues [R] of the correlations.

    A feature that is constant keeps its scale. Where there are fewer rows than features, only the directions in which
    the rows differ are given: the optimum lies among these. Too many of both are left as they are.
    """
    n, d = x.shape
    pieces = [slice(start, start + ROWS) for start in range(0, n, ROWS)]
    mean = sum(x[piece].sum(axis=0, dtype=np.float64) for piece in pieces) / n
    low = mean.astype(np.float32)
    variance = sum(((x[piece] - low) ** 2).sum(axis=0, dtype=np.float64) for piece in pieces) / n
    deviation = np.sqrt(variance)
    varies = deviation > 1e-6 * max(float(deviation.max()), 1e-12)
    scale = 1.0 / np.where(varies, deviation, 1.0)
    if min(n, d) > ROTATED:
        return mean, scale, np.eye(d), np.ones(d)
    if d <= n:
        gram = np.zeros((d, d))
        for piece in pieces:
            centered = (x[piece] - low) * scale.astype(np.float32)
            gram += tf.matmul(centered, centered, transpose_a=True).numpy()
        # Any orthogonal directions have the same optimum, so float32 is exact enough, and takes half the time.
        values, vectors = scipy.linalg.eigh((gram / n).astype(np.float32), driver="evd")
        return mean, scale, vectors.astype(np.float64), np.maximum(values, 0.0).astype(np.float64)
    centered = (x - low) * scale.astype(np.float32)
    values, left = scipy.linalg.eigh(tf.matmul(centered, centered, transpose_b=True).numpy().astype(np.float64) / n)
    kept = values > 1e-7 * max(float(values[-1]), 1e-12)
    vectors = centered.T.astype(np.float64) @ (left[:, kept] / np.sqrt(n * values[kept]))
    return mean, scale, vectors, values[kept]


def _loss_of_few(x, numbers, weights, bias):
    """`_loss_of_piece` in NumPy."""
    logits = x @ weights + bias
    logits -= logits.max(axis=1, keepdims=True)
    wrong = np.exp(logits)
    sums = wrong.sum(axis=1, keepdims=True)
    rows = np.arange(len(x))
    loss = (np.log(sums[:, 0]) - logits[rows, numbers]).sum(dtype=np.float64)
    wrong /= sums
    wrong[rows, numbers] -= 1
    return loss, x.T @ wrong, wrong.sum(axis=0)


@tf.function(autograph=False, reduce_retracing=True)
def _loss_of_piece(x, numbers, weights, bias):
    """Sum of the cross-entropies of some rows, and its gradients by weights and bias."""
    logits = tf.matmul(x, weights) + bias
    log_shares = tf.nn.log_softmax(logits)
    loss = -tf.reduce_sum(tf.cast(tf.gather(log_shares, numbers, batch_dims=1), tf.float64))
    wrong = tf.exp(log_shares) - tf.one_hot(numbers, tf.shape(bias)[0])
    return loss, tf.matmul(x, wrong, transpose_a=True), tf.reduce_sum(wrong, axis=0)
