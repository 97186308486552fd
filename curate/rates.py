"""Rates of the whole corpus from a sample of it, and from few labels beside many predictions, with honest intervals.

A page of a sample counts for as many pages of the corpus as its weight says, 1 / its chance to be drawn. Pages of one
group (a host, near-duplicates) are not independent: all variances are over groups. The formulas treat a sample as drawn
with replacement, which is a little wide where it is a large part of the corpus.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curate.errors import BadInput
from curate.intervals import Estimate
from curate.shares import by_group, effective_size, heaviest_of, heaviness_of, share_interval
from curate.weighted import Floats, as_flags, columns_of

__all__ = ["Rate", "kept_precision", "kept_recall", "labels_for_width", "mean", "powered_mean", "slices"]

LEAST_GROUPS = 3
"""Independent labelled groups below which there is no interval."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate from labels and predictions together, beside what the labels alone say."""

    estimate: Estimate
    labels_alone: Estimate
    labelled: int
    predicted: int
    """Pages with a prediction, labelled or not."""
    power: float
    """How much of the predictions is used (lambda of PPI++), 0: none, since they tell nothing of the labels."""
    variance: float = field(repr=False)
    floor: float = field(repr=False)
    """The part of `variance` that is due to the predicted pages, which more labels would not lower."""

    @property
    def narrower(self) -> float:
        """Share of the width of `labels_alone` that the predictions save; below 0 where they do harm, NaN unknown."""
        alone = self.labels_alone.high - self.labels_alone.low
        return 1 - (self.estimate.high - self.estimate.low) / alone if alone > 0 else math.nan

    def labels_for(self, half_width: float, *, level: float = 0.95) -> int | None:
        """Labels in all for an interval of about +-`half_width`, chosen as the present ones were; None where no number
        of labels would do: more pages must be predicted."""
        _positive(half_width, "half_width")
        room = (half_width / _z(level)) ** 2 - self.floor
        return math.ceil(self.labelled * max(self.variance - self.floor, 0.0) / room) if room > 0 else None

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

    def text(self) -> str:
        """`.31 [.27, .35] from 200 labels and 2,000 predictions (26 % narrower than the labels alone)`."""
        said = f"{self.estimate.text()} from {self.labelled:,} labels and {self.predicted:,} predictions"
        if math.isnan(self.narrower):
            return said
        word = "narrower" if self.narrower >= 0 else "wider"
        return f"{said} ({abs(self.narrower):.0%} {word} than the labels alone)".replace("%", " %")


def mean(
    values: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    group: ArrayLike | None = None,
    pages: float | None = None,
    level: float = 0.95,
) -> Estimate:
    """The corpus' mean of `values` (n,): sum w y / sum w (Hajek 1971), or, with the number of `pages` of the corpus,
    sum w y / pages (Horvitz and Thompson 1952), which is without bias and mostly wider.

    The variance is the linearised one over groups (Särndal, Swensson and Wretman 1992, section 5.7). The interval is
    Student's; for shares (all values 0 or 1) Wilson's on the number of draws that would have the same variance, which
    does better near 0 and 1. NaN with fewer than 3 groups; a share on which all agree has the groups' effective size.
    """
    y, weights, members = _sampled(values, weight, group)
    if not weights.any():
        return Estimate(math.nan, math.nan, math.nan, 0)
    if pages is None:
        value = float(weights @ y / weights.sum())
        spread = by_group(weights * (y - value) / weights.sum(), members)
    else:
        _positive(pages, "pages")
        value = float(weights @ y / pages)
        sums = by_group(weights * y / pages, members)
        spread = sums - value / len(sums)
    size = effective_size(weights, members)
    free = max(size - 1, 1e-9)
    variance = float((spread**2).sum()) * size / free
    shares = pages is None and bool(np.isin(y, (0, 1)).all())
    counted = _counted(weights, members, heaviest_of(weights, members), value, variance) if shares else None
    if len(np.unique(members[weights > 0])) < LEAST_GROUPS:
        return Estimate(value, math.nan, math.nan, int((weights > 0).sum()))
    return _interval(value, variance, int((weights > 0).sum()), df=free, share=counted, level=level)


