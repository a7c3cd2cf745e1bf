"""Which images a person should look at: near-duplicates, outliers, doubtful labels, and those to label next."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import MiniBatchKMeans

from ssl_keras.scores.neighbors import nearest, nearest_others, unit

DUPLICATE = 0.13  # of the median distance to the nearest neighbor, below which two images are near-duplicates
DENSITY_NEIGHBORS, NEIGHBORS = 20, 10
LARGEST_CLUSTERS, SMALLEST_CLUSTER = 500, 5  # of TypiClust
ODD_SHARE = 0.01  # of the images, the farthest ones, which the k-center choice leaves out


def distances(cosines: np.ndarray) -> np.ndarray:
    """Distances of unit-length features, 0 to 2, from their cosines."""
    return np.sqrt(np.maximum(2 - 2 * cosines, 0))


def near_duplicates(cosines: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Groups of images whose features nearly agree.

    Two images are near-duplicates where they are nearest neighbors and closer than `DUPLICATE` times the median
    distance to the nearest neighbor, cleanlab's rule (https://docs.cleanlab.ai, "Near Duplicate Issue").

    Args:
        cosines, rows: of `neighbors_of`, [N, k].

    Returns:
        int [N]: the number of the group's first image; an image without a near-duplicate is alone in its group.
    """
    count = len(rows)
    if count < 3:
        return np.arange(count)
    apart = distances(cosines[:, 0])
    close = np.flatnonzero(apart < DUPLICATE * np.median(apart)) if np.median(apart) else np.flatnonzero(apart == 0)
    pairs = coo_array((np.ones(len(close)), (close, rows[close, 0])), shape=(count, count))
    _, group = connected_components(pairs, directed=False)
    _, first = np.unique(group, return_index=True)
    return first[group]


def neighbors_of(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and rows of the `NEIGHBORS` nearest others of each image, as `neighbors.nearest_others` gives them."""
    return nearest_others(x, min(NEIGHBORS, len(x) - 1))


def outlier_distances(cosines: np.ndarray) -> np.ndarray:
    """How far each image is from its nearest ones: the mean distance [N] to the neighbors of `neighbors_of`."""
    return distances(cosines).mean(axis=1)


def margins(shares: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """What a classifier that has not seen an image thinks of its label: its share less the best other class's share.

    In [-1, 1]; below 0 it would choose another label ("normalized margin" of confident learning, arXiv:1911.00068).

    Args:
        shares: probabilities of classes, float [N, K].
        labels: class numbers, int [N].
    """
    rows = np.arange(len(labels))
    own = shares[rows, labels]
    others = shares.copy()
    others[rows, labels] = -1
    return own - others.max(axis=1)


def k_center(x: np.ndarray, number: int, first: int | None = None) -> np.ndarray:
    """Images that cover the data: each is the one farthest from those before (Sener and Savarese, arXiv:1708.00489).

    The `ODD_SHARE` of the images that are farthest from their neighbors are left out: a greedy choice would begin with
    these.

    Args:
        x: features, float32 [N, D].
        number: of images.
        first: the image to begin with; None: the one nearest to the mean.

    Returns:
        int, at most [number], in the order of choice.
    """
    odd = outlier_distances(neighbors_of(x)[0])
    kept = np.flatnonzero(odd <= np.quantile(odd, 1 - ODD_SHARE))
    z = unit(x[kept])
    place = int((z @ z.mean(axis=0)).argmax()) if first is None else int(np.flatnonzero(kept == first)[0])
    chosen, apart = [place], distances(z @ z[place])
    while len(chosen) < min(number, len(kept)):
        place = int(apart.argmax())
        chosen.append(place)
        apart = np.minimum(apart, distances(z @ z[place]))
    return kept[np.array(chosen)]


def typical(x: np.ndarray, number: int, seed: int) -> np.ndarray:
    """One typical image of each of as many clusters, the largest first: TypiClust (arXiv:2202.02794, algorithm 1).

    Typical is an image with a small mean distance to its `DENSITY_NEIGHBORS` nearest ones of the cluster. Clusters of
    `SMALLEST_CLUSTER` images or fewer are left out where there are others.

    Args:
        x: features, float32 [N, D].
        number: of images.
        seed: of k-means.

    Returns:
        int, at most [number], in the order of choice.
    """
    z = unit(x)
    clusters = min(number, LARGEST_CLUSTERS, len(x))
    groups = MiniBatchKMeans(clusters, n_init=3, random_state=seed, batch_size=1024).fit_predict(z)
    sizes = np.bincount(groups, minlength=clusters)
    order = np.argsort(-sizes, kind="stable")
    chosen = []
    for cluster in order[(sizes[order] > SMALLEST_CLUSTER) | (sizes.max() <= SMALLEST_CLUSTER)]:
        members = np.flatnonzero(groups == cluster)
        if len(members):
            cosines, _ = nearest(x[members], x[members], min(DENSITY_NEIGHBORS + 1, len(members)))
            chosen.append(members[int(distances(cosines).mean(axis=1).argmin())])
    return np.array(chosen[:number], np.int64)
