"""The exact binomial carried over to pages that weigh unlike and come in groups: tests and bounds of a share.

Clopper and Pearson's upper bound for the share of wrong pages is a quantile of beta(wrong + 1, right), the share of the
one of two gamma variables in both. With weights, each side is a gamma variable with the mean and variance of its weighted
count, and the one more wrong page is as heavy as the heaviest there may be (Fay and Feuer 1997, for rates; Bayer, Fay and
Graubard 2023 show for surveys that it holds where the effective sample size alone is too sure). Where all weigh the same
and stand alone, it is Clopper and Pearson's bound itself.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curate.intervals import Estimate
from curate.weighted import Floats


class Masses(NamedTuple):
    """What right and wrong pages weigh, the sums of squares of what they weigh in each group, and the weight of the
    heaviest group there may be: numbers, or arrays of one shape (a place of the arrays is a place to cut)."""

    right: Floats
    right_squares: Floats
    wrong: Floats
    wrong_squares: Floats
    heaviest: Floats

    def at(self, place: int) -> "Masses":
        """The masses of one place of the arrays."""
        return Masses(*(np.asarray(array[place]) for array in self))

    @property
    def share(self) -> Floats:
        """Share of right ones; NaN where there is nothing."""
        total = self.right + self.wrong
        result: Floats = np.divide(self.right, total, out=np.full(np.shape(total), np.nan), where=total > 0)
        return result


def masses(right: ArrayLike, weight: ArrayLike, member: NDArray[np.int64], *, heaviest: float) -> Masses:
    """Of flags (n,), weights (n,) and group numbers (n,)."""
    flags, weights = np.asarray(right, dtype=np.float64), np.asarray(weight, dtype=np.float64)
    good, bad = by_group(weights * flags, member), by_group(weights * (1 - flags), member)
    return Masses(*(np.asarray(x) for x in (good.sum(), good @ good, bad.sum(), bad @ bad, heaviest)))


def surprise(counted: Masses, aim: float) -> Floats:
    """How likely it is to find at least so many right if the true share is `aim` at most: the p value of "at least
    `aim`". For equal weights P(at least `right` of n), binomial."""
    from scipy.special import betaincc

    shape = np.shape(counted.right)
    if aim <= 0 or aim >= 1:
        return np.full(shape, 0.0 if aim <= 0 else 1.0)
    wrong, right, ratio = _gammas(counted)
    odds = (1 - aim) / aim / ratio
    found = betaincc(wrong, np.maximum(right, 1e-12), odds / (1 + odds))
    return np.where(np.asarray(counted.right) > 0, found, 1.0)


def lower_bound(counted: Masses, error: float) -> float:
    """The share that is reached but with a chance of `error`: one-sided, of one place. 0 where nothing is right."""
    from scipy.special import betaincinv

    if not float(counted.right) > 0:
        return 0.0
    wrong, right, ratio = (float(x) for x in _gammas(counted))
    most = float(betaincinv(wrong, right, 1 - error))
    return (1 - most) / (1 - most + ratio * most)


def estimate_of(counted: Masses, n: int, *, level: float = 0.95) -> Estimate:
    """The share of right ones of one place with the two-sided interval of these bounds; NaN where there is nothing."""
    if not float(counted.right + counted.wrong) > 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    right, right_squares, wrong, wrong_squares, heaviest = counted
    turned = Masses(wrong, wrong_squares, right, right_squares, heaviest)
    tail = (1 - level) / 2
    return Estimate(float(counted.share), lower_bound(counted, tail), 1 - lower_bound(turned, tail), n)


def by_group(values: Floats, member: NDArray[np.int64]) -> Floats:
    """Sums of values (n,) over groups numbered from 0."""
    return np.bincount(member, values).astype(np.float64) if len(values) else np.zeros(1)


def _gammas(counted: Masses) -> tuple[Floats, Floats, Floats]:
    """Shapes of the gammas of wrong and right, and the scale of the one by that of the other."""
    mean, spread = counted.wrong + counted.heaviest, counted.wrong_squares + counted.heaviest**2
    own = np.divide(
        counted.right_squares,
        counted.right,
        out=np.ones(np.shape(counted.right)),
        where=np.asarray(counted.right) > 0,
    )
    return np.asarray(mean**2 / spread), np.asarray(counted.right / own), np.asarray(spread / mean / own)
