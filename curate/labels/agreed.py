"""How well the people who labelled agree: together, each against the rest, each pair, each criterion."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from curate import agreement, metrics
from curate.intervals import Estimate, bootstrap
from curate.labels.words import by_people
from curate.rubric import Rubric

Row = Mapping[str, Any]
CEILING = ("keep_kappa", "keep_accuracy", "auc", "qwk", "kappa", "accuracy", "macro_f1")
"""Of the ceiling's numbers, those that are shown."""
NARROW = 0.1
"""Half the width of an interval that is narrow enough to say something with."""
NONE = Estimate(math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True)
class OneRater:
    """A rater against the others, on the pages that they share. Estimates are NaN where none is shared."""

    name: str
    labels: int
    keeps: float | None
    """Share of the rater's pages that they would keep; None where the rubric keeps nothing."""
    same: Estimate
    """Share of pages with the level, or class, that the others give together."""
    same_side: Estimate | None
    """The same of keep and drop."""
    kappa: Estimate | None
    """Cohen's kappa of keep and drop against the others together."""
    bias: Estimate | None
    """Mean of the rater's level less the others'; None on a choice scale."""


@dataclass(frozen=True)
class Agreed:
    """All figures, with 95 % intervals over groups of pages."""

    labels: int
    pages: int
    shared: int
    """Pages with two raters or more."""
    exact: Estimate = NONE
    """Chance that two raters of a page say the same."""
    same_side: Estimate | None = None
    """Chance that they are on the same side of keep and drop."""
    raters: list[OneRater] = field(default_factory=list)
    alpha: list[tuple[str, Estimate]] = field(default_factory=list)
    pairs: list[agreement.Pair] = field(default_factory=list)
    ceiling: list[tuple[str, Estimate]] = field(default_factory=list)
    criteria: list[tuple[str, Estimate, Estimate]] = field(default_factory=list)
    """Name of a criterion, the chance that two raters say the same of it, Krippendorff's ordinal alpha."""
    more: str = ""
    """What further second opinions would bring."""
    note: str = ""
    """What a reader of the numbers must know."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON: estimates as value, low, high and n."""
        return dict(_plain(asdict(self)))


def agreed(rows: Iterable[Row], pages: Iterable[Row], rubric: Rubric) -> Agreed:
    """What people's standing words (`words.current`) on these pages say of each other. Words of adjudication, and those that
    a judge had a part in, are left out."""
    groups = {page["page_id"]: page["group_id"] for page in pages}
    own = [row for row in by_people(rows) if not row.get("assisted") and row["page_id"] in groups]
    said = [(row["page_id"], row["rater"], row["level"]) for row in own]
    keep: Any = rubric.keep if isinstance(rubric.keep, int) else rubric.kept
    given: dict[str, Any] = {"keep": keep, "levels": rubric.top + 1, "groups": groups, "scale": rubric.scale}
    ceiling, apart = agreement.human_ceiling(said, **given), agreement.leave_one_out(said, scale=rubric.scale)
    names = sorted({row["rater"] for row in own})
    exact = _pairs_agree(said, groups, lambda level: level)
    side = _pairs_agree(said, groups, lambda level: level in rubric.kept) if rubric.kept else None
    return Agreed(
        labels=len(own),
        pages=len({row["page_id"] for row in own}),
        shared=ceiling.pages,
        exact=exact,
        same_side=side,
        raters=[_one(name, own, [a for a in apart if a.rater == name], groups, rubric) for name in names],
        alpha=[(kind, agreement.krippendorff_alpha(said, metric=kind, groups=groups)) for kind in _kinds(rubric)],
        pairs=agreement.pairwise_kappa(said, **given),
        ceiling=[(name, ceiling.estimates[name]) for name in CEILING if name in ceiling.estimates],
        criteria=[(name, *found) for name in rubric.criteria if (found := _criterion(name, own, groups))],
        more=_more(side or exact),
        note=ceiling.note,
    )


