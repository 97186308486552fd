"""Labels that may be slips: where a rater stands alone, where a classifier is sure of the opposite, where the judge is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from curate import metrics
from curate.checked import Array
from curate.features import features_of
from curate.folds import folds_of
from curate.labels.words import by_people
from curate.rubric import Rubric
from curate.scorer import Heads, held_out_scores

Row = Mapping[str, Any]
READS: Heads = {"ngrams": ("linear", 1.0), "shape": ("kernel", 1.0)}
"""What the classifier that is asked looks at: cheap, and needs no model."""
LEAST_LABELLED, LEAST_OF_A_SIDE, FOLDS = 40, 8, 5
"""Labelled pages, and those of each side, without which no classifier is asked."""
SURE = 0.9
"""Probability of the other side from which the judge speaks against a label."""
GOOD_JUDGE = 0.8
"""AUC against the labels themselves without which the judge is not asked."""


@dataclass(frozen=True)
class Suspect:
    """A label that may be a slip, and what speaks against it."""

    page_id: str
    rater: str
    label_id: str
    level: int
    doubt: float
    """0 to 1, by which suspects are ranked: what the strongest witness says, and a little more for each further one."""
    reasons: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def suspects(
    rows: Iterable[Row], pages: Sequence[Row], rubric: Rubric, *, judged: Mapping[str, float] | None = None
) -> list[Suspect]:
    """Labels of train and val that something speaks against, the most doubtful first; the sealed test is not looked at.

    `rows` are standing words, `judged` the judge's share of keep by page id. A rater stands alone where two others or more
    agree with each other on the other side of keep and drop. The classifier is cross-validated by group, and speaks where
    a page's own side is less likely than pages labelled so are on average, and less likely than not: the rule of confident
    learning (Northcutt et al. 2021, eq. 2). The judge is asked where it agrees with these labels on the whole. Of a rubric that keeps nothing there are none.
    """
    open_pages = [page for page in pages if page["split"] != "test"]
    known = {page["page_id"] for page in open_pages}
    own = [row for row in by_people(rows) if row["page_id"] in known]
    if not rubric.kept or not own:
        return []
    witnesses = [_alone(own, rubric), _by_classifier(own, open_pages, rubric), _by_judge(own, rubric, judged or {})]
    found = []
    for row in own:
        said = [(doubt, words) for speaks in witnesses for doubt, words in speaks.get(row["label_id"], [])]
        if said:
            doubts = sorted((doubt for doubt, _ in said), reverse=True)
            doubt = 1 - (1 - doubts[0]) * 0.8 ** (len(doubts) - 1)
            found.append(
                Suspect(
                    row["page_id"], row["rater"], row["label_id"], row["level"], doubt, [words for _, words in said]
                )
            )
    return sorted(found, key=lambda one: (-one.doubt, one.page_id, one.rater))


Against = dict[str, list[tuple[float, str]]]
"""By label id: how sure a witness is of the opposite, and its words."""


def _keeps(rows: Sequence[Row], rubric: Rubric) -> Array:
    return np.isin([row["level"] for row in rows], sorted(rubric.kept)).astype(np.float64)


def _alone(rows: Sequence[Row], rubric: Rubric) -> Against:
    by_page: dict[str, list[Row]] = {}
    for row in rows:
        by_page.setdefault(row["page_id"], []).append(row)
    found: Against = {}
    for said in by_page.values():
        keeps = _keeps(said, rubric) > 0.5
        for row, keep in zip(said, keeps, strict=True):
            others = len(said) - 1
            if others > 1 and (keeps == keep).sum() == 1:
                words = f"{others} others would {'drop' if keep else 'keep'} it"
                found[row["label_id"]] = [(others / (others + 1), words)]
    return found


def _by_classifier(rows: Sequence[Row], pages: Sequence[Row], rubric: Rubric) -> Against:
    share = _share_of_keep(rows, rubric)
    chosen = [page for page in pages if page["page_id"] in share]
    p = np.array([share[page["page_id"]] for page in chosen])
    sides = (p >= 0.5).sum(), (p < 0.5).sum()
    groups = [str(page["group_id"]) for page in chosen]
    if len(chosen) < LEAST_LABELLED or min(sides) < LEAST_OF_A_SIDE or len(set(groups)) < FOLDS:
        return {}
    features = features_of([page["text"] for page in chosen], blocks=list(READS))
    fold_of = folds_of(groups, p, folds=FOLDS, random_state=0)
    held = held_out_scores(features, READS, p, np.ones(len(p)), fold_of)
    usual = {True: float(held[p >= 0.5].mean()), False: float(1 - held[p < 0.5].mean())}
    chance = dict(zip((page["page_id"] for page in chosen), held, strict=True))
    found: Against = {}
    for row, keep in zip(rows, _keeps(rows, rubric) > 0.5, strict=True):
        own = chance[row["page_id"]] if keep else 1 - chance[row["page_id"]]
        if own < min(0.5, usual[bool(keep)]):
            words = f"a classifier of the other labels gives {'keep' if keep else 'drop'} a chance of {own:.2f}"
            found[row["label_id"]] = [(float(1 - own), words)]
    return found


def _share_of_keep(rows: Sequence[Row], rubric: Rubric) -> dict[str, float]:
    by_page: dict[str, list[float]] = {}
    for row, keep in zip(rows, _keeps(rows, rubric), strict=True):
        by_page.setdefault(row["page_id"], []).append(float(keep))
    return {page: sum(keeps) / len(keeps) for page, keeps in by_page.items()}


def _by_judge(rows: Sequence[Row], rubric: Rubric, judged: Mapping[str, float]) -> Against:
    found: Against = {}
    shares = np.array([judged.get(row["page_id"], np.nan) for row in rows])
    known = ~np.isnan(shares)
    sides = _keeps(rows, rubric)[known] > 0.5
    if not 0 < sides.sum() < len(sides) or metrics.auc(sides, shares[known]) < GOOD_JUDGE:
        return found
    for row, keep in zip(rows, _keeps(rows, rubric) > 0.5, strict=True):
        share = judged.get(row["page_id"], np.nan)
        other = 1 - share if keep else share
        if other >= SURE:
            words = f"the judge's share of {'keep' if keep else 'drop'} is {1 - other:.2f}"
            found[row["label_id"]] = [(float(other), words)]
    return found
