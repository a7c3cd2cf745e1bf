import numpy as np
import pytest

from ssl_keras.evals import retrieval
from ssl_keras.evals.features import Features
from tests.evals.judge import judged
from tests.evals.test_linear import features


def plain(test, k):
    """Each metric from its definition, one query at a time."""
    x = test.x / np.linalg.norm(test.x, axis=1, keepdims=True)
    recall, at_r, whole = [], [], []
    for i in range(len(x)):
        order = [j for j in np.argsort(-(x @ x[i])) if j != i]
        hits = test.labels[order] == test.labels[i]
        if not hits.any():
            continue
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        r = hits.sum()
        recall.append(hits[:k].any())
        whole.append(precision[hits].mean())
        at_r.append((precision * hits)[:r].sum() / r)
    return np.mean(recall), np.mean(at_r), np.mean(whole)


def test_equals_the_definitions():
    test = features(1, 90, 1.0)
    test.labels[0] = 9  # the only one of its class: no query
    found = judged(retrieval, test, test, k=(1, 5))
    recall, at_r, whole = plain(test, 5)
    assert found["queries"] == 89
    assert found["recall@5"] == pytest.approx(recall) and found["map_at_r"] == pytest.approx(at_r)
    assert found["map"] == pytest.approx(whole)
    part = judged(retrieval, test, test, k=(1, 5), whole=False)
    assert "map" not in part and part["map_at_r"] == found["map_at_r"] and part["recall@1"] == found["recall@1"]


def test_limits():
    labels = np.arange(20, dtype=np.int32) % 2
    apart = Features(np.eye(2, dtype=np.float32)[labels], labels)
    assert judged(retrieval, apart, apart)["map"] == 1.0
    alone = Features(apart.x, np.arange(20, dtype=np.int32))
    with pytest.raises(ValueError, match="no class has two test images"):
        judged(retrieval, alone, alone)
