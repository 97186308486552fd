"""What people have said of the pages on a desk: each word one part of `labels`, read again as other processes add theirs."""

import json
import os
import time
from collections import Counter
from collections.abc import Container, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq

from curate.labels.words import UNDONE, label_row, moment
from curate.rubric import Rubric
from curate.store import Store

Row = dict[str, Any]
SETTLED_NS = 50_000_000
"""How long a folder must have been quiet before its time tells that nothing is new: clocks of file systems tick slowly."""


class Said:
    """Every word on some pages, and each person's last one. For one thread at a time."""

    def __init__(self, store: Store, rubric: Rubric, pages: Container[str]) -> None:
        self._store, self._rubric, self._pages = store, rubric, pages
        self._parts: set[str] = set()
        self._listed: tuple[int, int] = (-1, 0)
        self._judged: set[tuple[str, str]] = set()
        self._assisted: set[tuple[str, str]] = set()
        self.words: dict[str, Row] = {}
        self.last: dict[tuple[str, str], Row] = {}
        """By page and rater; what settles a disagreement is in `rulings`."""
        self.rulings: dict[tuple[str, str], Row] = {}

    @property
    def parts(self) -> int:
        """How many parts were read or written."""
        return len(self._parts)

    def of(self, role: str) -> dict[tuple[str, str], Row]:
        """Each person's last word on each page, in one role."""
        return self.rulings if role else self.last

    def refresh(self) -> None:
        """Take in the parts that another process wrote. The folder is listed only when its time has moved."""
        folder = self._store.folder("labels")
        moved = folder.stat().st_mtime_ns if folder.exists() else 0
        if moved == self._listed[0] and self._listed[1] - moved > SETTLED_NS:
            return
        listed_at = time.time_ns()
        if moved:
            for name in sorted(_names(folder) - self._parts):
                with pq.ParquetFile(folder / name) as part:
                    for row in part.read().to_pylist():
                        self._hear(row)
                self._parts.add(name)
        self._listed = (moved, listed_at)

    def write(self, rater: str, page_id: str, word: Mapping[str, Any], *, role: str = "") -> str:
        """Write one word as one part, and give its label id. Raises CurateError when it cannot be written."""
        before = self.of(role).get((page_id, rater))
        row = label_row(self._rubric, page_id, rater, **word, role=role, at=_after(before))
        path = self._store.append("labels", [row], part=row["label_id"])
        self._hear(row)
        self._parts.add(path.name)
        return str(row["label_id"])

    def again(self, rater: str, page_id: str, word: Mapping[str, Any], *, role: str = "") -> str:
        """The label id of the person's last word on a page where this is the same one sent once more; else empty."""
        before = self.of(role).get((page_id, rater))
        if not before or any(before[key] != word[key] for key in ("level", "note", "flag", "seconds")):
            return ""
        extent = str(before["shown"]).partition("; judge ")[0]
        same = json.loads(before["criteria"] or "{}") == word["criteria"] and extent == word["shown"]
        return str(before["label_id"]) if same else ""

    def gave_level(self, rater: str, page_id: str) -> bool:
        """Whether a rater ever gave the page a level, taken back or not."""
        return (page_id, rater) in self._judged

    def was_helped(self, rater: str, page_id: str) -> bool:
        """Whether a rater ever spoke of the page knowing what the judge said."""
        return (page_id, rater) in self._assisted

    def opinions(self, rater: str, *, since: str = "") -> Counter[str]:
        """How many other raters labelled or flagged each page, from a time on."""
        return Counter(
            page_id
            for (page_id, name), row in self.last.items()
            if name != rater and row["flag"] in ("", "unusable") and row["at"] >= since
        )

    def standing(self) -> dict[str, list[Row]]:
        """Raters' labels by page."""
        found: dict[str, list[Row]] = {}
        for (page_id, _), row in self.last.items():
            if row["level"] is not None:
                found.setdefault(page_id, []).append(row)
        return found

    def _hear(self, row: Row) -> None:
        if row["page_id"] not in self._pages:
            return
        self.words[row["label_id"]] = row
        words, key = self.of(row.get("role") or ""), (row["page_id"], row["rater"])
        if not row.get("role"):
            self._judged |= {key} if row["level"] is not None else set()
            self._assisted |= {key} if row["assisted"] else set()
        before = words.get(key)
        if before is None or moment(before) <= moment(row):
            words[key] = row


def _names(folder: Any) -> set[str]:
    """The parts of the folder. Names alone: at thousands of parts the files' own records would take ten times as long."""
    return {name for name in os.listdir(folder) if name.startswith("part-") and name.endswith(".parquet")}


def undone(row: Mapping[str, Any]) -> bool:
    """Whether a rater took their word back."""
    return bool(row["flag"] == UNDONE)


def _after(before: Mapping[str, Any] | None) -> str:
    """The time in UTC to the microsecond, later than a rater's word before, also where the clock was set back."""
    now = datetime.now(UTC)
    if before and before["shown"]:
        now = max(now, datetime.fromisoformat(before["at"]) + timedelta(microseconds=1))
    return now.isoformat(timespec="microseconds")
