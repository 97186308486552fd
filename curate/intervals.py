"""A number with its interval: the bootstrap over pages or groups, and intervals of plain shares."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curate import weighted

MOST_CELLS = 1_000_000
"""Cells of one block of resamples: 8 MB, whatever the number of pages."""
MOST_UNDEFINED = 0.05
"""Share of resamples without a value above which there is no interval."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, its interval and the count of pages behind it. NaN where not defined."""

    value: float
    low: float
    high: float
    n: int

    def as_dict(self) -> dict[str, float | int | None]:
        """For JSON, which has no NaN: null instead."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {**{name: None if math.isnan(x) else float(x) for name, x in numbers.items()}, "n": self.n}

    def text(self) -> str:
        """`.87 [.79, .93]`; says so where the value or its interval is not defined."""
        if math.isnan(self.value):
            return "undefined"
        if math.isnan(self.low) or math.isnan(self.high):
            return f"{_short(self.value)} [no interval]"
        return f"{_short(self.value)} [{_short(self.low)}, {_short(self.high)}]"

    def __str__(self) -> str:
        return self.text()


def bootstrap(
    statistic: weighted.Statistic,
    arrays: Sequence[ArrayLike],
    *,
    groups: ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """`statistic(*arrays)` and its percentile bootstrap interval (Efron and Tibshirani 1993, chapter 13) over pages, or
    over whole groups where `groups` names each page's (hosts, near-duplicates): pages of one group are not independent.

    The interval covers which pages were drawn. It does not cover other raters, another run of a judge that samples, the
    luck of being the best of many tried on the same pages, or a corpus mixed differently from the sample. With fewer
    than about 30 pages (or groups, or pages of the rarer class), or a value close to 0 or 1, it is too narrow.

    Resamples where the statistic is NaN are left out; more than 5 % of them, and the interval is NaN. Where both
    percentiles are one number (a perfect score, a single group) they would claim certainty: accuracy, precision,
    recall, `share`, AUC and balanced accuracy get Wilson's interval instead, on the independent pages or groups behind
    them, all others NaN. Behind AUC, and balanced accuracy, which is the AUC of a yes or no, are those of the rarer
    class: AUC is an average over pairings of each such page with one of the other class, so its variance is at most
    that of one pairing, AUC (1 - AUC) / min(keeps, drops) (Hoeffding 1963, section 5). That is wide, never narrow.

    The statistics of `metrics` run all resamples at once; any other function is called on each, and returns NaN, not an
    error, where it is not defined. `partial(weighted_kappa, levels=6)` sets the settings of a statistic.
    """
    columns, members = weighted.columns_of(arrays, groups)
    n = len(columns[0])
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    over = weighted.over_resamples(statistic)
    value = float(over(np.ones((1, n)), *columns)[0])
    draws = np.concatenate([over(rows, *columns) for rows in _resamples(members, resamples, seed)])
    low, high = _percentiles(draws, level)
    if _agree(low, high):
        count = _independent(statistic, columns, members)
        spread = wilson(value * count, count, level=level)
        low, high = spread.low, spread.high
    return Estimate(value, low, high, n)


def paired_difference(
    statistic: weighted.Statistic,
    truth: ArrayLike,
    score_a: ArrayLike,
    score_b: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """What b gains on a, `statistic(truth, b) - statistic(truth, a)`, both on the same pages in every resample: far
    narrower than two separate intervals, which may overlap where this one excludes 0. Otherwise as `bootstrap`; where
    all resamples agree the interval is NaN, unless a and b are the same, whose difference is exactly 0."""
    (truths, a, b), members = weighted.columns_of([truth, score_a, score_b], groups)
    if len(truths) == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    over = weighted.over_resamples(statistic)

    def gain(rows: weighted.Floats) -> weighted.Floats:
        return over(rows, truths, b) - over(rows, truths, a)

    value = float(gain(np.ones((1, len(truths))))[0])
    draws = np.concatenate([gain(rows) for rows in _resamples(members, resamples, seed)])
    low, high = _percentiles(draws, level)
    if _agree(low, high) and not np.array_equal(a, b):
        low = high = math.nan
    return Estimate(value, low, high, len(truths))


def wilson(successes: float, n: int, *, level: float = 0.95) -> Estimate:
    """A share with Wilson's score interval (1927): on average it covers `level`, also for few pages and near 0 and 1.
    For independent pages. All NaN where n is 0."""
    if n <= 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    z, p = NormalDist().inv_cdf(0.5 + level / 2), successes / n
    centre, scale = p + z * z / (2 * n), 1 + z * z / n
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Estimate(p, min(p, max(0.0, (centre - half) / scale)), max(p, min(1.0, (centre + half) / scale)), n)


def clopper_pearson(successes: int, n: int, *, level: float = 0.95) -> Estimate:
    """A share with the exact binomial interval (Clopper and Pearson 1934): never covers less than `level`, so is wider
    than Wilson's. For independent pages. All NaN where n is 0."""
    from scipy.special import betaincinv

    if n <= 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    tail = (1 - level) / 2
    low = float(betaincinv(successes, n - successes + 1, tail)) if successes > 0 else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    return Estimate(successes / n, low, high, n)


def _resamples(members: NDArray[np.int64], resamples: int, seed: int) -> Iterator[weighted.Floats]:
    """Blocks of rows; a row says how often each page is in one resample. `members` is each page's group, from 0."""
    rng, size = np.random.default_rng(seed), int(members.max()) + 1
    step = max(1, MOST_CELLS // len(members))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
        yield counts[:, members].astype(np.float64)


def _percentiles(draws: weighted.Floats, level: float) -> tuple[float, float]:
    defined = draws[~np.isnan(draws)]
    if len(defined) < (1 - MOST_UNDEFINED) * len(draws) or not len(defined):
        return math.nan, math.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _agree(low: float, high: float) -> bool:
    return abs(high - low) < 1e-12


def _independent(statistic: weighted.Statistic, columns: Sequence[weighted.Array], members: NDArray[np.int64]) -> int:
    """Independent pages or groups behind a share or an AUC; 0 for every other statistic."""

    def count(flags: NDArray[np.bool_]) -> int:
        return len(np.unique(members[flags]))

    if statistic in (weighted.auc, weighted.balanced_accuracy):
        keeps = weighted.as_flags(columns[0])
        return min(count(keeps), count(~keeps))
    if statistic in (weighted.recall, weighted.precision):
        return count(weighted.as_flags(columns[0 if statistic is weighted.recall else 1]))
    return len(np.unique(members)) if statistic in (weighted.accuracy, weighted.share) else 0


def _short(x: float) -> str:
    text = f"{x:.2f}".replace("-0.00", "0.00")
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text
