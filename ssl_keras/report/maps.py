"""Maps: features in two dimensions."""

import importlib.util

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from ssl_keras.scores.neighbors import unit

COMPONENTS, PERPLEXITY = 50, 30.0
LEAST = 5  # images of which t-SNE can make a map


def maps(x: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Places of images by name of the map, float32 [N, 2]: t-SNE, UMAP where umap-learn is installed, and PCA.

    t-SNE and UMAP are made of at most `COMPONENTS` principal components of the unit-length features. Distances between
    groups mean nothing in them.

    Args:
        x: features [N, D], N at least 2.
        seed: of the maps.
    """
    z = unit(x)
    reduced = PCA(min(COMPONENTS, *z.shape), random_state=seed).fit_transform(z)
    if reduced.shape[1] < 2:
        reduced = np.pad(reduced, [(0, 0), (0, 2 - reduced.shape[1])])
    found = {}
    if len(z) >= LEAST:
        perplexity = min(PERPLEXITY, (len(z) - 1) / 3)
        found["t-SNE"] = TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(reduced)
    if len(z) >= LEAST and importlib.util.find_spec("umap"):
        from umap import UMAP

        found["UMAP"] = UMAP(n_neighbors=min(15, len(z) - 1), random_state=seed).fit_transform(reduced)
    found["PCA"] = reduced[:, :2]
    return {name: _scaled(places) for name, places in found.items()}


def _scaled(places: np.ndarray) -> np.ndarray:
    """Centered, the farthest coordinate at 1."""
    places = places - places.mean(axis=0)
    return (places / max(float(np.abs(places).max()), 1e-12)).astype(np.float32)
