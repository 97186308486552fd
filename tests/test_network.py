"""A small network as arrays."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from curate.network import HIDDEN, fit_network, hidden

RNG = np.random.default_rng(6)
X = (RNG.normal(size=(500, 4)) / 2).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(float)


def said(arrays: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    return hidden(arrays, rows) @ arrays["weights"] + arrays["bias"][0]


def test_it_learns_what_no_line_parts() -> None:
    arrays = fit_network(X, Y, np.ones(500), c=100.0, random_state=0)
    unseen = (RNG.normal(size=(300, 4)) / 2).astype(np.float32)
    assert hidden(arrays, unseen).shape == (300, HIDDEN)
    assert roc_auc_score(unseen[:, 0] * unseen[:, 1] > 0, said(arrays, unseen)) > 0.9


def test_the_same_pages_give_the_same_network() -> None:
    one, two = (fit_network(X, Y, np.ones(500), c=1.0, random_state=3) for _ in range(2))
    assert all((one[key] == two[key]).all() for key in one)


def test_a_stronger_penalty_says_less() -> None:
    weak, strong = (said(fit_network(X, Y, np.ones(500), c=c, random_state=0), X).std() for c in (100.0, 0.1))
    assert strong < weak / 3


def test_pages_of_no_weight_are_not_there() -> None:
    weight = (np.arange(500) < 250).astype(float)
    some = said(fit_network(X, Y, weight, c=1.0, random_state=0), X)
    alone = said(fit_network(X[:250], Y[:250], np.ones(250), c=1.0, random_state=0), X)
    assert some == pytest.approx(alone, abs=1e-4)
