"""Folds that part no group, and how scores do on each."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from curate.checked import Array
from curate.errors import BadInput


def folds_of(groups: Sequence[str], targets: npt.ArrayLike, *, folds: int, random_state: int) -> npt.NDArray[np.int64]:
    """Fold (n,) of each page: no group in two, and the share of targets of .5 and above alike where groups allow it."""
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold

    y = np.asarray(targets, dtype=np.float64) >= 0.5
    distinct = len(set(groups))
    if distinct < 2:
        raise BadInput(f"folds: needs pages of at least 2 groups (got {distinct})")
    folds = min(folds, distinct, max(int(y.sum()), int((~y).sum())))
    result = np.zeros(len(y), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        splitter = StratifiedGroupKFold(max(folds, 2), shuffle=True, random_state=random_state)
        for fold, (_, held) in enumerate(splitter.split(np.zeros(len(y)), y, list(groups))):
            result[held] = fold
    return result


def aucs_by_fold(scores: Array, measured: Array, fold_of: npt.NDArray[np.int64]) -> Array:
    """AUC of each fold over its measured pages (1 keep, 0 drop, NaN not measured); NaN where it has but one class."""
    from sklearn.metrics import roc_auc_score

    aucs = []
    for fold in np.unique(fold_of):
        rows = (fold_of == fold) & ~np.isnan(measured)
        y = measured[rows] > 0.5
        aucs.append(roc_auc_score(y, scores[rows]) if 0 < y.sum() < len(y) else np.nan)
    return np.array(aucs, dtype=np.float64)


def mean_and_error(values: Array) -> tuple[float, float]:
    """Mean and standard error over the folds that have a value; NaN and 0 where none has."""
    seen = values[~np.isnan(values)]
    error = float(seen.std(ddof=1) / np.sqrt(len(seen))) if len(seen) > 1 else 0.0
    return (float(seen.mean()) if len(seen) else float("nan")), error