def agreed_by(rows: Sequence[Row], pages: Iterable[Row], rubric: Rubric, by: str) -> dict[str, Agreed]:
    """The same for the pages of each value of a column of theirs, in order; values without a label are left out."""
    labelled, found = {row["page_id"] for row in rows}, dict[str, list[Row]]()
    for page in pages:
        if page["page_id"] in labelled:
            found.setdefault("" if page[by] is None else str(page[by]), []).append(page)
    return {value: agreed(rows, found[value], rubric) for value in sorted(found)}


def _kinds(rubric: Rubric) -> list[agreement.Metric]:
    return ["ordinal", "nominal"] if rubric.scale == "ordinal" else ["nominal"]


def _one(
    name: str, rows: Sequence[Row], apart: Sequence[agreement.LeftOut], groups: Mapping[str, str], rubric: Rubric
) -> OneRater:
    mine = [row["level"] for row in rows if row["rater"] == name]
    keeps = sum(level in rubric.kept for level in mine) / len(mine) if rubric.kept else None
    classes, sided = rubric.scale == "choice", NONE if rubric.kept else None
    if not apart:
        return OneRater(name, len(mine), keeps, NONE, sided, sided, None if classes else NONE)
    of = [groups[row.page_id] for row in apart]
    own, others = np.array([row.level for row in apart]), np.array([row.others_mean for row in apart], float)
    same = bootstrap(metrics.accuracy, [metrics.nearest_level(others), own], groups=of)
    bias = None if classes else bootstrap(_mean_difference, [own, others], groups=of)
    if not rubric.kept:
        return OneRater(name, len(mine), keeps, same, None, None, bias)
    sides = [rubric.worth(others.tolist()), np.isin(own, sorted(rubric.kept))]
    side, kappa = bootstrap(metrics.accuracy, sides, groups=of), bootstrap(metrics.kappa, sides, groups=of)
    return OneRater(name, len(mine), keeps, same, side, kappa, bias)


def _mean_difference(own: np.ndarray, others: np.ndarray) -> float:
    return float((own - others).mean())


def _pairs_agree(
    said: Iterable[tuple[str, str, int]], groups: Mapping[str, str], view: Callable[[int], object]
) -> Estimate:
    """Chance that two raters of a page say the same, every page counting once."""
    by_page: dict[str, list[object]] = {}
    for page, _, level in said:
        by_page.setdefault(page, []).append(view(level))
    shared = {page: list(combinations(levels, 2)) for page, levels in by_page.items() if len(levels) > 1}
    if not shared:
        return NONE
    chances = np.array([sum(a == b for a, b in pairs) / len(pairs) for pairs in shared.values()])
    if set(chances.tolist()) <= {0.0, 1.0}:
        return bootstrap(metrics.share, [chances > 0.5], groups=[groups[page] for page in shared])
    return bootstrap(_mean, [chances], groups=[groups[page] for page in shared])


def _mean(values: np.ndarray) -> float:
    return float(values.mean())


def _criterion(name: str, rows: Sequence[Row], groups: Mapping[str, str]) -> tuple[Estimate, Estimate] | None:
    """Agreement on a criterion; None where no two raters answered it of one page."""
    answers = [(row["page_id"], row["rater"], json.loads(row["criteria"] or "{}").get(name)) for row in rows]
    said = [one for one in answers if one[2] is not None]
    exact = _pairs_agree(said, groups, lambda level: level)
    return (exact, agreement.krippendorff_alpha(said, metric="ordinal", groups=groups)) if exact.n else None


def _more(side: Estimate) -> str:
    """How many shared pages would make the interval narrow: its width falls with the root of their number."""
    half = (side.high - side.low) / 2
    if not side.n or math.isnan(half):
        return "no two raters share a page: a second rater for some pages would say how well people agree"
    if half <= NARROW:
        return f"{side.n} shared pages give agreement to within +-{half:.2f}; more are not needed for that"
    wanted = math.ceil(side.n * (half / NARROW) ** 2)
    return f"{side.n} shared pages give agreement to within +-{half:.2f}; about {wanted} would give +-{NARROW:.2f}"


def _plain(value: Any) -> Any:
    """NaN, which JSON has not, as None, all the way down."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value
