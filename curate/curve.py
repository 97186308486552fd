"""How good a classifier gets with more judgments: what it agrees with people, at growing numbers of judged pages."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.checked import Array
from curate.folds import aucs_by_fold, folds_of, mean_and_error

Rows = NDArray[np.int64]
Fit = Callable[[Rows, Rows], Array]
"""From the rows to learn from and the rows to score, to the scores of the latter."""
SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
LEAST_JUDGED = 25
"""Judged pages to learn from at the smallest number: fewer teach too little to be a point of a curve."""
LEAST_ERROR = 0.002
"""What a point is taken to be unsure by at least, where all repeats agree."""


@dataclass(frozen=True)
class Point:
    """AUC against people by a classifier that learned from so many judgments, and the standard error over repeats."""

    judgments: int
    auc: float
    error: float
    labelled: int
    """Labelled pages that it was measured on, each held out with its group."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def judgment_curve(
    fit: Fit,
    judged: Array,
    people: Array,
    groups: Sequence[str],
    *,
    folds: int = 3,
    repeats: int = 3,
    of: Sequence[float] = SHARES,
) -> list[Point]:
    """Points at the shares `of` (an eighth, a quarter, half and all) of the judged pages: `judged` and `people` (n,) are
    what judge and people say of keeping, NaN where they said nothing. Each labelled page is scored by a classifier that
    saw no page of its group. [] where fewer than two points can be had, or people hold all pages alike.

    Repeats part the pages anew; larger numbers of a repeat hold the smaller ones. The errors do not cover which pages were
    labelled: that moves all points alike.
    """
    usable = np.flatnonzero(~np.isnan(judged))
    labelled = np.flatnonzero(~np.isnan(people))
    if not len(usable) or not 0 < (people[labelled] > 0.5).sum() < len(labelled) or len(set(groups)) < 2:
        return []
    shares = [share for share in of if share * len(usable) * (1 - 1 / folds) >= LEAST_JUDGED]
    found = {
        share: [_once(fit, judged, people, groups, share, folds, seed) for seed in range(repeats)] for share in shares
    }
    points = []
    for runs in found.values():
        auc, error = mean_and_error(np.array([value for value, _ in runs]))
        size = round(float(np.mean([size for _, size in runs])))
        if not np.isnan(auc):
            points.append(Point(size, auc, max(error, LEAST_ERROR), len(labelled)))
    return points if len(points) > 1 else []


def _once(
    fit: Fit, judged: Array, people: Array, groups: Sequence[str], share: float, folds: int, seed: int
) -> tuple[float, float]:
    """Mean AUC over folds, and the mean number of judgments learned from; NaN where a fold leaves nothing to learn."""
    fold_of = folds_of(groups, np.nan_to_num(people, nan=0.0), folds=folds, random_state=seed)
    rank = np.random.default_rng(seed).permutation(len(judged))
    scores, sizes = np.full(len(judged), np.nan), []
    for fold in np.unique(fold_of):
        pool = np.flatnonzero((fold_of != fold) & ~np.isnan(judged))
        chosen = pool[np.argsort(rank[pool])][: round(share * len(pool))]
        held = np.flatnonzero((fold_of == fold) & ~np.isnan(people))
        if not len(held):
            continue
        if not 0 < judged[chosen].sum() < len(chosen):
            return float("nan"), float("nan")
        scores[held] = fit(chosen, held)
        sizes.append(len(chosen))
    values = aucs_by_fold(np.nan_to_num(scores), np.where(np.isnan(scores), np.nan, people), fold_of)
    return mean_and_error(values)[0], float(np.mean(sizes))