def powered_mean(
    labels: ArrayLike,
    predictions: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    label_weight: ArrayLike | None = None,
    group: ArrayLike | None = None,
    level: float = 0.95,
) -> Rate:
    """The corpus' mean of what people say, by prediction-powered inference (Angelopoulos et al. 2023, Science 382) with
    power tuning (PPI++, Angelopoulos, Duchi and Zrnic 2023, section 6): the mean prediction, corrected by the mean
    difference of label and prediction. In surveys this is the regression estimator (Cassel, Särndal and Wretman 1976).

    All arrays are over the pages of the sample, (N,). `labels` is NaN where people said nothing; the labelled pages
    must be drawn by chance, not chosen by what was predicted, unless `label_weight` says how. `predictions` may be
    biased and on another scale: that costs width, never truth. `weight`: what each page counts for; `label_weight`: what
    each labelled page counts for where it is not that, 1 / (its chance to be in the sample x to be labelled).

    A judge or classifier that learned from the very labels given here predicts them too well: use out-of-fold
    predictions, else the interval is too narrow.
    """
    sample = _Sample.of(labels, predictions, weight, label_weight, group)
    return _powered(sample, np.ones(len(sample.label)), np.zeros(len(sample.label)), level)


def kept_precision(
    kept: ArrayLike,
    labels: ArrayLike,
    predictions: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    label_weight: ArrayLike | None = None,
    group: ArrayLike | None = None,
    level: float = 0.95,
) -> Rate:
    """Share of what the filter keeps that people hold worth keeping: `powered_mean` over the kept pages alone, whose
    number is itself by chance (a domain mean, Särndal, Swensson and Wretman 1992, section 10.3)."""
    sample = _Sample.of(labels, predictions, weight, label_weight, group)
    return _powered(sample.only(_flags(kept, sample)), None, None, level)


def kept_recall(
    kept: ArrayLike,
    labels: ArrayLike,
    predictions: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    label_weight: ArrayLike | None = None,
    group: ArrayLike | None = None,
    level: float = 0.95,
) -> Rate:
    """Share kept of what people hold worth keeping: the ratio of two powered means, of kept pages worth keeping and of
    all pages worth keeping, with the linearised variance of a ratio (Woodruff 1971). Labels are 0 or 1."""
    sample = _Sample.of(labels, predictions, weight, label_weight, group)
    flags = _flags(kept, sample).astype(np.float64)
    return _powered(sample, flags, np.ones(len(flags)), level)


def slices(
    by: ArrayLike,
    labels: ArrayLike,
    predictions: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    label_weight: ArrayLike | None = None,
    group: ArrayLike | None = None,
    level: float = 0.95,
) -> Mapping[str, Rate]:
    """`powered_mean` of each value of `by` (N,), the largest slice first. Where a slice has too few labels its interval
    is NaN. These are many intervals: one in twenty misses."""
    sample = _Sample.of(labels, predictions, weight, label_weight, group)
    names = np.asarray([str(name) for name in np.asarray(by)])
    if len(names) != len(sample.label):
        raise BadInput(f"slices: got {len(names)} values for {len(sample.label)} pages")
    largest = sorted(set(names.tolist()), key=lambda name: -float(sample.weight[names == name].sum()))
    return {name: _powered(sample.only(names == name), None, None, level) for name in largest}


def labels_for_width(
    half_width: float, *, share: float | None = None, sd: float | None = None, effect: float = 1.0, level: float = 0.95
) -> int:
    """Labels for an interval of +-`half_width` around a `share`, or a mean of values with standard deviation `sd`.

    `effect` is the design effect: how many pages carry as much as one independent page of equal weight (`n /
    effective_size`), times 1 - r^2 where predictions that correlate by r with the labels are used as well. A share near
    0 or 1 counts as if `half_width` away from it, since Wilson's interval is never narrower there.
    """
    _positive(half_width, "half_width")
    if (share is None) == (sd is None):
        raise BadInput("labels_for_width: give share or sd, one of them")
    if share is not None and not 0 <= share <= 1:
        raise BadInput(f"labels_for_width: share: must be in 0..1 (got {share:g})")
    near = 0.0 if share is None else min(max(share, min(half_width, 0.5)), max(1 - half_width, 0.5))
    variance = float(sd) ** 2 if sd is not None else near * (1 - near)
    return max(math.ceil(_z(level) ** 2 * variance * effect / half_width**2 - 1e-9), 1)


