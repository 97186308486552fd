"""Boosted trees as plain arrays: fitted by scikit-learn, read by numpy, so that loading them runs no code of theirs."""

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.checked import Array

ROUNDS, RATE, LEAVES, LEAST_PAGES = 100, 0.06, 8, 10
"""Trees, what each adds, leaves of a tree, pages of a leaf: small trees, as a few hundred to a few thousand pages bear."""


def fit_trees(rows: Any, p: Array, weight: Array, *, c: float, random_state: int) -> dict[str, npt.NDArray[Any]]:
    """Histogram gradient boosting (Ke et al. 2017) of the rows (n, d) to targets `p` (n,) by `weight` (n,); `c` is the
    inverse of the penalty on a leaf's value.

    A soft target is two rows, one of each class, that share its weight. Arrays (trees, nodes), padded with leaves of 0.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    made = HistGradientBoostingClassifier(
        max_iter=ROUNDS, learning_rate=RATE, max_leaf_nodes=LEAVES, min_samples_leaf=LEAST_PAGES, l2_regularization=1 / c,
        early_stopping=False, random_state=random_state,
    )  # fmt: skip
    with threadpool_limits(1):
        made.fit(*both_sides(rows, p, weight))
    trees = [one[0].nodes for one in made._predictors]
    width = max(len(nodes) for nodes in trees)
    return {
        "feature": _padded(trees, "feature_idx", width, np.int32),
        "cut": _padded(trees, "num_threshold", width, np.float64),
        "left": _padded(trees, "left", width, np.int32),
        "right": _padded(trees, "right", width, np.int32),
        "leaf": _padded(trees, "is_leaf", width, np.bool_, fill=True),
        "value": _padded(trees, "value", width, np.float64),
        "depth": np.array([max(int(nodes["depth"].max()) for nodes in trees)]),
        "bias": np.array([float(np.ravel(made._baseline_prediction)[0])]),
        "columns": np.array([rows.shape[1]]),
    }


def trees_log_odds(arrays: dict[str, npt.NDArray[Any]], rows: Any) -> Array:
    """Log-odds (n,) of rows (n, d): all trees go down a level at a time."""
    trees = np.arange(len(arrays["leaf"]))
    at = np.zeros((len(rows), len(trees)), dtype=np.int32)
    pages = np.arange(len(rows))[:, None]
    for _ in range(int(arrays["depth"][0])):
        goes_left = rows[pages, arrays["feature"][trees, at]] <= arrays["cut"][trees, at]
        below = np.where(goes_left, arrays["left"][trees, at], arrays["right"][trees, at])
        at = np.where(arrays["leaf"][trees, at], at, below)
    return np.asarray(arrays["value"][trees, at].sum(axis=1) + arrays["bias"][0], dtype=np.float64)


def both_sides(rows: Any, p: Array, weight: Array) -> tuple[Any, npt.NDArray[np.bool_], Array]:
    """Rows, classes and weights for what knows only classes: a page of target .7 counts .7 as keep and .3 as drop."""
    keep, drop = np.flatnonzero(p * weight > 0), np.flatnonzero((1 - p) * weight > 0)
    sides = np.concatenate([keep, drop])
    share = np.concatenate([(p * weight)[keep], ((1 - p) * weight)[drop]])
    return rows[sides], np.arange(len(sides)) < len(keep), share


def _padded(trees: list[Any], name: str, width: int, kind: Any, *, fill: Any = 0) -> npt.NDArray[Any]:
    found = np.full((len(trees), width), fill, dtype=kind)
    for row, nodes in zip(found, trees, strict=True):
        row[: len(nodes)] = nodes[name]
    return found
