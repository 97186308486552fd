"""What is true of a page, from what people said of it: one place for tuning, distilling, counting and the sealed report."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Literal

import numpy as np

from curate.agreement import majority
from curate.labels.reliability import reliability
from curate.labels.weighing import weighed
from curate.labels.words import adjudicated, by_people
from curate.rubric import Rubric

How = Literal["mean", "median", "majority", "weighted", "dawid_skene"]
Row = Mapping[str, Any]


def truth_of(rows: Iterable[Row], rubric: Rubric, *, how: How = "mean", splits: Mapping[str, str]) -> dict[str, float]:
    """Page id to level, of the pages that somebody labelled and whose split is in `splits` (page id to split).

    A word of adjudication settles a page. Else its raters' levels are put together by `how`: their `mean`, `median` (the
    lower level between two) or `majority` (the lower one of a tie), classes always by majority; `weighted`, by how steady
    each rater is against the others (`weighing`; classes as by `dawid_skene`); or `dawid_skene` (`reliability`). Where too
    few pages are shared the latter two are as by the mean. `rows` are standing words (`words.current`); those that were
    given with a judge's help do not count on the sealed test.

    Raters are weighed on the sealed test by its own labels, and elsewhere by the others: what is learned from train and
    val must not depend on a sealed label.
    """
    standing = [row for row in rows if row["page_id"] in splits and counts(row, splits[row["page_id"]])]
    settled, said = adjudicated(standing), by_page(standing)
    known: dict[str, float] = {}
    for sealed in (False, True):
        side = [row for row in by_people(standing) if (splits[row["page_id"]] == "test") == sealed]
        known |= _by_trust(side, rubric, how)
    return {
        page: float(settled[page]["level"]) if page in settled else known.get(page, together(levels, rubric, how))
        for page, levels in sorted(said.items())
    }


def _by_trust(rows: Sequence[Row], rubric: Rubric, how: How) -> dict[str, float]:
    """Levels of pages with two raters or more by how far each can be trusted; {} where that is not asked, or not known.
    One rater's word stands."""
    said = [(row["page_id"], row["rater"], row["level"]) for row in rows]
    if how == "weighted" and rubric.scale == "ordinal":
        steady = weighed(said)
        return steady.levels if steady else {}
    return _by_tables(said, rubric) if how in ("weighted", "dawid_skene") else {}


def _by_tables(said: Sequence[tuple[str, str, int]], rubric: Rubric) -> dict[str, float]:
    """By Dawid and Skene's tables: the mean by probability, or the likeliest class."""
    found, raters = reliability(said, levels=rubric.top + 1), Counter(page for page, _, _ in said)
    chances = {page: chance for page, chance in found[0].items() if raters[page] > 1} if found else {}
    if rubric.scale == "choice":
        return {page: float(np.argmax(chance)) for page, chance in chances.items()}
    return {page: float(chance @ np.arange(len(chance))) for page, chance in chances.items()}


def counts(row: Row, split: str) -> bool:
    """Whether a word may stand for what people think: on the sealed test, not one that a judge had a part in."""
    return not (split == "test" and row.get("assisted"))


def by_page(rows: Iterable[Row]) -> dict[str, list[int]]:
    """Levels by page, in the order of the raters' names."""
    found: dict[str, list[int]] = {}
    for row in sorted(rows, key=lambda row: str(row["rater"])):
        found.setdefault(row["page_id"], []).append(row["level"])
    return found


def together(levels: Sequence[int], rubric: Rubric, how: How) -> float:
    """What several people say together."""
    if how in ("mean", "weighted", "dawid_skene") or rubric.scale == "choice":
        return rubric.consensus(levels)
    return float(math.floor(median(levels))) if how == "median" else float(majority(levels))
