"""Pages of train and val on which classifier and judge part most: where the cheap one does not say what it was taught."""

from collections.abc import Mapping, Sequence
from typing import Any

from curate.judged import worth_by_judge
from curate.rubric import Rubric

Row = Mapping[str, Any]
MOST = 6


def parting(
    pages: Sequence[Row],
    judged: Mapping[str, Row],
    probability: Mapping[str, float],
    rubric: Rubric,
    *,
    excerpt_chars: int,
) -> list[dict[str, Any]]:
    """The six worst of them, each said of by a classifier that had not seen it (`probability`, by page id). Sealed pages
    are never among them."""
    rows = []
    for page in pages:
        name = page["page_id"]
        worth = worth_by_judge(rubric, judged.get(name, {}))
        if page["split"] == "test" or name not in probability or worth != worth:
            continue
        rows.append((abs(probability[name] - worth), worth, page))
    worst = sorted(rows, key=lambda row: (-row[0], str(row[2]["page_id"])))[:MOST]
    return [
        {
            "page_id": page["page_id"],
            "url": page["url"],
            "excerpt": page["text"][:excerpt_chars],
            "classifier": probability[page["page_id"]],
            "judge": worth,
            "reason": judged[page["page_id"]].get("reason") or "",
        }
        for _, worth, page in worst
    ]
