"""Pages that raters part on, for somebody who settles them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from curate.rubric import Rubric

Row = Mapping[str, Any]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def part(levels: Sequence[int]) -> bool:
    """Whether raters part: two or more, who do not all say the same."""
    return len(levels) > 1 and len(set(levels)) > 1


def across_border(levels: Sequence[int], rubric: Rubric) -> bool:
    """Whether some would keep the page and some would not."""
    return len(set(rubric.worth([float(level) for level in levels]).tolist())) > 1


def weight(levels: Sequence[int], rubric: Rubric) -> tuple[bool, int]:
    """By which disputes are in order, the largest first: across the border, then how far apart (classes: how many)."""
    apart = len(set(levels)) if rubric.scale == "choice" else max(levels) - min(levels)
    return across_border(levels, rubric), apart


def sides(words: Sequence[Row], *, names: bool) -> list[dict[str, Any]]:
    """What each rater said, in the order of their names; as A, B, ... unless `names` are asked for."""
    ordered = sorted(words, key=lambda row: str(row["rater"]))
    return [
        {
            "who": row["rater"] if names else LETTERS[place % len(LETTERS)],
            "level": row["level"],
            "criteria": json.loads(row["criteria"] or "{}"),
            "note": row["note"],
            "assisted": bool(row["assisted"]),
        }
        for place, row in enumerate(ordered)
    ]
