"""Logistic regression to soft targets, and log-odds."""

from typing import Any

import numpy as np

from curate.checked import Array

STEPS, PRECISION = 500, 1e-5
"""Most steps of the solver, and the gradient of the mean loss at which it stops."""


def logistic(x: Any, p: Array, weight: Array, *, c: float) -> tuple[Array, float]:
    """Coefficients (d,) and intercept that predict targets `p` (n,) in [0, 1] from rows `x` (n, d), sparse or dense.

    The loss is the cross-entropy to p by weight, with an L2 penalty of inverse strength `c` on all but the intercept;
    with p of 0 and 1 it is scikit-learn's. Columns that no row uses get 0 and cost nothing.
    """
    from scipy import optimize
    from threadpoolctl import threadpool_limits

    used = np.unique(x.indices) if hasattr(x, "indices") else np.arange(x.shape[1])
    rows = x[:, used].astype(np.float64)
    total = weight.sum()

    def loss(point: Array) -> tuple[float, Array]:
        z = rows @ point[:-1] + point[-1]
        value = weight @ (np.logaddexp(0, z) - p * z) + point[:-1] @ point[:-1] / (2 * c)
        off = weight * (sigmoid(z) - p)
        return float(value / total), np.append(rows.T @ off + point[:-1] / c, off.sum()) / total

    # The products are small: on a busy machine BLAS threads that wait for each other made this 30 times slower.
    with threadpool_limits(1):
        options = {"maxiter": STEPS, "gtol": PRECISION, "ftol": 1e-12}
        minimize: Any = optimize.minimize  # its stubs know no function that gives value and gradient
        found = minimize(loss, np.zeros(len(used) + 1), jac=True, method="L-BFGS-B", options=options).x
    coefficients = np.zeros(x.shape[1])
    coefficients[used] = found[:-1]
    return coefficients, float(found[-1])


def sigmoid(log_odds: Any) -> Array:
    """Probabilities of log-odds."""
    from scipy.special import expit

    return np.asarray(expit(log_odds), dtype=np.float64)


def log_odds(probability: Array) -> Array:
    """Log-odds of probabilities, finite at 0 and 1."""
    from scipy.special import logit

    return np.asarray(logit(np.clip(probability, 1e-9, 1 - 1e-9)), dtype=np.float64)
