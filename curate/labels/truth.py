"""What is true of a page, from what people said of it: one place for tuning, distilling, counting and the sealed report."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Literal

from curate.agreement import majority
from curate.labels.words import adjudicated
from curate.rubric import Rubric

How = Literal["mean", "median", "majority"]
Row = Mapping[str, Any]


def truth_of(rows: Iterable[Row], rubric: Rubric, *, how: How = "mean", splits: Mapping[str, str]) -> dict[str, float]:
    """Page id to level, of the pages that somebody labelled and whose split is in `splits` (page id to split).

    A word of adjudication settles a page. Else its raters' levels are put together by `how`: their `mean`, `median` (the
    lower level between two) or `majority` (the lower one of a tie); classes always by majority. `rows` are standing words
    (`words.current`); those that were given with a judge's help do not count on the sealed test.
    """
    standing = [row for row in rows if row["page_id"] in splits and counts(row, splits[row["page_id"]])]
    settled, said = adjudicated(standing), by_page(standing)
    return {
        page: float(settled[page]["level"]) if page in settled else together(levels, rubric, how)
        for page, levels in sorted(said.items())
    }


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
    if how == "mean" or rubric.scale == "choice":
        return rubric.consensus(levels)
    return float(math.floor(median(levels))) if how == "median" else float(majority(levels))
