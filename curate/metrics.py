"""Scores against people's labels: every number with its 95 % interval and the count of pages behind it."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curate.errors import BadInput
from curate.intervals import Estimate, bootstrap, clopper_pearson, paired_difference, wilson
from curate.weighted import (
    Floats,
    Statistic,
    accuracy,
    as_flags,
    as_levels,
    as_probabilities,
    auc,
    average_precision,
    balanced_accuracy,
    bin_of,
    brier,
    columns_of,
    confusions,
    expected_calibration_error,
    f1,
    kappa,
    macro_f1,
    mae,
    mean_recall,
    precision,
    recall,
    share,
    spearman,
    weighted_kappa,
)

__all__ = [
    "Bin",
    "Estimate",
    "accuracy",
    "auc",
    "average_precision",
    "balanced_accuracy",
    "bootstrap",
    "brier",
    "clopper_pearson",
    "confusion",
    "evaluate",
    "expected_calibration_error",
    "f1",
    "kappa",
    "macro_f1",
    "mae",
    "mean_recall",
    "nearest_level",
    "paired_difference",
    "precision",
    "ranked_last",
    "recall",
    "reliability",
    "share",
    "spearman",
    "weighted_kappa",
    "wilson",
    "worth_keeping",
]


def confusion(truth: ArrayLike, predicted: ArrayLike, levels: int) -> list[list[int]]:
    """Counts of pages: a row for each true level, a column for each predicted one, 0..levels-1."""
    rows, columns = as_levels(truth, levels), as_levels(predicted, levels)
    table = confusions(np.ones((1, len(rows))), rows, columns, size=levels)[0]
    return [[int(count) for count in row] for row in table]


@dataclass(frozen=True, slots=True)
class Bin:
    """Pages whose probability is in [low, high), the last bin's high included. Means are NaN where there are none."""

    low: float
    high: float
    n: int
    mean_probability: float
    share_true: Estimate
    """With Wilson's interval."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON: null for NaN."""
        mean = None if math.isnan(self.mean_probability) else self.mean_probability
        true = self.share_true.as_dict()
        return {"low": self.low, "high": self.high, "n": self.n, "mean_probability": mean, "share_true": true}


def reliability(truth: ArrayLike, probability: ArrayLike, bins: int = 10) -> list[Bin]:
    """The reliability diagram as rows, one for each of `bins` equal-width bins, empty ones included."""
    flags, chances = as_flags(truth), as_probabilities(probability)
    where = bin_of(chances, bins)
    rows = []
    for k in range(bins):
        here = where == k
        count = int(here.sum())
        mean = float(chances[here].mean()) if count else math.nan
        rows.append(Bin(k / bins, (k + 1) / bins, count, mean, wilson(int(flags[here].sum()), count)))
    return rows


def nearest_level(truth_level: ArrayLike) -> NDArray[np.int64]:
    """The level nearest to each mean of raters, the lower one halfway: two raters who say 2 and 3 make a 2."""
    return np.ceil(np.asarray(truth_level, dtype=np.float64) - 0.5).astype(np.int64)


def worth_keeping(truth_level: ArrayLike, keep: int | Collection[int]) -> NDArray[np.bool_]:
    """Whether people hold each page worth keeping: the nearest level to their mean is `keep` or above, or one of `keep`
    where that is several levels or classes. On a binary scale that is the majority; a tie drops."""
    nearest = nearest_level(truth_level)
    return nearest >= keep if isinstance(keep, int) else np.isin(nearest, sorted(keep))


def ranked_last(score: ArrayLike) -> Floats:
    """Scores as ranks from 0, equal scores sharing one, and -1 for NaN or None: a page without an answer ranks below
    all. The order is all that AUC, average precision and Spearman read."""
    values = np.asarray(score, dtype=np.float64)
    ranks = np.full(values.shape, -1.0)
    judged = ~np.isnan(values)
    ranks[judged] = np.unique(values[judged], return_inverse=True)[1]
    return ranks


