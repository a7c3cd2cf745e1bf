"""The solver of the linear probe, beside scikit-learn's."""

import numpy as np
import pytest
import threadpoolctl
from sklearn.linear_model import LogisticRegression

from ssl_keras.scores import logistic
from tests.evals.test_linear import features


def correlated(n, d, classes=4):
    """Features of very different spread that vary together, as those of networks do."""
    rng = np.random.default_rng(0)
    data = features(0, n, 2.0, d=d, classes=classes)
    mixed = data.x @ rng.normal(size=(d, d)) * np.logspace(-2, 1, d)
    return np.maximum(mixed, 0).astype(np.float32), data.labels


@pytest.mark.parametrize("n, d", [(500, 12), (60, 90)])  # more rows than features, and fewer
@pytest.mark.parametrize("c", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("kept, few", [(True, 0), (True, 10**9), (False, 0)])  # on the device, in NumPy, streamed
def test_the_optimum_is_scikit_learns(monkeypatch, n, d, c, kept, few):
    monkeypatch.setattr(logistic, "ROWS", 100)
    monkeypatch.setattr(logistic, "FEW", few)
    monkeypatch.setattr(logistic, "MEMORY_SHARE", 0.2 if kept else 0.0)
    x, labels = correlated(n, d)
    found = logistic.Regression(x, labels, 4).fit(c)
    deviation = x.std(axis=0, dtype=np.float64)
    rows = (x - x.mean(axis=0, dtype=np.float64)) / np.where(deviation > 0, deviation, 1)
    reference = LogisticRegression(C=c, tol=1e-8, max_iter=5000).fit(rows, labels)
    shares = reference.predict_log_proba(rows)
    loss = -shares[np.arange(n), labels].mean()
    objective = loss + 0.5 / (c * n) * float((reference.coef_**2).sum())
    assert found.objective == pytest.approx(objective, abs=1e-5) and found.loss == pytest.approx(loss, abs=1e-4)
    assert (found.logits(x).argmax(1) == reference.predict(rows)).mean() >= 0.99


def test_a_path_of_penalties_ends_where_a_single_one_does():
    x, labels = correlated(300, 10)
    path = logistic.Regression(x, labels, 4)
    last = [path.fit(c) for c in (1e-3, 1e-1, 10.0)][-1]
    alone = logistic.Regression(x, labels, 4).fit(10.0)
    assert last.objective == pytest.approx(alone.objective, abs=1e-5)


def test_two_fits_give_the_same_bits():
    x, labels = correlated(300, 10)
    first, second = (logistic.Regression(x, labels, 4).fit(0.1) for _ in range(2))
    np.testing.assert_array_equal(first.weights, second.weights)


def test_too_many_features_are_left_as_they_are(monkeypatch):
    monkeypatch.setattr(logistic, "ROTATED", 5)
    x, labels = correlated(300, 10)
    plain = logistic.Regression(x, labels, 4).fit(0.01)
    monkeypatch.setattr(logistic, "ROTATED", 4096)
    assert plain.objective == pytest.approx(logistic.Regression(x, labels, 4).fit(0.01).objective, abs=1e-4)


def test_nothing_varies():
    found = logistic.Regression(np.full((30, 4), 0.1, np.float32), np.arange(30) % 3, 3).fit(1.0)
    assert found.loss == pytest.approx(np.log(3), abs=1e-6) and np.isfinite(found.weights).all()


def test_a_fit_has_one_thread_of_linear_algebra_and_leaves_the_number_as_it_was(monkeypatch):
    """Of several, L-BFGS's own small systems take many times as long."""

    def threads():
        return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}

    seen, plain = [], logistic._loss_of_few
    monkeypatch.setattr(logistic, "_loss_of_few", lambda *given: seen.append(threads()) or plain(*given))
    x, labels = correlated(60, 10)
    with threadpoolctl.threadpool_limits(2, "blas"):
        logistic.Regression(x, labels, 4).fit(1.0)
        assert threads() == {2}
    assert len(seen) > 2 and all(number == {1} for number in seen[:-1])  # the last: the loss at the optimum
