"""The benchmark of the solvers runs, and both sides find the same."""

import pytest

from ssl_keras.benchmarks import evaluation


def test_both_sides_reach_the_same_loss():
    knn, linear = evaluation.run(rounds=1, rows=400, queries=50)
    assert linear["objective"]["ours"] == pytest.approx(linear["objective"]["theirs"], abs=1e-4)
    assert knn["ratio"]["median"] > 0 and linear["penalties"] == 8
    assert "ours beside argpartition" in evaluation.table([knn, linear])
