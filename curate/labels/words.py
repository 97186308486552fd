"""Rows of the `labels` table: how a word on a page is written down, and which words stand."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from curate.rubric import Rubric
from curate.schema import fingerprint

ADJUDICATION = "adjudication"
"""The role of a word that settles what raters disagree on."""
UNDONE = "undone"
"""The flag of a word that takes the one before it back."""
Row = dict[str, Any]


def label_row(rubric: Rubric, page_id: str, rater: str, **given: Any) -> Row:
    """A row of the `labels` table, named by its content."""
    criteria, role = given.get("criteria") or {}, given.get("role") or ""
    row = {
        "page_id": page_id,
        "rater": rater,
        "level": given.get("level"),
        "criteria": json.dumps(criteria, sort_keys=True) if criteria else None,
        "note": given.get("note") or "",
        "flag": given.get("flag") or "",
        "at": given.get("at") or "",
        "seconds": given.get("seconds"),
        "shown": given.get("shown") or "",
        "assisted": bool(given.get("assisted")),
    }
    named = (
        {**row, "role": role} if role else row
    )  # words without a role keep the names that they had before there were roles
    return {"label_id": fingerprint(named), **row, "role": role, "rubric_hash": rubric.hash}


def labels_fingerprint(rows: Iterable[Mapping[str, Any]]) -> str:
    """The name of a set of labels: its label ids."""
    return fingerprint(sorted(str(row["label_id"]) for row in rows))


def moment(row: Mapping[str, Any]) -> tuple[str, str]:
    """By which a rater's words are in order."""
    return str(row["at"]), str(row["label_id"])


def current(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Each person's last word on each page, in each role; a page that they took back, skipped or flagged has none."""
    last: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for row in sorted(rows, key=moment):
        last[row["page_id"], row["rater"], row.get("role") or ""] = row
    return [dict(row) for row in last.values() if row["level"] is not None]


def by_people(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Words of raters, without those that settled a disagreement: what agreement is measured on."""
    return [dict(row) for row in rows if not row.get("role")]


def adjudicated(rows: Iterable[Mapping[str, Any]]) -> dict[str, Row]:
    """The last word of adjudication on each page that has one."""
    settled = sorted((row for row in rows if row.get("role") == ADJUDICATION and row["level"] is not None), key=moment)
    return {row["page_id"]: dict(row) for row in settled}
