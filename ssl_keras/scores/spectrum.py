"""In how many directions representations vary: numbers of the singular values of features [N, D]. No labels are needed.

N limits each of them: compare them at one N, 4 D or more, and only between runs of one method (RankMe,
arXiv:2210.02885, section 5): noise raises a rank too.
"""

import numpy as np

PAIRED = 1024  # rows whose pairs are looked at together
PIECE = 64  # images whose views are looked at together
ALPHA_RANGE = (11, 50)  # of the eigenvalues, counted from 1, to which a power law is fitted


def singular_values(x: np.ndarray) -> np.ndarray:
    """Of features [N, D], largest first, float64 [min(N, D)]; from the smaller Gram matrix."""
    x = np.asarray(x, np.float64)
    gram = x.T @ x if x.shape[1] <= len(x) else x @ x.T
    return np.sqrt(np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0))


def entropy_rank(values: np.ndarray) -> float:
    """exp(entropy of singular values scaled to a sum of 1): from 1 to their number; 0 where all are 0."""
    total = values.sum()
    if not total > 0:
        return 0.0
    p = values[values > 0] / total
    return float(np.exp(-(p * np.log(p)).sum()))


def rankme(x: np.ndarray) -> float:
    """RankMe (arXiv:2210.02885, equation 1): `entropy_rank` of the features as they are, uncentered."""
    return entropy_rank(singular_values(x))


def effective_rank(x: np.ndarray) -> float:
    """`entropy_rank` of the centered features (Roy and Vetterli, 2007).

    Centering keeps a common offset of ReLU features from hiding the others. 0 where nothing varies.
    """
    x = np.asarray(x, np.float64)
    values = singular_values(x - x.mean(axis=0))
    if values[0] <= 1e-7 * max(1.0, float(np.abs(x).max())):
        return 0.0
    return entropy_rank(values)


def stable_rank(x: np.ndarray) -> float:
    """|X|² / (largest singular value)², of centered features."""
    values = singular_values(np.asarray(x, np.float64) - np.mean(x, axis=0, dtype=np.float64))
    return float((values**2).sum() / values[0] ** 2) if values[0] > 0 else 0.0


def alpha_req(x: np.ndarray) -> float | None:
    """α-ReQ (Agrawal et al., 2022): how fast the eigenvalues of the covariance fall, λᵢ ~ i^-α; good near 1.

    The slope of a line through ln λᵢ over ln i, weights 1/i, i from 11 to 50; None with fewer than 50 eigenvalues
    above 0.
    """
    values = singular_values(np.asarray(x, np.float64) - np.mean(x, axis=0, dtype=np.float64)) ** 2
    first, last = ALPHA_RANGE
    if len(values) < last or values[last - 1] <= 1e-12 * max(values[0], 1e-300):
        return None
    i = np.arange(first, last + 1)
    slope, _ = np.polyfit(np.log(i), np.log(values[first - 1 : last]), 1, w=np.sqrt(1.0 / i))
    return float(-slope)


def lidar(x: np.ndarray, delta: float = 1e-4) -> float:
    """LiDAR (arXiv:2312.04000, section 4): the rank of what tells images apart, beside how much their views differ.

    exp(entropy of the eigenvalues of Σ_w^-½ Σ_b Σ_w^-½): Σ_b is the covariance of the images' means, Σ_w that of views
    around them, plus δ I.

    Args:
        x: features of q views of each of n images [n, q, D].
        delta: δ.
    """
    n, q, d = x.shape
    means = x.mean(axis=1, dtype=np.float64)
    apart = means - means.mean(axis=0)
    within = delta * np.eye(d)
    for start in range(0, n, PIECE):
        rows = (x[start : start + PIECE] - means[start : start + PIECE, np.newaxis]).reshape(-1, d)
        within += rows.T @ rows / (n * (q - 1))
    values, vectors = np.linalg.eigh(within)
    whitened = apart @ (vectors * values**-0.5) / np.sqrt(max(n - 1, 1))
    return entropy_rank(singular_values(whitened) ** 2)


def alignment(z: np.ndarray, positive: np.ndarray) -> float:
    """Mean squared distance of the unit vectors of two views [N, D] (arXiv:2005.10242, section 4.1); 0 is the best."""
    return float(((_unit(z) - _unit(positive)) ** 2).sum(axis=1).mean())


def uniformity(z: np.ndarray) -> float:
    """ln of the mean of exp(-2 |z - z'|²) over pairs of unit vectors [N, D] (the same); about -4 is the best, 0 the
    worst."""
    z, total = _unit(z), 0.0
    for start in range(0, len(z), PAIRED):  # each row with those after it, a piece of the pairs at a time
        squared = np.maximum(2.0 - 2.0 * z[start : start + PAIRED] @ z[start:].T, 0.0)
        total += np.triu(np.exp(-2.0 * squared), 1).sum()
    return float(np.log(total / (len(z) * (len(z) - 1) / 2)))


def _unit(z: np.ndarray) -> np.ndarray:
    z = np.asarray(z, np.float64)
    return z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
