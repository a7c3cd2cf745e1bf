import numpy as np
import pytest
from sklearn.linear_model import Ridge as Reference

from ssl_keras.evals import ridge
from ssl_keras.evals.features import Features
from ssl_keras.scores.ridge import CONSTANT, Ridge
from tests.evals.judge import judged
from tests.evals.test_linear import features


@pytest.mark.parametrize("n", [400, 12])  # more rows than features, and fewer
@pytest.mark.parametrize("l2", [1e-2, 1024.0])
def test_equals_a_reference(n, l2):
    data = features(0, n, 2.0)
    found = Ridge(data.x, data.labels, 4)
    x = np.pad((data.x - data.x.mean(0)) / (data.x.std(0) + 1e-5), ((0, 0), (0, 1)), constant_values=CONSTANT)
    targets = 2.0 * (data.labels[:, None] == np.arange(4)) - 1
    expected = Reference(alpha=l2, fit_intercept=False, solver="svd").fit(x.astype(np.float64), targets).coef_.T
    np.testing.assert_allclose(found.fit(l2), expected, atol=1e-5)


def test_classes_are_found_and_few_labels_have_a_spread():
    train, test = features(0, 400, 12.0), features(1, 400, 12.0)
    assert judged(ridge, train, test)["top1"] > 0.99
    found = judged(ridge, train, test, per_class=2, draws=3)
    assert found["train_examples"] == 8 and found["range"]["top1"][0] <= found["top1"] <= found["range"]["top1"][1]


def test_what_cannot_be_is_refused():
    data = features(0, 20, 1.0, classes=1)
    with pytest.raises(ValueError, match="one class only"):
        judged(ridge, data, data)
    with pytest.raises(ValueError, match="--ridge_l2 must be greater than 0"):
        ridge.Options(l2=0.0)
    other = features(1, 20, 1.0)
    lacking = Features(other.x, np.full(20, 9, np.int32))
    assert judged(ridge, features(0, 40, 1.0), lacking)["top1"] == 0.0
