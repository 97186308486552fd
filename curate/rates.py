"""Rates of the whole corpus from few labels beside many predictions: prediction-powered inference.

A page of a sample counts for as many pages of the corpus as its weight says, 1 / its chance to be drawn. Pages of one
group (a host, near-duplicates) are not independent: all variances are over groups. The formulas treat a sample as drawn
with replacement, which is a little wide where it is a large part of the corpus.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curate.errors import BadInput
from curate.intervals import Estimate, wilson
from curate.weighted import Array, Floats, as_flags, columns_of

LEAST_GROUPS = 3
"""Labelled groups below which there is no interval."""
FEW_GROUPS = 5
"""Groups of the rarer kind below which the weights of those drawn say little of those that were not."""


@dataclass(frozen=True)
class Rate:
    """A rate from labels and predictions together, beside what the labels alone say."""

    estimate: Estimate
    labels_alone: Estimate
    labelled: int
    predicted: int
    """Pages with a prediction, labelled or not."""
    power: float
    """How much of the predictions is used (lambda of PPI++); 0: none, since they tell nothing of the labels."""

    @property
    def narrower(self) -> float:
        """Share of the width of `labels_alone` that the predictions save; below 0 where they do harm, NaN unknown."""
        alone = self.labels_alone.high - self.labels_alone.low
        return 1 - (self.estimate.high - self.estimate.low) / alone if alone > 0 else math.nan

    def as_dict(self) -> dict[str, Any]:
        """For JSON: null for NaN."""
        return {
            **self.estimate.as_dict(),
            "labels_alone": self.labels_alone.as_dict(),
            "labelled": self.labelled,
            "predicted": self.predicted,
            "power": self.power,
            "narrower": None if math.isnan(self.narrower) else self.narrower,
        }


class Sampled(NamedTuple):
    """Pages of the sample, arrays (n,): `label` 0 or 1 and 0 where there is none; what a labelled page stands for (0
    where it has no label); the prediction; what a page stands for among the predicted; its group, from 0."""

    label: Floats
    own: Floats
    prediction: Floats
    weight: Floats
    member: NDArray[np.int64]

    def only(self, pages: NDArray[np.bool_]) -> "Sampled":
        """These pages alone."""
        label, own, prediction, weight = (column[pages] for column in self[:4])
        return Sampled(label, own, prediction, weight, self.member[pages])

    @property
    def groups(self) -> int:
        """Groups with a label."""
        return len(np.unique(self.member[self.own > 0]))


def sampled(
    labels: ArrayLike, predictions: ArrayLike, *, weight: ArrayLike | None = None, group: ArrayLike | None = None
) -> Sampled:
    """The pages of a sample, (n,): `labels` 1, 0, or NaN where people said nothing; `predictions` any finite number.

    The labelled pages must be drawn by chance from the sample, not chosen by what was predicted: then those without a
    label are made to stand for all pages that they were drawn from. A judge or classifier that learned from the very
    labels given here predicts them too well: give out-of-fold predictions. Raises BadInput where the arrays don't fit.
    """
    given, predicted = np.asarray(labels, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    weights = np.ones(len(given)) if weight is None else np.asarray(weight, dtype=np.float64)
    columns, members = columns_of([given, predicted, weights], group)
    if not np.isfinite(predicted).all() or not np.isfinite(weights).all() or (weights < 0).any():
        raise BadInput(
            "rates: needs a finite prediction and a weight of 0 or above for every page; leave the others out"
        )
    there = ~np.isnan(given)
    as_flags(given[there])
    return Sampled(np.where(there, given, 0.0), np.where(there, weights, 0.0), predicted, columns[2], members)


def powered_share(sample: Sampled, *, level: float = 0.95) -> Rate:
    """The corpus' share of pages worth keeping, by prediction-powered inference (Angelopoulos et al. 2023, Science 382)
    with power tuning (PPI++, Angelopoulos, Duchi and Zrnic 2023, section 6): the mean prediction, corrected by the mean
    difference of label and prediction on the labelled pages. In surveys this is the regression estimator (Cassel, Särndal
    and Wretman 1976). Predictions may be biased and on another scale: that costs width, never truth."""
    return _powered(sample, np.ones(len(sample.label)), None, level)


def kept_precision(sample: Sampled, kept: ArrayLike, *, level: float = 0.95) -> Rate:
    """Share of what the filter keeps, flags (n,), that people hold worth keeping: `powered_share` of the kept pages alone
    (a domain mean, Särndal, Swensson and Wretman 1992, section 10.3)."""
    return powered_share(sample.only(_flags(kept, sample)), level=level)


def kept_recall(sample: Sampled, kept: ArrayLike, *, level: float = 0.95) -> Rate:
    """Share kept of what people hold worth keeping: the ratio of two powered means, of kept pages worth keeping and of
    all pages worth keeping, with the linearised variance of a ratio (Woodruff 1971)."""
    flags = _flags(kept, sample).astype(np.float64)
    return _powered(sample, flags, np.ones(len(flags)), level)


class _Solved(NamedTuple):
    value: float
    variance: float
    free: float
    """Degrees of freedom of the variance."""


def _powered(sample: Sampled, part: Floats, whole: Floats | None, level: float) -> Rate:
    """The mean of label x part or, with `whole`, its ratio to the mean of label x whole."""
    labelled, predicted = int((sample.own > 0).sum()), int((sample.weight > 0).sum())
    none = Estimate(math.nan, math.nan, math.nan, labelled)
    if not labelled:
        return Rate(none, none, 0, predicted, 0.0)
    alone = _solved(sample, part, whole, 0.0)
    if sample.groups < LEAST_GROUPS or math.isnan(alone.value):
        value = Estimate(alone.value, math.nan, math.nan, labelled)
        return Rate(value, value, labelled, predicted, 0.0)
    power = _power(sample, part, whole, alone.value)
    best = _solved(sample, part, whole, power)
    base = _draws(sample, alone, part, whole)
    gain = best.variance / alone.variance if alone.variance > 1e-15 else 1.0
    both = [_interval(found, base / by, labelled, level=level) for found, by in ((alone, 1.0), (best, gain))]
    return Rate(both[1], both[0], labelled, predicted, power)


def _draws(sample: Sampled, alone: _Solved, part: Floats, whole: Floats | None) -> float:
    """Independent equal draws that carry as much as the labels alone: those with the same variance, but no more than the
    effective size, since a variance below that of such weights can be the luck of having drawn no heavy page of the
    rarer kind. Where fewer than 5 groups of either kind were drawn, the heaviest page is counted as if it were unseen."""
    below = sample.own * (sample.label if whole is not None else 1.0)
    right = below * part * sample.label
    alone_each = np.arange(len(below))  # what groups add is in the variance
    size = effective_size(below, alone_each)
    rarer = min(int((_by_group(x, sample.member) > 1e-12).sum()) for x in (right, below - right))
    if rarer < FEW_GROUPS:
        size /= max(float(sample.own.max() * below.sum() / (below @ below)), 1.0)
    p = alone.value
    return min(p * (1 - p) / alone.variance, size) if alone.variance > 1e-15 and 0 < p < 1 else size


def _solved(sample: Sampled, part: Floats, whole: Floats | None, power: float) -> _Solved:
    top = _total(sample, part, power)
    bottom = 1.0 if whole is None else _total(sample, whole, power)
    if not bottom > 0:
        return _Solved(math.nan, math.nan, 1.0)
    value = top / bottom
    ours, gain = _spreads(sample, part if whole is None else part - value * whole)
    size = effective_size(sample.own, sample.member)
    free = max(size - 1 - (power != 0), 1.0)
    return _Solved(value, float(((ours - power * gain) ** 2).sum()) * size / free / bottom**2, free)


def _total(sample: Sampled, times: Floats, power: float) -> float:
    """The powered mean of label x times."""
    own, both = _normed(sample)
    corrected = own @ (times * (sample.label - power * sample.prediction))
    return float(corrected + power * (both @ (times * sample.prediction)))


def _normed(sample: Sampled) -> tuple[Floats, Floats]:
    """Weights of the labelled and of the predicted pages, each with a sum of 1."""
    return sample.own / sample.own.sum(), sample.weight / sample.weight.sum()


def _spreads(sample: Sampled, times: Floats) -> tuple[Floats, Floats]:
    """What each group adds to the error, linearised: of the labels' mean; of the predictions' mean over labelled pages
    less that over all (one minus the other, since labelled pages are in both)."""
    own, both = _normed(sample)
    label, prediction = times * sample.label, times * sample.prediction
    ours = _by_group(own * (label - own @ label), sample.member)
    theirs = _by_group(own * (prediction - own @ prediction), sample.member)
    return ours, theirs - _by_group(both * (prediction - both @ prediction), sample.member)


def _power(sample: Sampled, part: Floats, whole: Floats | None, value: float) -> float:
    """The lambda with the least variance, kept within 0..1."""
    ours, gain = _spreads(sample, part if whole is None else part - value * whole)
    square = float(gain @ gain)
    return min(max(float(ours @ gain) / square, 0.0), 1.0) if square > 1e-18 else 0.0


def _interval(solved: _Solved, draws: float, n: int, *, level: float) -> Estimate:
    """Wilson's on so many draws, less what Student's quantile is wider than the normal one (Korn and Graubard 1998)."""
    from statistics import NormalDist

    from scipy.stats import t as student

    p = min(max(solved.value, 0.0), 1.0)
    z, wide = NormalDist().inv_cdf(0.5 + level / 2), float(student.ppf(0.5 + level / 2, solved.free))
    count = max(round(draws * (z / wide) ** 2), 1)
    found = wilson(p * count, count, level=level)
    return Estimate(p, found.low, found.high, n)


def effective_size(weight: Floats, member: Array) -> float:
    """Independent equal draws that carry as much as these pages, if all pages of a group say the same: (sum W)^2 / sum W^2
    over the groups' weights W (Kish 1965, section 11.7)."""
    sums = _by_group(weight, member)
    return float(sums.sum() ** 2 / (sums**2).sum()) if sums.any() else 0.0


def _by_group(values: Floats, member: NDArray[np.int64]) -> Floats:
    return np.bincount(member, values).astype(np.float64)


def _flags(kept: ArrayLike, sample: Sampled) -> NDArray[np.bool_]:
    flags = as_flags(kept)
    if len(flags) != len(sample.label):
        raise BadInput(f"rates: kept: got {len(flags)} decisions for {len(sample.label)} pages")
    return flags
