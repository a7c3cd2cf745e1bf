"""Clusters: do k-means groups of the features agree with the classes (NMI, ARI, AMI, accuracy), and are they apart?"""

import dataclasses

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn import metrics
from sklearn.cluster import KMeans

from ssl_keras.errors import UserError
from ssl_keras.evals import few
from ssl_keras.evals.features import check, sizes
from ssl_keras.evals.subject import Row, Subject
from ssl_keras.scores.neighbors import unit

NEEDS = ("features",)
SILHOUETTE_IMAGES = 5000


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the clusters.

    Args:
        number: of clusters; 0: as many as there are classes
        draws: how often k-means starts from other centers; the scores are means
    """

    number: int = 0
    draws: int = 3

    def __post_init__(self):
        if self.number < 0 or self.number == 1 or self.draws < 1:
            raise UserError(
                f"--clusters_number must be 0 (as many as classes) or at least 2, and --clusters_draws at least 1, got "
                f"{self.number} and {self.draws}"
            )


def evaluate(subject: Subject, options: Options) -> list[Row]:
    """k-means on the test images' unit-length features, and how its clusters agree with their classes.

    Accuracy is that of the best one-to-one assignment of clusters to classes. The silhouette needs no labels.

    Raises:
        UserError: features are missing or not finite, or nothing says how many clusters there are.
    """
    train, test = subject.features
    check(train, test)
    labeled = bool((test.labels >= 0).all())
    classes, numbers = np.unique(test.labels, return_inverse=True)
    number = options.number or (len(classes) if labeled else 0)
    if number < 2:
        raise UserError("nothing says how many clusters there are: set --clusters_number, such as 10")
    if number >= len(test.x):
        raise UserError(f"{number} clusters of {len(test.x)} test images: there must be fewer clusters than images")
    x = unit(test.x)
    found: dict[str, list[float]] = {}
    for draw in range(options.draws):
        groups = KMeans(number, n_init=1, random_state=subject.seed + draw).fit_predict(x)
        for name, value in _scores(x, groups, numbers if labeled else None, subject.seed).items():
            found.setdefault(name, []).append(value)
    known = {"clusters": number, "draws": options.draws} | sizes(train, test)
    return [few.mean(name, values, known, share=name != "silhouette") for name, values in found.items()]


def _scores(x: np.ndarray, groups: np.ndarray, numbers: np.ndarray | None, seed: int) -> dict[str, float]:
    found = {}
    if numbers is not None:
        found = {
            "nmi": metrics.normalized_mutual_info_score(numbers, groups),
            "ari": metrics.adjusted_rand_score(numbers, groups),
            "ami": metrics.adjusted_mutual_info_score(numbers, groups),
            "accuracy": accuracy(numbers, groups),
        }
    if len(np.unique(groups)) > 1:
        sample = min(SILHOUETTE_IMAGES, len(x))
        found["silhouette"] = metrics.silhouette_score(x, groups, sample_size=sample, random_state=seed)
    return {name: float(value) for name, value in found.items()}


def accuracy(numbers: np.ndarray, groups: np.ndarray) -> float:
    """The share of rows whose cluster is assigned to their class, by the best one-to-one assignment."""
    table = metrics.cluster.contingency_matrix(numbers, groups)
    rows, columns = linear_sum_assignment(-table)
    return float(table[rows, columns].sum() / len(numbers))
