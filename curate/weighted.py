"""Statistics over weighted pages: the formulas behind `metrics`.

Each is written once, for pages with weights: a resample is a row of counts, so thousands of resamples are one matrix
and an interval comes from the very formula that gave the value. NaN always means "not defined on these pages".
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curate.errors import BadInput

Floats = NDArray[np.float64]
Array = NDArray[Any]
Statistic = Callable[..., float]


def auc(truth: ArrayLike, score: ArrayLike) -> float:
    """The chance that a page worth keeping outscores one that is not, ties counting half: the area under the ROC curve,
    as the Mann-Whitney U divided by the number of pairs (Hanley and McNeil 1982). NaN with a single class."""
    return _once(_auc, truth, score)


def average_precision(truth: ArrayLike, score: ArrayLike) -> float:
    """Sum over distinct scores, from the highest, of the recall gained times the precision there: no interpolation, and
    tied pages enter together (scikit-learn's definition). Its chance level is the share of pages worth keeping, so it
    can't be compared between sets of different mix. NaN with a single class."""
    return _once(_average_precision, truth, score)


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Pearson's correlation of the ranks, tied values sharing their mean rank. NaN where either side is constant."""
    return _once(_spearman, a, b)


def kappa(a: ArrayLike, b: ArrayLike) -> float:
    """Agreement beyond chance of two lists of classes (Cohen 1960). NaN where both name one and the same class."""
    return _once(_kappa, a, b)


def weighted_kappa(a: ArrayLike, b: ArrayLike, levels: int) -> float:
    """Kappa with squared distances (Cohen 1968): quadratic weighted kappa. Levels are whole numbers 0..levels-1, else
    BadInput. NaN where both sides name one and the same level."""
    return _once(_weighted_kappa, a, b, levels=levels)


def accuracy(a: ArrayLike, b: ArrayLike) -> float:
    """Share of pages on which both say the same."""
    return _once(_accuracy, a, b)


def balanced_accuracy(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Mean of the share of keeps kept and the share of drops dropped. NaN with a single class."""
    return _once(_balanced_accuracy, truth, predicted)


def precision(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Share of kept pages that are worth keeping. NaN where nothing is kept."""
    return _once(_precision, truth, predicted)


def recall(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Share of pages worth keeping that are kept. NaN where no page is worth keeping."""
    return _once(_recall, truth, predicted)


def f1(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN). NaN where no page is worth keeping and none is
    kept."""
    return _once(_f1, truth, predicted)


def macro_f1(truth: ArrayLike, predicted: ArrayLike, levels: int) -> float:
    """Mean of the F1 of each class that occurs in the truth or is predicted. Classes are whole numbers 0..levels-1; a
    prediction of `levels` stands for no answer: wrong, and no class of its own."""
    return _once(_macro_f1, truth, predicted, levels=levels)


def mean_recall(truth: ArrayLike, predicted: ArrayLike, levels: int) -> float:
    """Mean over the classes that occur in the truth of the share of their pages that are given that class: balanced
    accuracy of several classes. Classes as in `macro_f1`."""
    return _once(_mean_recall, truth, predicted, levels=levels)


def mae(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Mean absolute difference, in levels."""
    return _once(_mae, truth, predicted)


def share(flags: ArrayLike) -> float:
    """Share of pages whose flag is set."""
    return _once(_share, flags)


def brier(truth: ArrayLike, probability: ArrayLike) -> float:
    """Mean squared difference of probability and outcome (Brier 1950): 0 is best, the base rate p alone earns
    p (1 - p)."""
    return _once(_brier, truth, probability)


def expected_calibration_error(truth: ArrayLike, probability: ArrayLike, bins: int = 10) -> float:
    """Mean over equal-width bins, by their pages, of |mean probability - share true| (Naeini et al. 2015). Biased
    upward: a perfectly calibrated classifier is above 0 on few pages, and its bootstrap interval is shifted up too."""
    return _once(_calibration_error, truth, probability, bins=bins)


def over_resamples(statistic: Statistic) -> Callable[..., Floats]:
    """The statistic as a function of weights (resamples, pages) and its arrays, one value for each resample: all at
    once where this file knows how, else one call for each."""
    if isinstance(statistic, partial) and not statistic.args and statistic.func in _WEIGHTED:
        return partial(_WEIGHTED[statistic.func], **statistic.keywords)
    return _WEIGHTED.get(statistic) or partial(_one_by_one, statistic)


def _one_by_one(statistic: Statistic, weights: Floats, *columns: Array) -> Floats:
    picks = [np.repeat(np.arange(len(row)), row.astype(np.int64)) for row in weights]
    return np.array([statistic(*(column[pick] for column in columns)) for pick in picks], dtype=np.float64)


def _once(weighted: Callable[..., Floats], *arrays: ArrayLike, **settings: int) -> float:
    columns, _ = columns_of(arrays, None)
    n = len(columns[0])
    return float(weighted(np.ones((1, n)), *columns, **settings)[0]) if n else math.nan


def _auc(weights: Floats, truth: Array, score: Array) -> Floats:
    order, starts = _sorted(score)
    flags = as_flags(truth)[order]
    keeps = np.add.reduceat(weights[:, order] * flags, starts, axis=1)
    drops = np.add.reduceat(weights[:, order] * ~flags, starts, axis=1)
    below = np.cumsum(drops, axis=1) - drops
    return _ratio((keeps * (below + drops / 2)).sum(axis=1), keeps.sum(axis=1) * drops.sum(axis=1))


def _average_precision(weights: Floats, truth: Array, score: Array) -> Floats:
    order, starts = _sorted(-np.asarray(score, dtype=np.float64))
    keeps = np.add.reduceat(weights[:, order] * as_flags(truth)[order], starts, axis=1)
    pages = np.add.reduceat(weights[:, order], starts, axis=1)
    kept = np.cumsum(pages, axis=1)
    right = np.divide(np.cumsum(keeps, axis=1), kept, out=np.zeros_like(kept), where=kept > 0)
    total = keeps.sum(axis=1)
    return np.where(total < pages.sum(axis=1), _ratio((keeps * right).sum(axis=1), total), np.nan)


def _spearman(weights: Floats, a: Array, b: Array) -> Floats:
    middle = (weights.sum(axis=1, keepdims=True) + 1) / 2
    x, y = _midranks(weights, a) - middle, _midranks(weights, b) - middle
    variances = (weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1)
    return np.clip(_ratio((weights * x * y).sum(axis=1), np.sqrt(variances)), -1.0, 1.0)


def _midranks(weights: Floats, values: Array) -> Floats:
    order, starts = _sorted(values)
    tied = np.add.reduceat(weights[:, order], starts, axis=1)
    ranks = np.cumsum(tied, axis=1) - tied + (tied + 1) / 2
    tie_of = np.empty(len(order), dtype=np.int64)
    tie_of[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(order)))
    return np.asarray(ranks[:, tie_of], dtype=np.float64)


def _sorted(values: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The order that sorts the values upwards, and where in it each run of equal values starts."""
    numbers = np.asarray(values, dtype=np.float64)
    if np.isnan(numbers).any():
        raise BadInput(
            f"score: {int(np.isnan(numbers).sum())} of {len(numbers)} are NaN; rank them with ranked_last first"
        )
    order = np.argsort(numbers, kind="stable")
    ranked = numbers[order]
    return order, np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])


def _kappa(weights: Floats, a: Array, b: Array) -> Floats:
    classes, codes = np.unique(np.concatenate([a, b]), return_inverse=True)
    tables = confusions(weights, codes[: len(a)], codes[len(a) :], size=len(classes))
    return _beyond_chance(tables, 1.0 - np.eye(len(classes)))


def _weighted_kappa(weights: Floats, a: Array, b: Array, *, levels: int) -> Floats:
    steps = np.arange(levels, dtype=np.float64)
    tables = confusions(weights, as_levels(a, levels), as_levels(b, levels), size=levels)
    return _beyond_chance(tables, (steps[:, None] - steps) ** 2)


def confusions(weights: Floats, a: Array, b: Array, *, size: int) -> Floats:
    """Weighted confusion tables, (resamples, size, size)."""
    cells = np.zeros((len(a), size * size))
    cells[np.arange(len(a)), a * size + b] = 1.0
    return np.asarray(weights @ cells).reshape(-1, size, size)


def _beyond_chance(tables: Floats, distance: Floats) -> Floats:
    by_chance = np.einsum("ri,ij,rj->r", tables.sum(axis=2), distance, tables.sum(axis=1))
    return 1.0 - _ratio((tables * distance).sum(axis=(1, 2)) * tables.sum(axis=(1, 2)), by_chance)


def _accuracy(weights: Floats, a: Array, b: Array) -> Floats:
    return _mean(weights, a == b)


def _share(weights: Floats, flags: Array) -> Floats:
    return _mean(weights, as_flags(flags))


def _mae(weights: Floats, truth: Array, predicted: Array) -> Floats:
    return _mean(weights, np.abs(np.asarray(truth, dtype=np.float64) - np.asarray(predicted, dtype=np.float64)))


def _brier(weights: Floats, truth: Array, probability: Array) -> Floats:
    return _mean(weights, (as_probabilities(probability) - as_flags(truth)) ** 2)


def _calibration_error(weights: Floats, truth: Array, probability: Array, *, bins: int = 10) -> Floats:
    chances = as_probabilities(probability)
    gaps = np.zeros((len(chances), bins))
    gaps[np.arange(len(chances)), bin_of(chances, bins)] = chances - as_flags(truth)
    return _ratio(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


def _precision(weights: Floats, truth: Array, predicted: Array) -> Floats:
    return _mean(weights * as_flags(predicted), as_flags(truth))


def _recall(weights: Floats, truth: Array, predicted: Array) -> Floats:
    return _mean(weights * as_flags(truth), as_flags(predicted))


def _balanced_accuracy(weights: Floats, truth: Array, predicted: Array) -> Floats:
    keeps, kept = as_flags(truth), as_flags(predicted)
    return (_recall(weights, keeps, kept) + _recall(weights, ~keeps, ~kept)) / 2


def _f1(weights: Floats, truth: Array, predicted: Array) -> Floats:
    keeps, kept = as_flags(truth), as_flags(predicted)
    return _ratio(2 * (weights @ (keeps & kept)), weights @ keeps + weights @ kept)


def _macro_f1(weights: Floats, truth: Array, predicted: Array, *, levels: int) -> Floats:
    hits, true, said = _by_class(weights, truth, predicted, levels)
    occurs = true + said > 0
    return _ratio(np.where(occurs, _ratio(2 * hits, true + said), 0.0).sum(axis=1), occurs.sum(axis=1))


def _mean_recall(weights: Floats, truth: Array, predicted: Array, *, levels: int) -> Floats:
    hits, true, _ = _by_class(weights, truth, predicted, levels)
    occurs = true > 0
    return _ratio(np.where(occurs, _ratio(hits, true), 0.0).sum(axis=1), occurs.sum(axis=1))


def _by_class(weights: Floats, truth: Array, predicted: Array, levels: int) -> tuple[Floats, Floats, Floats]:
    """For each resample and class: pages rightly given it, pages that are of it, pages given it."""
    tables = confusions(weights, as_levels(truth, levels), as_levels(predicted, levels + 1), size=levels + 1)
    true, said = tables.sum(axis=2)[:, :levels], tables.sum(axis=1)[:, :levels]
    return np.diagonal(tables, axis1=1, axis2=2)[:, :levels].astype(np.float64), true, said


def _mean(weights: Floats, values: Array) -> Floats:
    return _ratio(weights @ values, weights.sum(axis=1))


def _ratio(top: Floats, bottom: Array) -> Floats:
    result = np.full(top.shape, np.nan)
    np.divide(top, bottom, out=result, where=bottom > 0)
    return result


_WEIGHTED: dict[Statistic, Callable[..., Floats]] = {
    auc: _auc,
    average_precision: _average_precision,
    spearman: _spearman,
    kappa: _kappa,
    weighted_kappa: _weighted_kappa,
    accuracy: _accuracy,
    balanced_accuracy: _balanced_accuracy,
    precision: _precision,
    recall: _recall,
    f1: _f1,
    macro_f1: _macro_f1,
    mean_recall: _mean_recall,
    mae: _mae,
    share: _share,
    brier: _brier,
    expected_calibration_error: _calibration_error,
}


def columns_of(arrays: Sequence[ArrayLike], groups: ArrayLike | None) -> tuple[list[Array], NDArray[np.int64]]:
    """The arrays, and each page's group as a number from 0. BadInput where their lengths differ or a group is None."""
    columns = [np.asarray(array) for array in arrays]
    names = np.arange(len(columns[0])) if groups is None else np.asarray(groups)
    if names.dtype == np.object_ and any(name is None for name in names):
        raise BadInput("groups: some pages have none; give a page that stands alone a group of its own")
    n, members = len(columns[0]), np.unique(names, return_inverse=True)[1].astype(np.int64)
    lengths = [len(column) for column in [*columns, members]]
    if set(lengths) != {n}:
        raise BadInput(f"metrics: every array needs a value for each page (got lengths {lengths})")
    return columns, members


def as_flags(values: ArrayLike) -> NDArray[np.bool_]:
    """Keep or drop as booleans, from booleans or 0 and 1; else BadInput: a level is not a decision."""
    array = np.asarray(values)
    if array.dtype != np.bool_ and not np.isin(array, (0, 1)).all():
        raise BadInput(f"metrics: keep or drop must be true or false (got {array[~np.isin(array, (0, 1))][0]})")
    return array.astype(np.bool_)


def as_levels(values: ArrayLike, levels: int) -> NDArray[np.int64]:
    """Whole levels 0..levels-1, else BadInput."""
    array = np.asarray(values, dtype=np.float64)
    wrong = array[~np.isin(array, np.arange(levels))]
    if len(wrong):
        raise BadInput(f"level: must be one of 0..{levels - 1} (got {wrong[0]:g}); are the labels of another scale?")
    return array.astype(np.int64)


def as_probabilities(values: ArrayLike) -> Floats:
    """Probabilities 0..1, none missing, else BadInput."""
    array = np.asarray(values, dtype=np.float64)
    wrong = array[~((array >= 0) & (array <= 1))]
    if len(wrong):
        raise BadInput(f"probability: must be in 0..1 (got {wrong[0]:g}); calibrate scores, leave unjudged pages out")
    return array


def bin_of(chances: Floats, bins: int) -> NDArray[np.int64]:
    """Which of the equal-width bins each probability falls in: [low, high), and 1 into the last."""
    edges = np.arange(1, bins) / bins
    return np.searchsorted(edges, chances, side="right").astype(np.int64)
