"""How well people agree: their consensus, chance-corrected agreement, and the ceiling it sets for judges."""

import math
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from curate.errors import BadInput
from curate.metrics import Estimate, bootstrap, evaluate, kappa, weighted_kappa, worth_keeping
from curate.weighted import Statistic

Label = tuple[str, str, int | None]
"""Page id, rater, level. In the order they were given: a rater's last label of a page counts, None takes it back."""
V = TypeVar("V", bound=Hashable)
Metric = Literal["ordinal", "nominal", "interval"]


@dataclass(frozen=True, slots=True)
class Consensus:
    """What the raters of one page said together."""

    level_mean: float
    level: int
    """The median, the lower level where it falls between two."""
    n: int
    """Raters."""
    spread: int
    """Highest level minus lowest."""


def consensus(labels: Iterable[Label], *, scale: str = "ordinal") -> dict[str, Consensus]:
    """Page id to consensus. On a `choice` scale both are the class most raters name, and the spread is how many classes
    were named beside it. `level` and the mean can part: of 3, 3 and 0 the median is 3 and the mean 2. `evaluate`
    takes either: give it `level_mean` (finer) or `level` (the majority), and the same one everywhere."""
    found = {}
    for page_id, said in _by_page(labels).items():
        if scale == "choice":
            chosen = majority(said.values())
            found[page_id] = Consensus(float(chosen), chosen, len(said), len(set(said.values())) - 1)
            continue
        levels = np.array(list(said.values()))
        middle = math.floor(np.median(levels))
        found[page_id] = Consensus(float(levels.mean()), middle, len(levels), int(np.ptp(levels)))
    return found


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One rater's level of one page beside the mean of the page's other raters."""

    page_id: str
    rater: str
    level: int
    others_mean: float


def leave_one_out(labels: Iterable[Label], *, scale: str = "ordinal") -> list[LeftOut]:
    """Every label of the pages with two raters or more, beside the mean of the others', or the class that most of them
    name (the first of those in a tie) on a `choice` scale. Evaluating a judge on these rows, its score repeated for each
    and grouped by page, holds it to the truth `human_ceiling` holds people to."""
    rows = []
    for page_id, said in _by_page(labels).items():
        for rater, level in said.items():
            if len(said) > 1:
                others = [other for name, other in said.items() if name != rater]
                together = majority(others) if scale == "choice" else sum(others) / len(others)
                rows.append(LeftOut(page_id, rater, level, float(together)))
    return rows


def majority(said: Collection[int]) -> int:
    """The class most raters name, the first of those in a tie."""
    counts = Counter(said)
    return min(counts, key=lambda level: (-counts[level], level))


@dataclass(frozen=True, slots=True)
class Ceiling:
    """How well a person does at what judges are asked to do. Without `estimates`, `note` says why."""

    estimates: dict[str, Estimate] = field(default_factory=dict)
    """As `metrics.evaluate`, but `n` counts pages, not labels."""
    pages: int = 0
    """Pages with two raters or more."""
    raters: int = 0
    note: str = ""
    """What a reader of the numbers must know."""


def human_ceiling(
    labels: Iterable[Label],
    *,
    keep: int | Collection[int],
    levels: int,
    groups: Mapping[str, str] | None = None,
    scale: str = "ordinal",
) -> Ceiling:
    """Each rater against the mean of the others on the same pages, pooled over raters, through the same `evaluate` as
    judges. Intervals are over pages, or over `groups` (page id to group), since the labels of a page hang together.

    Read it as a low estimate of what can be reached, for two reasons. A judge is held to the mean of all raters, a
    person to that of one fewer: with two raters, to one single other person, whose own noise counts against the first,
    while the mean of two is steadier. And a person gives whole levels, whose ties count half in AUC, where a judge's
    score has few. The first alone is large: of three simulated raters of one skill (levels 0..5, noise of 1.2 levels),
    two have a ceiling of AUC .80 and the third scores .84 against their mean. So a judge above this ceiling need not be
    better than a person; on the rows of `leave_one_out` the first difference vanishes. Pages with more raters count more,
    once for each; pages with one are not in it. On a `choice` scale a person names a class as judges do, and the score
    is whether it is one to keep.
    """
    everything = _checked(labels, levels)
    rows = leave_one_out(everything, scale=scale)
    raters = len({rater for said in _by_page(everything).values() for rater in said})
    if not rows:
        return Ceiling(raters=raters, note=_why_none(raters))
    said = np.array([row.level for row in rows])
    pages = len({row.page_id for row in rows})
    found = evaluate(
        truth_level=[row.others_mean for row in rows],
        score=worth_keeping(said, keep).astype(np.float64) if scale == "choice" else said,
        level=said,
        keep=keep,
        levels=levels,
        groups=[_group(row.page_id, groups) for row in rows],
        scale=scale,
    )
    return Ceiling({name: replace(x, n=pages) for name, x in found.items()}, pages, raters, _bias(len(rows) / pages))


def _why_none(raters: int) -> str:
    if raters < 2:
        return f"no human ceiling: {raters} rater; have a second person label some of the same pages"
    return f"no human ceiling: {raters} raters share no page; have two people label the same pages"


def _bias(raters_a_page: float) -> str:
    others = "one other" if raters_a_page == 2 else "the other raters"
    return (
        f"{raters_a_page:.1f} raters a page: people are held to {others}, judges to all of them, which favours judges"
    )


@dataclass(frozen=True, slots=True)
class Pair:
    """Agreement of two raters on the pages both labelled."""

    raters: tuple[str, str]
    keep: Estimate
    """Cohen's kappa of keep and drop; NaN on a choice scale without classes to keep."""
    level: Estimate | None
    """Quadratic weighted kappa of the levels, None with two; Cohen's kappa of the classes on a choice scale."""


