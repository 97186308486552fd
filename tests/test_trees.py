"""Boosted trees as arrays."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from curate.trees import LEAST_PAGES, LEAVES, RATE, ROUNDS, both_sides, fit_trees, trees_log_odds

RNG = np.random.default_rng(5)
X = RNG.normal(size=(400, 6)).astype(np.float32)
Y = ((X[:, 0] * X[:, 1] > 0) | (X[:, 2] > 1)).astype(float)


def test_they_say_what_scikit_learn_says() -> None:
    made = HistGradientBoostingClassifier(
        max_iter=ROUNDS, learning_rate=RATE, max_leaf_nodes=LEAVES, min_samples_leaf=LEAST_PAGES, l2_regularization=0.5,
        early_stopping=False, random_state=0,
    )  # fmt: skip
    made.fit(*both_sides(X, Y, np.ones(400)))
    unseen = RNG.normal(size=(200, 6)).astype(np.float32)
    arrays = fit_trees(X, Y, np.ones(400), c=2.0, random_state=0)
    assert trees_log_odds(arrays, unseen) == pytest.approx(made.decision_function(unseen), abs=1e-9)
    assert all(array.dtype != object for array in arrays.values()), "nothing that would have to be unpickled"


def test_a_soft_target_counts_on_both_sides_by_its_share() -> None:
    rows, keep, weight = both_sides(X[:2], np.array([0.75, 1.0]), np.array([2.0, 3.0]))
    assert rows.shape == (3, 6)
    assert keep.tolist() == [True, True, False]
    assert weight.tolist() == [1.5, 3.0, 0.5]


def test_soft_targets_are_learned_as_probabilities() -> None:
    halves = np.where(X[:, 0] > 0, 0.8, 0.3)
    said = 1 / (1 + np.exp(-trees_log_odds(fit_trees(X, halves, np.ones(400), c=1.0, random_state=0), X)))
    assert said[X[:, 0] > 0.2].mean() == pytest.approx(0.8, abs=0.05)
    assert said[X[:, 0] < -0.2].mean() == pytest.approx(0.3, abs=0.05)


def test_pages_of_no_weight_are_not_there() -> None:
    weight = (np.arange(400) < 200).astype(float)
    some = trees_log_odds(fit_trees(X, Y, weight, c=1.0, random_state=0), X)
    alone = trees_log_odds(fit_trees(X[:200], Y[:200], np.ones(200), c=1.0, random_state=0), X)
    assert some == pytest.approx(alone)
