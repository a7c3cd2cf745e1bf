"""Seconds of the evaluations' solvers beside NumPy and scikit-learn, in turn, on made features."""

import resource
import time
from collections.abc import Callable

import numpy as np
from sklearn.linear_model import LogisticRegression

from ssl_keras.benchmarks.training import spread
from ssl_keras.evals.linear import PENALTIES
from ssl_keras.scores import logistic, neighbors

ROWS, QUERIES, DIMENSION, CLASSES, K, C = 50_000, 10_000, 512, 10, 200, 0.01
TIGHT = 1e-6  # tolerance of scikit-learn's at which its loss is ours


def run(rounds: int, rows: int = ROWS, queries: int = QUERIES) -> list[dict]:
    """A row for kNN and one for the linear probe: seconds of each, and the ratio of ours to theirs.

    kNN: the 200 nearest of `rows` features for each of `queries`, beside NumPy's `argpartition` of blocks of 512
    queries. Linear: eight penalties of ours beside a single one of scikit-learn's, converged to the same loss.
    """
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, CLASSES, rows + queries)
    hidden = 0.8 * rng.normal(size=(CLASSES, 40))[numbers] + 1.5 * rng.normal(size=(rows + queries, 40))
    x = hidden @ rng.normal(size=(40, DIMENSION)) / 6 + 0.3 * rng.normal(size=(rows + queries, DIMENSION))
    x = np.maximum(x, 0).astype(np.float32)
    bank, asked, numbers = x[:rows], x[rows:], numbers[:rows]
    neighbors.nearest(asked[:600], bank, min(K, rows))  # traced
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    neighbors.nearest(asked, bank, min(K, rows))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    losses = {}

    def ours() -> None:
        regression = logistic.Regression(bank, numbers, CLASSES)
        losses["ours"] = {c: regression.fit(c).objective for c in PENALTIES}[C]

    def theirs() -> None:
        z = (bank - bank.mean(axis=0)) / bank.std(axis=0)
        found = LogisticRegression(C=C, tol=TIGHT, max_iter=2000).fit(z, numbers)
        loss = -found.predict_log_proba(z)[np.arange(rows), numbers].mean()
        losses["theirs"] = float(loss + 0.5 / (C * rows) * (found.coef_**2).sum())

    knn = _in_turn(
        rounds, lambda: neighbors.nearest(asked, bank, min(K, rows)), lambda: _argpartition(asked, bank, min(K, rows))
    )
    linear = _in_turn(rounds, ours, theirs)
    size = {"suite": "evaluation", "rows": rows, "dimension": DIMENSION, "rounds": rounds}
    return [
        size | {"what": "knn", "queries": queries, "k": K, "megabytes_beyond": memory / 1024} | knn,
        size | {"what": "linear", "classes": CLASSES, "penalties": len(PENALTIES), "objective": losses} | linear,
    ]


def table(rows: list[dict]) -> str:
    """The rows as text."""
    knn, linear = rows
    lines = [
        f"knn, {knn['queries']} x {knn['rows']} x {knn['dimension']}, k {knn['k']}: ours beside argpartition; "
        f"{knn['megabytes_beyond']:.0f} MB beyond the features",
        _told(knn),
        f"linear, {linear['rows']} x {linear['dimension']} x {linear['classes']}: {linear['penalties']} penalties of "
        f"ours beside one of scikit-learn's (C {C}); objective there {linear['objective']['ours']:.6f} and "
        f"{linear['objective']['theirs']:.6f}",
        _told(linear),
    ]
    return "\n".join(lines)


def _told(row: dict) -> str:
    parts = {f"{name}, s": value for name, value in row["seconds"].items()} | {"ratio": row["ratio"]}
    return "\n".join(f"  {k:<10}{v['median']:>8.2f}   ({v['min']:.2f} .. {v['max']:.2f})" for k, v in parts.items())


def _in_turn(rounds: int, ours: Callable[[], object], theirs: Callable[[], object]) -> dict:
    taken: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(rounds):
        for name, work in (("ours", ours), ("theirs", theirs)):
            start = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - start)
    ratios = [a / b for a, b in zip(taken["ours"], taken["theirs"])]
    return {"seconds": {name: spread(values) for name, values in taken.items()}, "ratio": spread(ratios)}


def _argpartition(queries: np.ndarray, bank: np.ndarray, k: int) -> None:
    bank, queries = neighbors.unit(bank), neighbors.unit(queries)
    for start in range(0, len(queries), 512):
        similarity = queries[start : start + 512] @ bank.T
        nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        np.take_along_axis(similarity, nearest, axis=1)
