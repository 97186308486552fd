"""The exact binomial carried over to pages that weigh unlike and come in groups: bounds and intervals of a share.

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

from curate.weighted import Floats, columns_of

__all__ = [
    "Masses",
    "by_group",
    "effective_size",
    "heaviest_of",
    "heaviness_of",
    "lower_bound",
    "masses",
    "share_interval",
    "surprise",
]


class Masses(NamedTuple):
    """What right and wrong pages weigh, and the sums of squares of what they weigh in each group: numbers, or arrays of
    one shape; with the weight of the heaviest group there may be."""

    right: Floats
    right_squares: Floats
    wrong: Floats
    wrong_squares: Floats
    heaviest: Floats

    def at(self, place: int) -> "Masses":
        """The masses of one place of the arrays."""
        right, right_squares, wrong, wrong_squares, heaviest = (np.asarray(array[place]) for array in self)
        return Masses(right, right_squares, wrong, wrong_squares, heaviest)

    @property
    def share(self) -> Floats:
        """Share of right ones; NaN where there is nothing."""
        total = self.right + self.wrong
        result: Floats = np.divide(self.right, total, out=np.full(np.shape(total), np.nan), where=total > 0)
        return result

    @property
    def turned(self) -> "Masses":
        """Right and wrong exchanged."""
        return Masses(self.wrong, self.wrong_squares, self.right, self.right_squares, self.heaviest)


def masses(right: ArrayLike, weight: ArrayLike, member: NDArray[np.int64], *, heaviest: float) -> Masses:
    """Of flags (n,), weights (n,) and group numbers (n,)."""
    flags, weights = np.asarray(right, dtype=np.float64), np.asarray(weight, dtype=np.float64)
    good, bad = by_group(weights * flags, member), by_group(weights * (1 - flags), member)
    right, right_squares, wrong, wrong_squares = (
        np.asarray(x) for x in (good.sum(), good @ good, bad.sum(), bad @ bad)
    )
    return Masses(right, right_squares, wrong, wrong_squares, np.asarray(heaviest, dtype=np.float64))


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


def share_interval(share: float, size: float, *, heaviness: float = 1.0, level: float = 0.95) -> tuple[float, float]:
    """A two-sided interval of a share whose variance is that of `size` draws: Jeffreys', which on average covers `level`
    (Brown, Cai and DasGupta 2001), and at 0 and 1, where that falls short, Clopper and Pearson's.

    `heaviness`: what the heaviest page weighs, by the mean weight of a unit of mass (1 for equal weights): half a page
    like it is counted on the side an end is drawn away from, the whole page where none is there.
    """
    low, high = (
        _jeffreys(share, size, heaviness, (1 - level) / 2),
        _jeffreys(1 - share, size, heaviness, (1 - level) / 2),
    )
    return min(low, share), max(1 - high, share)


def _jeffreys(share: float, size: float, heaviness: float, error: float) -> float:
    from scipy.special import betaincinv

    if share <= 0:
        return 0.0
    part = 1.0 if share >= 1 else 0.5
    wrong, spread = (1 - share) * size + part * heaviness, (1 - share) * size + part * heaviness**2
    right = share * size + (0.0 if share >= 1 else 0.5)
    most = float(betaincinv(wrong**2 / spread, right, 1 - error))
    return (1 - most) / (1 - most + spread / wrong * most)


def effective_size(weight: ArrayLike, member: ArrayLike | None = None) -> float:
    """Number of independent equal draws that carry as much as these pages, if all pages of a group say the same:
    (sum W)^2 / sum W^2 over the groups' weights W (Kish 1965, section 11.7). The number of pages, where all weigh the
    same and stand alone; never more."""
    (weights,), members = columns_of([np.asarray(weight, dtype=np.float64)], member)
    sums = by_group(weights, members)
    return float(sums.sum() ** 2 / (sums**2).sum()) if sums.any() else 0.0


def by_group(values: Floats, member: NDArray[np.int64]) -> Floats:
    """Sums of values (n,) over groups numbered from 0."""
    return np.bincount(member, values).astype(np.float64) if len(values) else np.zeros(1)


def heaviest_of(weight: Floats, member: NDArray[np.int64]) -> float:
    """What the heaviest group weighs; 0 of none."""
    return float(by_group(weight, member).max())


def heaviness_of(counted: Floats, member: NDArray[np.int64], heaviest: float) -> float:
    """The heaviest group there may be by the mean weight, weight for weight, of those counted; 1 for equal ones."""
    sums = by_group(counted, member)
    return max(heaviest * float(sums.sum()) / float((sums**2).sum()), 1.0) if sums.any() else math.nan


def _gammas(counted: Masses) -> tuple[Floats, Floats, Floats]:
    """Shapes of the gammas of wrong and right, and the scale of the one by that of the other."""
    mean, spread = counted.wrong + counted.heaviest, counted.wrong_squares + counted.heaviest**2
    safe = np.maximum(counted.right, 1e-300)
    own = np.where(np.asarray(counted.right) > 0, counted.right_squares / safe, 1.0)
    return np.asarray(mean**2 / spread), np.asarray(counted.right / own), np.asarray(spread / mean / own)
