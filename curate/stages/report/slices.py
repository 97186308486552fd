"""How well judge and classifier do on parts of the sealed pages: languages, lengths, and whatever is counted by."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from curate import metrics
from curate.intervals import Estimate, bootstrap
from curate.promises import LEAST_LABELS
from curate.rubric import Rubric
from curate.stages.report.sealed import Answers, Labelled
from curate.stages.report.wording import number

LENGTH = "length"
BANDS = (1000, 5000)
"""Characters at which the middle and the long pages begin."""
MOST_VALUES = 12
"""Values of a column that are shown, the most frequent ones."""


def slices(test: Labelled, answers: Mapping[str, Answers], rubric: Rubric, columns: Sequence[str]) -> dict[str, Any]:
    """Of each value of each column: AUC, share of right decisions and share kept, by the tuned judge and the classifier,
    where there are 15 sealed pages of it with both kinds; and the worst gap that is no chance, in words."""
    who = {name: answers[name] for name in ("judge_tuned", "classifier") if name in answers}
    kept = {name: _kept(given, rubric) for name, given in who.items()}
    rows = [
        _row(column, value, here, test, who, kept) for column in columns for value, here in _parts(column, test).items()
    ]
    return {"rows": rows, "words": _worst(rows, test, kept)}


def _parts(column: str, test: Labelled) -> dict[str, np.ndarray]:
    """Which sealed pages (n,) have each value; {} where all have one and the same."""
    values = np.array([_value(column, page) for page in test.pages], dtype=object)
    names, counts = np.unique(values.astype(str), return_counts=True)
    order = list(names[np.argsort(-counts, kind="stable")][:MOST_VALUES])
    if column == LENGTH:
        order = [name for name in map(_band, (0, *BANDS)) if name in order]
    return {str(name): values == name for name in order} if len(names) > 1 else {}


def _value(column: str, page: Mapping[str, Any]) -> str:
    if column == LENGTH:
        return _band(len(page["text"]))
    value = page.get(column)
    return "(none)" if value is None or value == "" else str(value)


def _band(chars: int) -> str:
    short, long = BANDS
    if chars < short:
        return f"under {short:,} characters"
    return f"{short:,} to {long:,}" if chars < long else f"{long:,} and more"


def _kept(given: Answers, rubric: Rubric) -> np.ndarray:
    if given.keep is not None:
        return np.asarray(given.keep, bool)
    assert given.level is not None  # a judge always gives levels
    there = ~np.isnan(given.level)
    return np.asarray(there & rubric.worth(np.where(there, given.level, 0.0).tolist()))


def _row(
    column: str,
    value: str,
    here: np.ndarray,
    test: Labelled,
    who: Mapping[str, Answers],
    kept: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    keep, groups = test.keep[here], np.asarray(test.groups)[here]
    row: dict[str, Any] = {"column": column, "value": value, "n": len(keep), "keep": int(keep.sum())}
    if len(keep) < LEAST_LABELS or not 0 < keep.sum() < len(keep):
        return row
    for name, given in who.items():
        ask: Callable[..., Estimate] = partial(bootstrap, groups=groups)
        row[name] = {
            "auc": ask(metrics.auc, [keep, metrics.ranked_last(given.score[here])]).as_dict(),
            "accuracy": ask(metrics.accuracy, [keep, kept[name][here]]).as_dict(),
            "kept": ask(metrics.share, [kept[name][here]]).as_dict(),
        }
    return row


def _worst(rows: Sequence[Mapping[str, Any]], test: Labelled, kept: Mapping[str, np.ndarray]) -> str:
    """The slice that falls farthest behind the rest in right decisions, if by more than chance with as many comparisons
    as were made (Bonferroni)."""
    told = [(row, name) for row in rows for name in kept if name in row]
    gaps = []
    for row, name in told:
        here = _parts(row["column"], test)[row["value"]]
        if here.all():
            continue
        right = kept[name] == test.keep
        gap = bootstrap(_behind, [right, here], groups=test.groups, level=1 - 0.05 / len(told))
        if gap.high < 0:
            gaps.append((gap.value, row, name, gap))
    if not told:
        return "no part of the sealed pages has labels enough to be looked at by itself"
    if not gaps:
        return f"no slice falls behind the rest by more than chance, with {len(told)} comparisons"
    value, row, name, gap = min(gaps, key=lambda one: one[0])
    who = "the classifier" if name == "classifier" else "the judge"
    return (
        f"{who} falls behind on {row['column']} {row['value']}: right on {number(row[name]['accuracy']['value'])} of "
        f"{row['n']} pages, {number(-value)} less than on the rest {_ends(gap)} at 95 % over {len(told)} comparisons"
    )


def _behind(right: np.ndarray, here: np.ndarray) -> float:
    if here.all() or not here.any():
        return float("nan")
    return float(right[here].mean() - right[~here].mean())


def _ends(gap: Estimate) -> str:
    return f"[{number(-gap.high)}, {number(-gap.low)}]"
