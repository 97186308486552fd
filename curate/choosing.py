"""Which blocks of features, with which heads: all tried by grouped cross-validation against what people said.

Each block's heads are fitted once a fold, and every set of blocks is blended from their held-out scores, so a set more
costs next to nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.blend import fit_blend
from curate.checked import Array, both_classes, targets_of, teaches
from curate.errors import BadInput
from curate.features import Features, in_order, pages_per_s
from curate.folds import aucs_by_fold, folds_of, mean_and_error
from curate.heads import KINDS_OF, Kind, fit_head
from curate.logistic import sigmoid

Prefer = Literal["quality", "speed"]
Heads = dict[str, tuple[Kind, float]]
"""By block: the kind of head, and the factor of its inverse strength of penalty."""

C_FACTORS = (0.1, 1.0, 10.0)
FEATURE_SETS: tuple[tuple[str, ...], ...] = (
    ("ngrams",),
    ("ngrams", "shape"),
    ("ngrams", "chars", "shape"),
    ("static", "ngrams", "shape"),
    ("static", "ngrams", "chars", "shape"),
    ("embedding",),
    ("embedding", "ngrams", "shape"),
    ("embedding", "static", "ngrams", "chars", "shape"),
)
AS_GOOD = 0.002
"""AUC that `quality` gives up for a cheaper choice: less than any set of labels can tell apart."""


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
    folds: int = 5,
    prefer: Prefer = "speed",
    least_pages_per_s: float = 0,
    random_state: int = 0,
) -> list[Choice]:
    """All sets of features tried by grouped cross-validation, best first, one of them `chosen`.

    `truth` (n,) is 1 or 0 where a person labelled the page and NaN elsewhere; only labelled pages are measured. Without
    it the measure is agreement with the judge. See `chosen_of` for the rule. Raises BadInput where no set is as fast as
    asked for, or no fold can be measured.
    """
    p, weight = targets_of(len(features), targets, sample_weight)
    measured = np.where(p >= 0.5, 1.0, 0.0) if truth is None else np.asarray(truth, dtype=np.float64)
    both_classes(measured[~np.isnan(measured)] > 0.5, "choose")
    fold_of = folds_of(groups, p, folds=folds, random_state=random_state)
    blocks = dict.fromkeys(name for names in feature_sets for name in names)
    best = {name: _best_head(features, name, p, weight, measured, fold_of, cs, random_state) for name in blocks}
    tried = []
    for names in dict.fromkeys(in_order(names) for names in feature_sets):
        scores = blended(np.column_stack([best[name][2] for name in names]), p, weight, fold_of)
        heads: Heads = {name: best[name][:2] for name in names}
        tried.append((heads, aucs_by_fold(scores, measured, fold_of)))
    return ranked_choices(tried, prefer=prefer, least_pages_per_s=least_pages_per_s)


def held_out_log_odds(
    features: Features,
    heads: Mapping[str, tuple[Kind, float]],
    p: Array,
    weight: Array,
    fold_of: npt.NDArray[np.int64],
    *,
    random_state: int = 0,
) -> Array:
    """Log-odds (n, blocks) of each page by heads that saw no page of its fold; 0 where a fold leaves nothing to learn."""
    found = np.zeros((len(features), len(heads)))
    for fold in np.unique(fold_of):
        held = fold_of == fold
        if not teaches(p[~held], weight[~held]):
            continue
        for column, (name, (kind, c)) in enumerate(heads.items()):
            block = features.block(name)
            head = fit_head(name, kind, block[~held], p[~held], weight[~held], c=c, random_state=random_state)
            found[held, column] = head.log_odds(name, block[held])
    return found


def blended(scores: Array, p: Array, weight: Array, fold_of: npt.NDArray[np.int64]) -> Array:
    """Scores (n,) of each page from held-out log-odds (n, k), the weights of the blend learned on the other folds."""
    if scores.shape[1] == 1:
        return sigmoid(scores[:, 0])
    found = np.zeros(len(scores))
    for fold in np.unique(fold_of):
        held = fold_of == fold
        found[held] = fit_blend(scores[~held], p[~held], weight[~held]).log_odds(scores[held])
    return sigmoid(found)


def _best_head(
    features: Features,
    name: str,
    p: Array,
    weight: Array,
    measured: Array,
    fold_of: npt.NDArray[np.int64],
    cs: Sequence[float],
    random_state: int,
) -> tuple[Kind, float, Array]:
    """The kind and strength that suit a block best, and the held-out log-odds (n,) they gave."""
    found: list[tuple[float, Kind, float, Array]] = []
    for kind in KINDS_OF[name]:
        for c in cs:
            scores = held_out_log_odds(features, {name: (kind, c)}, p, weight, fold_of, random_state=random_state)[:, 0]
            auc = mean_and_error(aucs_by_fold(scores, measured, fold_of))[0]
            found.append((-1.0 if np.isnan(auc) else auc, kind, c, scores))
    return max(found, key=lambda one: one[0])[1:]


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
    rows = [
        Choice(tuple(heads), heads, *mean_and_error(aucs), *mean_and_error(best - aucs), pages_per_s(heads))
        for heads, aucs in fast
    ]
    rows = sorted((row for row in rows if not np.isnan(row.auc)), key=lambda row: (row.behind, -row.pages_per_s))
    chosen = chosen_of(rows, prefer)
    return [replace(row, front=_on_front(row, rows), chosen=row is chosen) for row in rows]


def chosen_of(rows: Sequence[Choice], prefer: Prefer) -> Choice:
    """The fastest row that is good enough. `speed`: within one standard error of the best (Breiman et al. 1984; here of
    the paired difference over folds). `quality`: within AS_GOOD of it."""
    good = [row for row in rows if row.behind <= (row.behind_error if prefer == "speed" else AS_GOOD)]
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
