"""A small neural network as plain arrays: fitted by scikit-learn, read by numpy."""

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.checked import Array
from curate.trees import both_sides

HIDDEN, DECAY = 32, 10.0
"""Hidden units, and the L2 penalty at `c` 1: strong, as pages are few."""


def fit_network(rows: Any, p: Array, weight: Array, *, c: float, random_state: int) -> dict[str, npt.NDArray[Any]]:
    """One hidden layer of rectified units on rows (n, d) of columns at even spread; `c` divides the penalty."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    spread = np.sqrt(rows.shape[1])
    made = MLPClassifier((HIDDEN,), alpha=DECAY / c, learning_rate_init=3e-3, max_iter=200, random_state=random_state)
    sides, keep, share = both_sides(rows * spread, p, weight)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        made.fit(sides, keep, sample_weight=share / share.mean())
    return {
        "inner": (made.coefs_[0] * spread).astype(np.float32),
        "inner_bias": made.intercepts_[0].astype(np.float32),
        "weights": made.coefs_[1][:, 0].astype(np.float32),
        "bias": made.intercepts_[1].astype(np.float32),
    }


def hidden(arrays: dict[str, npt.NDArray[Any]], rows: Any) -> Any:
    """What the hidden units say of rows (n, d): (n, HIDDEN)."""
    return np.maximum(rows @ arrays["inner"] + arrays["inner_bias"], 0)
