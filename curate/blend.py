"""Several heads' log-odds to one: late fusion, with weights learned on pages that the heads had not seen."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from curate.checked import Array, teaches
from curate.logistic import sigmoid

EVENNESS, MOST_EVEN = 8.0, 0.05
"""How strongly unequal weights are penalised, in pages' worth of loss, and against the mean loss at most: a few hundred
labels tell a useless head from a good one, but not two good ones from each other; thousands do."""


@dataclass(frozen=True)
class Blend:
    """Log-odds of k heads, each at its mean and spread, added up by weights that are at least 0. Arrays (k,)."""

    offset: Array
    scale: Array
    weights: Array
    bias: float

    def log_odds(self, scores: Array) -> Array:
        """Log-odds (n,) of the heads' log-odds (n, k)."""
        return np.asarray(((scores - self.offset) * self.scale) @ self.weights + self.bias, dtype=np.float64)


def fit_blend(scores: Array, p: Array, weight: Array) -> Blend:
    """Weights of heads by the log-odds (n, k) they gave held-out pages of targets `p` (n,); stacking (Breiman 1996) with
    weights held together. With one head, or targets that teach nothing, the heads are averaged."""
    heads = scores.shape[1]
    if heads == 1 or not teaches(p, weight):
        return Blend(np.zeros(heads), np.ones(heads), np.full(heads, 1 / heads), 0.0)
    seen = weight > 0
    offset, spread = scores[seen].mean(axis=0), scores[seen].std(axis=0)
    scale = np.where(spread > 1e-9, 1 / np.maximum(spread, 1e-9), 0.0)
    weights, bias = _nonnegative((scores - offset) * scale, p, weight)
    return Blend(offset, scale, weights, bias)


def _nonnegative(rows: Array, p: Array, weight: Array) -> tuple[Array, float]:
    from scipy import optimize

    heads, share = rows.shape[1], weight / weight.sum()
    even = min(EVENNESS / int((weight > 0).sum()), MOST_EVEN)

    def loss(point: Array) -> tuple[float, Array]:
        z = rows @ point[:-1] + point[-1]
        uneven = point[:-1] - point[:-1].mean()
        off = share * (sigmoid(z) - p)
        value = share @ (np.logaddexp(0, z) - p * z) + even * uneven @ uneven
        return float(value), np.append(rows.T @ off + 2 * even * uneven, off.sum())

    start = np.append(np.full(heads, 1 / heads), 0.0)
    bounds = [(0, None)] * heads + [(None, None)]
    minimize: Any = optimize.minimize
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return found[:-1], float(found[-1])
