"""Logistic regression to soft targets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from curate.logistic import log_odds, logistic, sigmoid

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4))
Y = (X[:, 0] + RNG.normal(size=120) > 0).astype(float)


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_hard_targets_give_what_scikit_learn_gives(c: float) -> None:
    weights, bias = logistic(X, Y, np.ones(120), c=c)
    other = LogisticRegression(C=c, max_iter=5000, tol=1e-8).fit(X, Y)
    assert weights == pytest.approx(other.coef_[0], abs=2e-3)
    assert bias == pytest.approx(other.intercept_[0], abs=2e-3)


def test_a_soft_target_is_a_page_split_between_both_classes() -> None:
    p = np.linspace(0.1, 0.9, 120)
    weights, bias = logistic(X, p, np.ones(120), c=1.0)
    twice = np.concatenate([X, X])
    split, other = logistic(twice, np.repeat([1.0, 0.0], 120), np.concatenate([p, 1 - p]), c=1.0)
    assert weights == pytest.approx(split, abs=1e-3)
    assert bias == pytest.approx(other, abs=1e-3)


def test_sparse_rows_are_the_dense_ones_and_unused_columns_get_nothing() -> None:
    sparse = csr_matrix(np.hstack([X, np.zeros((120, 3))]))
    weights, bias = logistic(sparse, Y, np.ones(120), c=1.0)
    dense, other = logistic(X, Y, np.ones(120), c=1.0)
    assert weights[:4] == pytest.approx(dense, abs=1e-3)
    assert (weights[4:] == 0).all()
    assert bias == pytest.approx(other, abs=1e-3)


@given(st.floats(0, 1))
def test_log_odds_go_there_and_back(p: float) -> None:
    odds = log_odds(np.array([p]))
    assert np.isfinite(odds).all()
    assert sigmoid(odds)[0] == pytest.approx(p, abs=1e-8)
