"""Ridge regression on targets of ±1, in closed form: one eigendecomposition serves all penalties.

big_vision's few-shot protocol (google-research/big_vision, `evaluators/fewshot_lsr.py`): features are standardized with
their training statistics (standard deviation + 1e-5), a constant feature of 100 takes the place of a bias, and with
X [N, D + 1] and T [N, K], W = (XᵀX + l2 I)⁻¹ Xᵀ T; the highest of x W is the class.
"""

import numpy as np
import scipy.linalg

ROWS = 16_384  # in a piece
CONSTANT = 100.0


class Ridge:
    """Features and their classes, made ready once for all penalties.

    Args:
        x: float32 [N, D], also of a file (`numpy.memmap`).
        numbers: int [N], classes from 0 to K - 1.
        classes: K.
    """

    def __init__(self, x: np.ndarray, numbers: np.ndarray, classes: int):
        pieces = [slice(start, start + ROWS) for start in range(0, len(x), ROWS)]
        self.mean = sum(x[piece].sum(axis=0, dtype=np.float64) for piece in pieces) / len(x)
        variance = sum(((x[piece] - self.mean) ** 2).sum(axis=0) for piece in pieces) / len(x)
        self.scale = 1.0 / (np.sqrt(variance) + 1e-5)
        targets = np.where(numbers[:, np.newaxis] == np.arange(classes), 1.0, -1.0)
        if len(x) > x.shape[1]:
            gram = sum(rows.T @ rows for rows in map(self._ready, (x[piece] for piece in pieces)))
            self.values, self.vectors = scipy.linalg.eigh(gram, driver="evd")
            image = sum(self._ready(x[piece]).T @ targets[piece] for piece in pieces)
            self._solve = lambda l2: self.vectors @ ((self.vectors.T @ image) / (self.values + l2)[:, np.newaxis])
        else:  # as many equations as rows: the same solution
            rows = self._ready(x)
            self.values, self.vectors = scipy.linalg.eigh(rows @ rows.T, driver="evd")
            self._solve = lambda l2: rows.T @ (
                self.vectors @ ((self.vectors.T @ targets) / (self.values + l2)[:, np.newaxis])
            )

    def fit(self, l2: float) -> np.ndarray:
        """The weights float64 [D + 1, K] for a penalty above 0."""
        return self._solve(l2)

    def logits(self, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Of features [N, D]: float64 [N, K]."""
        pieces = [self._ready(x[start : start + ROWS]) @ weights for start in range(0, len(x), ROWS)]
        return np.concatenate(pieces) if pieces else np.zeros((0, weights.shape[1]))

    def _ready(self, x: np.ndarray) -> np.ndarray:
        return np.pad((x - self.mean) * self.scale, ((0, 0), (0, 1)), constant_values=CONSTANT)
