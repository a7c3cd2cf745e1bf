"""A score while a run trains: kNN among its own training images."""

import numpy as np

from ssl_keras.config import Config
from ssl_keras.errors import UserError
from ssl_keras.evals import features, knn
from ssl_keras.evals.subject import Subject

KNN_QUERIES, KNN_BANK = 1000, 10_000


def online_knn(config: Config, encoder, canvases):
    """kNN accuracy among *training* images while training: the test images are not looked at."""
    if len(np.unique(canvases.labels[canvases.labels >= 0])) < 2:
        raise UserError(f"--knn_every needs labeled images of two classes, which {config.data} lacks; leave it out")
    bank, queries = (canvases.subset(rows) for rows in bank_and_queries(canvases.labels))
    embed = features.embedder(lambda x: encoder(x, training=False), config.image_size)

    def measure() -> float:
        subject = Subject(lambda: (features.extract(embed, bank), features.extract(embed, queries)))
        return knn.evaluate(subject, knn.Options())[0].value

    return measure


def bank_and_queries(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of labeled images: those whose labels vote, and those whose labels are held out. Always the same."""
    order = np.random.default_rng(0).permutation(np.flatnonzero(labels >= 0))
    queries = order[: min(KNN_QUERIES, max(1, len(order) // 5))]
    return order[len(queries) :][:KNN_BANK], queries