class _Sample(NamedTuple):
    """Arrays over pages (N,): `label` is 0 where there is none, and there `label_weight` is 0 as well."""

    label: Floats
    prediction: Floats
    weight: Floats
    label_weight: Floats
    member: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        labels: ArrayLike,
        predictions: ArrayLike,
        weight: ArrayLike | None,
        label_weight: ArrayLike | None,
        group: ArrayLike | None,
    ) -> "_Sample":
        given = np.asarray(labels, dtype=np.float64)
        f, weights, members = _sampled(predictions, weight, group)
        there = ~np.isnan(given)
        own = weights if label_weight is None else np.asarray(label_weight, dtype=np.float64)
        if not len(f) == len(given) == len(own):
            raise BadInput(f"rates: every array needs a value for each page (got {len(given)}, {len(f)}, {len(own)})")
        own = np.where(there, own, 0.0)
        if not np.isfinite(own).all() or (own < 0).any():
            raise BadInput("rates: label_weight: must be 0 or above on every labelled page")
        if not own.any():
            raise BadInput("rates: no page has a label; label some pages first")
        return cls(np.where(there, given, 0.0), f, weights, own, members)

    def only(self, pages: NDArray[np.bool_]) -> "_Sample":
        label, prediction, weight, own = (column[pages] for column in self[:4])
        return _Sample(label, prediction, weight, own, self.member[pages])

    @property
    def groups(self) -> int:
        return len(np.unique(self.member[self.label_weight > 0]))

    @property
    def binary(self) -> bool:
        return bool(np.isin(self.label, (0, 1)).all())


def _powered(sample: _Sample, part: Floats | None, whole: Floats | None, level: float) -> Rate:
    """The mean label, or with `whole` set the ratio of the totals of label x part and label x whole."""
    count = len(sample.label)
    part = np.ones(count) if part is None else part
    whole = np.zeros(count) if whole is None else whole
    labelled, predicted = int((sample.label_weight > 0).sum()), int((sample.weight > 0).sum())
    if not labelled:
        none = Estimate(math.nan, math.nan, math.nan, 0)
        return Rate(none, none, 0, predicted, 0.0, math.nan, math.nan)
    alone = _solved(sample, part, whole, 0.0)
    power = _power(sample, part, whole, alone.value)
    # A ratio's own value enters its variance: tuned once more from the better value.
    power = _power(sample, part, whole, _solved(sample, part, whole, power).value) if whole.any() else power
    best = _solved(sample, part, whole, power)
    below = sample.label_weight * (sample.label if whole.any() else 1.0)
    heaviest = heaviest_of(sample.label_weight, sample.member)
    counted = _counted(below, sample.member, heaviest, alone.value, alone.variance) if sample.binary else None
    if sample.groups < LEAST_GROUPS:
        alone, best = alone._replace(variance=math.nan), best._replace(variance=math.nan)
    both = [_interval(s.value, s.variance, labelled, df=s.df, share=counted, level=level) for s in (alone, best)]
    return Rate(both[1], both[0], labelled, predicted, power, best.variance, min(best.floor, best.variance))


class _Solved(NamedTuple):
    value: float
    variance: float
    floor: float
    df: float


def _solved(sample: _Sample, part: Floats, whole: Floats, power: float) -> _Solved:
    ratio = bool(whole.any())
    top = _total(sample, part, power)
    bottom = _total(sample, whole, power) if ratio else 1.0
    value = top / bottom if bottom > 0 else math.nan
    ours, gain, wide = _spreads(sample, part - value * whole if ratio else part)
    size = effective_size(sample.label_weight, sample.member)
    free = max(size - 1 - (power != 0), 1e-9)
    variance = float(((ours - power * gain) ** 2).sum()) * size / free
    if not bottom > 0:
        return _Solved(value, math.nan, math.nan, free)
    return _Solved(value, variance / bottom**2, float((power * wide) @ (power * wide)) / bottom**2, free)


def _total(sample: _Sample, times: Floats, power: float) -> float:
    """The powered mean of label x times."""
    own = sample.label_weight / sample.label_weight.sum()
    both = sample.weight / max(sample.weight.sum(), 1e-300)
    corrected = own @ (times * (sample.label - power * sample.prediction))
    return float(corrected + power * (both @ (times * sample.prediction)))