def pairwise_kappa(
    labels: Iterable[Label],
    *,
    keep: int | Collection[int],
    levels: int,
    groups: Mapping[str, str] | None = None,
    scale: str = "ordinal",
) -> list[Pair]:
    """Every two raters who share a page, by name. `n` is the pages they share: with few, read the interval."""
    by_page, level_kappa = _by_page(_checked(labels, levels)), _level_kappa(levels, scale)
    raters = sorted({rater for said in by_page.values() for rater in said})
    pairs = []
    for one, other in combinations(raters, 2):
        shared = [page_id for page_id, said in by_page.items() if one in said and other in said]
        if shared:
            both = [np.array([by_page[page_id][rater] for page_id in shared]) for rater in (one, other)]
            names = [_group(page_id, groups) for page_id in shared]
            binary = bootstrap(kappa, [worth_keeping(x, keep) for x in both], groups=names)
            whole = bootstrap(level_kappa, both, groups=names) if level_kappa else None
            pairs.append(Pair((one, other), binary, whole))
    return pairs


def _level_kappa(levels: int, scale: str) -> Statistic | None:
    if scale == "choice":
        return kappa
    return partial(weighted_kappa, levels=levels) if levels > 2 else None


def krippendorff_alpha(
    ratings: Iterable[tuple[str, str, Hashable | None]],
    *,
    metric: Metric = "ordinal",
    groups: Mapping[str, str] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Krippendorff's alpha, 1 - observed / expected disagreement (Krippendorff, Computing Krippendorff's
    Alpha-Reliability, 2011), of (unit, rater, value): any number of raters, values may be missing, a rater's last value
    of a unit counts.

    Values are numbers, of any kind for `nominal`. `n` counts the units with two values or more: only they matter. The
    interval is a bootstrap over units, or over `groups` (unit to group), as Zapf et al. (BMC Med Res Methodol 16:93,
    2016) found to cover well; it says what other units would give, not other raters. NaN where all values are the same.
    """
    units = {unit: list(said.values()) for unit, said in _by_page(ratings).items() if len(said) > 1}
    if not units:
        return Estimate(math.nan, math.nan, math.nan, 0)
    values, codes = np.unique([value for said in units.values() for value in said], return_inverse=True)
    counts = np.zeros((len(units), len(values)))
    np.add.at(counts, (np.repeat(np.arange(len(units)), [len(said) for said in units.values()]), codes), 1)
    names = [_group(unit, groups) for unit in units]
    statistic = partial(_alpha, values=_numbers(values, metric), metric=metric)
    return bootstrap(statistic, [counts], groups=names, resamples=resamples, seed=seed)


def _alpha(counts: NDArray[np.float64], *, values: NDArray[np.float64], metric: Metric) -> float:
    """`counts`: how often each value was given to each unit, (units, values), two or more a unit."""
    shares = counts / (counts.sum(axis=1, keepdims=True) - 1)
    coincidences = counts.T @ shares - np.diag(shares.sum(axis=0))
    totals = coincidences.sum(axis=1)
    distance = _distance(totals, values, metric)
    expected = totals @ distance @ totals / (totals.sum() - 1)
    return 1 - float((coincidences * distance).sum() / expected) if expected > 0 else math.nan


def _distance(totals: NDArray[np.float64], values: NDArray[np.float64], metric: Metric) -> NDArray[np.float64]:
    """Squared differences of every two values. Ordinal ones are of mid-ranks among all values given, which is the sum
    of the totals from one to the other, less half of each end's."""
    if metric == "nominal":
        return 1.0 - np.eye(len(totals))
    places = np.cumsum(totals) - totals / 2 if metric == "ordinal" else values
    return np.asarray((places[:, None] - places) ** 2)


def _numbers(values: NDArray[np.generic], metric: Metric) -> NDArray[np.float64]:
    if metric == "nominal":
        return np.arange(len(values), dtype=np.float64)
    if not np.issubdtype(values.dtype, np.number):
        raise BadInput(f"krippendorff_alpha: {metric} needs numbers (got {values[0]!r}); use nominal for names")
    return values.astype(np.float64)


def _by_page(labels: Iterable[tuple[str, str, V | None]]) -> dict[str, dict[str, V]]:
    """Page id to rater to what was said last; pages that nobody labels any more are left out."""
    latest: dict[str, dict[str, V | None]] = {}
    for page_id, rater, value in labels:
        latest.setdefault(page_id, {})[rater] = value
    standing = {page: {r: v for r, v in said.items() if v is not None} for page, said in latest.items()}
    return {page: said for page, said in standing.items() if said}


def _checked(labels: Iterable[Label], levels: int) -> list[Label]:
    rows = list(labels)
    for page_id, rater, level in rows:
        if level is not None and not 0 <= level < levels:
            raise BadInput(f"labels: level {level} of {rater} for {page_id} is not one of 0..{levels - 1}")
    return rows


def _group(page_id: str, groups: Mapping[str, str] | None) -> str:
    if groups is None:
        return page_id
    if page_id not in groups:
        raise BadInput(f"groups: page {page_id} has none; give a page that stands alone a group of its own")
    return groups[page_id]
