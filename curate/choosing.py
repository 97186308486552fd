"""Which blocks of features, with which heads: all tried by grouped cross-validation against what people said.

Each block's heads are fitted once a fold, and every set of blocks is blended from their held-out scores, so a set more
costs next to nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.checked import Array, both_classes, targets_of
from curate.errors import BadInput
from curate.features import Features, in_order, pages_per_s
from curate.folds import aucs_by_fold, folds_of, mean_and_error
from curate.heads import KINDS_OF, Kind
from curate.scorer import Heads, blended, held_out_log_odds

Prefer = Literal["quality", "speed"]

C_FACTORS = (0.1, 1.0, 10.0)
FEATURE_SETS: tuple[tuple[str, ...], ...] = (
    ("ngrams",),
    ("ngrams", "shape"),
    ("ngrams", "chars"),
    ("ngrams", "chars", "shape"),
    ("static", "ngrams"),
    ("static", "ngrams", "shape"),
    ("static", "ngrams", "chars", "shape"),
    ("embedding",),
    ("embedding", "ngrams"),
    ("embedding", "ngrams", "shape"),
    ("embedding", "static", "ngrams", "chars", "shape"),
)
SURE = 2.0
"""Standard errors of a difference over folds that make it one to act on: of a dozen ways tried, one is better by one
standard error by luck."""
AS_GOOD = 0.005
"""AUC that `quality` gives up for a cheaper choice, if the folds are sure that it is no more."""


@dataclass(frozen=True)
class Choice:
    """One way to fit, and how well it predicted pages of unseen groups: means and standard errors over folds."""

    features: tuple[str, ...]
    heads: Heads
    auc: float
    auc_error: float
    behind: float
    """AUC by which the best row is better."""
    behind_error: float
    """Standard error of that difference over the folds, which pair the two."""
    pages_per_s: float
    """Pages of 300 words that one core scores in a second, by the declared costs of the blocks."""
    loss: float
    """AUC by which the row of most blocks is better."""
    loss_error: float
    """Standard error of that difference over the folds."""
    front: bool = False
    """Whether no other row is both better and faster."""
    chosen: bool = False


def choose(
    features: Features,
    targets: npt.ArrayLike,
    groups: Sequence[str],
    *,
    truth: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    cs: Sequence[float] = C_FACTORS,
    feature_sets: Sequence[Sequence[str]] = FEATURE_SETS,
    kinds: Mapping[str, Sequence[Kind]] = KINDS_OF,
    folds: int = 5,
    prefer: Prefer = "speed",
    least_pages_per_s: float = 0,
    random_state: int = 0,
) -> list[Choice]:
    """All sets of features tried by grouped cross-validation, best first, one of them `chosen`.

    `truth` (n,) is 1 or 0 where a person labelled the page and NaN elsewhere; only labelled pages are measured. Without
    it the measure is agreement with the judge. `kinds` are the kinds of head to try for a block, the standard one first. See `chosen_of` for the rule. Raises BadInput where no set is as fast as
    asked for, or no fold can be measured.
    """
    p, weight = targets_of(len(features), targets, sample_weight)
    measured = np.where(p >= 0.5, 1.0, 0.0) if truth is None else np.asarray(truth, dtype=np.float64)
    both_classes(measured[~np.isnan(measured)] > 0.5, "choose")
    fold_of = folds_of(groups, p, folds=folds, random_state=random_state)
    blocks = dict.fromkeys(name for names in feature_sets for name in names)
    ways = {name: [(kind, c) for kind in kinds.get(name) or KINDS_OF[name] for c in _nearest(cs)] for name in blocks}
    best = {name: _best_head(features, name, ways[name], p, weight, measured, fold_of, random_state) for name in blocks}
    tried = []
    for names in dict.fromkeys(in_order(names) for names in feature_sets):
        scores = blended(np.column_stack([best[name][2] for name in names]), p, weight, fold_of)
        heads: Heads = {name: best[name][:2] for name in names}
        tried.append((heads, aucs_by_fold(scores, measured, fold_of)))
    return ranked_choices(tried, prefer=prefer, least_pages_per_s=least_pages_per_s)


def _nearest(cs: Sequence[float]) -> list[float]:
    return sorted(cs, key=lambda c: abs(np.log(c)))


def _best_head(
    features: Features,
    name: str,
    ways: Sequence[tuple[Kind, float]],
    p: Array,
    weight: Array,
    measured: Array,
    fold_of: npt.NDArray[np.int64],
    random_state: int,
) -> tuple[Kind, float, Array]:
    """The kind and strength that suit a block, and the held-out log-odds (n,) they gave: the first of `ways`, unless the
    best is better by more than SURE standard errors of the difference over folds. Few labels tell no kinds apart."""
    scores = [
        held_out_log_odds(features, {name: (kind, c)}, p, weight, fold_of, random_state=random_state)[:, 0]
        for kind, c in ways
    ]
    aucs = [aucs_by_fold(one, measured, fold_of) for one in scores]
    means = [mean_and_error(one)[0] for one in aucs]
    best = 0 if np.isnan(means).all() else int(np.nanargmax(means))
    gain, error = mean_and_error(aucs[best] - aucs[0])
    taken = best if gain > SURE * error else 0
    return *ways[taken], scores[taken]


def ranked_choices(
    tried: Sequence[tuple[Heads, Array]], *, prefer: Prefer = "speed", least_pages_per_s: float = 0
) -> list[Choice]:
    """The rows of heads with their AUCs by fold, best first; see `chosen_of` for which one is chosen."""
    speeds = [pages_per_s(heads) for heads, _ in tried]
    fast = [one for one, speed in zip(tried, speeds, strict=True) if speed >= least_pages_per_s]
    if not fast:
        raise BadInput(
            f"choose: none of the features scores {least_pages_per_s:g} pages a second on one core (the fastest: "
            f"{max(speeds):.0f}); ask for less, or add a cheaper set"
        )
    means = [mean_and_error(aucs)[0] for _, aucs in fast]
    if np.isnan(means).all():
        raise BadInput("choose: no fold has pages of both classes; label more pages or use fewer folds")
    best = fast[int(np.nanargmax(means))][1]
    broadest = max(fast, key=lambda one: (len(one[0]), -pages_per_s(one[0])))[1]
    rows = [
        Choice(
            tuple(heads), heads, *mean_and_error(aucs), *mean_and_error(best - aucs), pages_per_s(heads),
            *mean_and_error(broadest - aucs),
        )
        for heads, aucs in fast
    ]  # fmt: skip
    rows = sorted((row for row in rows if not np.isnan(row.auc)), key=lambda row: (row.behind, -row.pages_per_s))
    chosen = chosen_of(rows, prefer)
    return [replace(row, front=_on_front(row, rows), chosen=row is chosen) for row in rows]


def chosen_of(rows: Sequence[Choice], prefer: Prefer) -> Choice:
    """The row to take.

    `speed`: the fastest within one standard error of the best (Breiman et al. 1984; here of the paired difference over
    folds). `quality`: the row of most blocks, which few labels cannot lead astray, since it averages heads; the best one
    where it is better than that by more than SURE standard errors; or the fastest one that surely loses no more than
    AS_GOOD."""
    if prefer == "speed":
        good = [row for row in rows if row.behind <= row.behind_error]
    else:
        better = [row for row in rows if -row.loss > SURE * row.loss_error > 0]
        good = better[:1] or [row for row in rows if row.loss + SURE * row.loss_error <= AS_GOOD]
    return max(good, key=lambda row: (row.pages_per_s, -len(row.features), row.auc))


def _on_front(row: Choice, rows: Sequence[Choice]) -> bool:
    return not any(
        other.auc >= row.auc
        and other.pages_per_s >= row.pages_per_s
        and (other.auc, other.pages_per_s) != (row.auc, row.pages_per_s)
        for other in rows
    )


def as_row(choice: Choice) -> dict[str, Any]:
    """For a table of what was tried."""
    return {
        "features": list(choice.features),
        "heads": {name: list(head) for name, head in choice.heads.items()},
        "auc": choice.auc,
        "auc_error": choice.auc_error,
        "pages_per_s": round(choice.pages_per_s),
        "front": choice.front,
        "chosen": choice.chosen,
    }