def _spreads(sample: _Sample, times: Floats) -> tuple[Floats, Floats, Floats]:
    """What each group adds to the error, linearised: of the labels' mean; of the predictions' mean over labelled pages
    less that over all (one minus the other, since labelled pages are in both); of the latter alone."""
    own = sample.label_weight / sample.label_weight.sum()
    both = sample.weight / max(sample.weight.sum(), 1e-300)
    label, prediction = times * sample.label, times * sample.prediction
    ours = by_group(own * (label - own @ label), sample.member)
    theirs = by_group(own * (prediction - own @ prediction), sample.member)
    wide = by_group(both * (prediction - both @ prediction), sample.member)
    return ours, theirs - wide, wide


def _power(sample: _Sample, part: Floats, whole: Floats, value: float) -> float:
    """The share of the predictions that makes the variance least (PPI++, proposition 2): a regression coefficient."""
    if math.isnan(value) or sample.groups < LEAST_GROUPS:
        return 0.0
    ours, gain, _ = _spreads(sample, part - value * whole if whole.any() else part)
    spread = float(gain @ gain)
    return (
        float(ours @ gain) / spread
        if spread > 1e-18 * max(float(sample.prediction @ sample.prediction), 1e-300)
        else 0.0
    )


class _Share(NamedTuple):
    """What an interval of a share needs beside its variance: see `shares.share_interval`. `size` is that behind a share
    on which all pages agree."""

    size: float
    heaviness: float


def _counted(weight: Floats, member: NDArray[np.int64], heaviest: float, share: float, variance: float) -> _Share:
    """Of what labelled pages weigh that count (in a ratio: below the line). A variance less than such weights can have
    is by the luck of having drawn no heavy page of the rarer kind: then the heaviest page counts for all the more."""
    size, heaviness = effective_size(weight, member), heaviness_of(weight, member, heaviest)
    lucky = share * (1 - share) / variance / effective_size(weight) if variance > 0 and 0 < share < 1 else 1.0
    return _Share(size, heaviness * max(lucky, 1.0))


def _interval(value: float, variance: float, n: int, *, df: float, share: _Share | None, level: float) -> Estimate:
    """Student's interval; of a share that of the number of draws with this variance, less what Student's quantile is
    wider than the normal one (Korn and Graubard 1998)."""
    from scipy.stats import t as student

    if math.isnan(value) or math.isnan(variance):
        return Estimate(value, math.nan, math.nan, n)
    quantile = float(student.ppf(0.5 + level / 2, df))
    if share is None:
        half = quantile * math.sqrt(variance)
        return Estimate(value, value - half, value + half, n)
    p = min(max(value, 0.0), 1.0)
    p = round(p) if min(p, 1 - p) < 1e-9 else p
    size = (p * (1 - p) / variance if variance > 0 and 0 < p < 1 else share.size) * (_z(level) / quantile) ** 2
    if not size > 0:
        return Estimate(p, math.nan, math.nan, n)
    return Estimate(p, *share_interval(p, size, heaviness=share.heaviness, level=level), n)


def _sampled(
    values: ArrayLike, weight: ArrayLike | None, group: ArrayLike | None
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    y = np.asarray(values, dtype=np.float64)
    weights = np.ones(y.shape) if weight is None else np.asarray(weight, dtype=np.float64)
    if y.ndim != 1 or not np.isfinite(y).all():
        raise BadInput(f"rates: needs one finite number for each page (got shape {y.shape}); leave the others out")
    columns, members = columns_of([y, weights], group)
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise BadInput("rates: weight: must be 0 or above on every page")
    return columns[0], columns[1], members


def _flags(kept: ArrayLike, sample: _Sample) -> NDArray[np.bool_]:
    flags = as_flags(kept)
    if len(flags) != len(sample.label):
        raise BadInput(f"rates: kept: got {len(flags)} decisions for {len(sample.label)} pages")
    return flags


def _positive(number: float, name: str) -> None:
    if not number > 0:
        raise BadInput(f"{name}: must be above 0 (got {number:g})")


def _z(level: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(0.5 + level / 2)
