"""How many pages each stratum gives."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def equally(there: Counts, size: int, *, round_up: bool = False) -> Counts:
    """The same number of each, up to what is there: what one lacks the others give, until `size` is met.

    What is left over when the level is no whole number goes to the first ones; with `round_up` to all of them, so that
    the sum is `size` or a little more.
    """
    there = np.asarray(there, np.int64)
    if there.sum() <= size:
        return there.copy()
    low, high = 0, int(there.max())
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(there, middle).sum() <= size else (low, middle - 1)
    result = np.minimum(there, low)
    more = np.flatnonzero(there > low)
    left = len(more) if round_up else size - int(result.sum())
    result[more[:left]] += 1
    return result


def proportionally(weights: Sequence[float] | NDArray[np.float64], size: int, *, most: Counts | None = None) -> Counts:
    """`size` shared out by weight to whole numbers (largest remainders, Hamilton's method), none above its `most`: what
    is above goes to the others by their weights."""
    weight = np.asarray(weights, np.float64)
    limit = np.full(len(weight), size) if most is None else np.asarray(most, np.int64)
    result, left = np.zeros(len(weight), np.int64), min(size, int(limit.sum()))
    while left:
        open_ = (result < limit) & (weight > 0)
        if not open_.any():
            break
        exact = np.where(open_, weight, 0) / weight[open_].sum() * left
        part = np.minimum(_rounded(exact, left), limit - result)
        result, left = result + part, left - int(part.sum())
    return result


def _rounded(exact: NDArray[np.float64], total: int) -> Counts:
    whole = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - whole), kind="stable")
    whole[order[: total - int(whole.sum())]] += 1
    return whole