def evaluate(
    *,
    truth_level: ArrayLike,
    score: ArrayLike,
    level: ArrayLike | None,
    keep: int | Collection[int],
    levels: int,
    groups: ArrayLike | None = None,
    predicted_keep: ArrayLike | None = None,
    scale: str = "ordinal",
) -> dict[str, Estimate]:
    """Every number about one judge, classifier or person, on one list of pages.

    `truth_level`: mean of the raters, (n,); `score`: orders the pages, NaN for unjudged; `level`: 0..levels-1, None or
    NaN for unjudged, or None altogether where there are no levels; `groups`: as in `bootstrap`; `predicted_keep`: the
    keep/drop decision where it is not `level >= keep`.

    `auc` and `average_precision` are of the score, `kappa`, `accuracy`, `balanced_accuracy`, `f1`, `precision` and
    `recall` of the decision, both against `worth_keeping`; `spearman` is of the score and `mae` of the level, against
    the mean; `qwk` of the level against the nearest level. What can't be made from what is given is left out; so are
    `qwk` and `mae` with two levels.

    An unjudged page (no score, or no level where levels are given) stays in: it ranks below all others, has level 0 and
    is dropped. Refusing thus earns what answering "worst" would, and no more; `coverage` is the share judged.

    On a `choice` scale levels are classes and the truth is one: `accuracy`, `balanced_accuracy` (mean recall), `macro_f1`
    and `kappa` are of the class, an unjudged page has none and is wrong. Where `keep` names classes, `auc`,
    `average_precision`, `f1`, `precision` and `recall` are of keeping, and so are `keep_accuracy` and `keep_kappa`.
    """
    means, judged = _evaluated(truth_level, score, level)
    ranks = ranked_last(np.where(judged, np.asarray(score, dtype=np.float64), np.nan))
    if scale == "choice":
        asked = _of_classes(means, level, judged, levels) | _of_kept_classes(means, level, judged, ranks, keep)
    else:
        given = _levels_given(level, judged, levels)
        kept = worth_keeping(given, keep) & _may_keep(judged, keep) if given is not None else None
        if predicted_keep is not None:
            kept = as_flags(predicted_keep) & judged
        asked = _of_levels(means, given, kept, ranks, worth_keeping(means, keep), levels)
    asked["coverage"] = (share, [judged])
    return {name: bootstrap(statistic, arrays, groups=groups) for name, (statistic, arrays) in asked.items()}


Asked = dict[str, tuple[Statistic, list[ArrayLike]]]
"""Name to a statistic and what it is of."""


def _may_keep(judged: NDArray[np.bool_], keep: int | Collection[int]) -> NDArray[np.bool_]:
    """An unjudged page has level 0, which a list of levels to keep may hold."""
    return judged if not isinstance(keep, int) else np.ones_like(judged)


def _of_levels(
    means: Floats,
    given: NDArray[np.int64] | None,
    kept: NDArray[np.bool_] | None,
    ranks: Floats,
    keeps: NDArray[np.bool_],
    levels: int,
) -> Asked:
    asked: Asked = {
        "auc": (auc, [keeps, ranks]),
        "average_precision": (average_precision, [keeps, ranks]),
        "spearman": (spearman, [means, ranks]),
    }
    if given is not None and levels > 2:
        asked["qwk"] = (partial(weighted_kappa, levels=levels), [nearest_level(means), given])
        asked["mae"] = (mae, [means, given])
    if kept is not None:
        asked |= {name: (statistic, [keeps, kept]) for name, statistic in _OF_DECISION.items()}
    return asked


def _of_classes(truth: Floats, level: ArrayLike | None, judged: NDArray[np.bool_], levels: int) -> Asked:
    if level is None:
        return {}
    given = np.where(judged, np.asarray(level, dtype=np.float64), levels)
    pair: list[ArrayLike] = [as_levels(truth, levels), as_levels(given, levels + 1)]
    return {
        "accuracy": (accuracy, pair),
        "balanced_accuracy": (partial(mean_recall, levels=levels), pair),
        "macro_f1": (partial(macro_f1, levels=levels), pair),
        "kappa": (kappa, pair),
    }


def _of_kept_classes(
    truth: Floats, level: ArrayLike | None, judged: NDArray[np.bool_], ranks: Floats, keep: int | Collection[int]
) -> Asked:
    if isinstance(keep, int) or not keep:
        return {}
    keeps = worth_keeping(truth, keep)
    asked: Asked = {"auc": (auc, [keeps, ranks]), "average_precision": (average_precision, [keeps, ranks])}
    if level is not None:
        kept = judged & worth_keeping(np.where(judged, np.asarray(level, dtype=np.float64), 0.0), keep)
        asked |= {name: (statistic, [keeps, kept]) for name, statistic in _OF_KEPT_CLASSES.items()}
    return asked


def _levels_given(level: ArrayLike | None, judged: NDArray[np.bool_], levels: int) -> NDArray[np.int64] | None:
    """Level 0 for unjudged pages; None where there are no levels at all."""
    return None if level is None else as_levels(np.where(judged, np.asarray(level, dtype=np.float64), 0.0), levels)


def _evaluated(truth_level: ArrayLike, score: ArrayLike, level: ArrayLike | None) -> tuple[Floats, NDArray[np.bool_]]:
    given = [np.asarray(x, dtype=np.float64) for x in (truth_level, score, level) if x is not None]
    (means, *answers), _ = columns_of(given, None)
    if np.isnan(means).any():
        raise BadInput(f"truth_level: {int(np.isnan(means).sum())} of {len(means)} pages have no label; leave them out")
    return means, ~np.isnan(np.stack(answers)).any(axis=0)


_OF_DECISION: dict[str, Statistic] = {
    "kappa": kappa,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "f1": f1,
    "precision": precision,
    "recall": recall,
}
_OF_KEPT_CLASSES: dict[str, Statistic] = {
    "f1": f1,
    "precision": precision,
    "recall": recall,
    "keep_accuracy": accuracy,
    "keep_kappa": kappa,
}
