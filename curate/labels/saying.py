"""Words that a script says of pages: finding the page it means, and writing the word down."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from curate.errors import BadInput
from curate.labels.exchange import dated, renamed, says, who
from curate.labels.values import Refused, allowed_levels, criterion_level, level_of, name_of
from curate.labels.words import label_row, labels_fingerprint, moment
from curate.rubric import Rubric
from curate.store import Store

Row = dict[str, Any]
LEAST = 4
"""Characters of a page id that may stand for it."""


@dataclass(frozen=True)
class Said:
    """One word, as a script gives it."""

    page: str
    level: Any = None
    rater: str = "script"
    note: str = ""
    criteria: Mapping[str, Any] = field(default_factory=dict)
    undo: bool = False
    assisted: bool = False


class Named:
    """The sampled pages by id, the beginning of an id, or URL."""

    def __init__(self, store: Store, scope: str) -> None:
        rows = store.sql("SELECT page_id, url FROM pages ORDER BY page_id", scopes={"pages": scope}).to_pylist()
        self._ids = [row["page_id"] for row in rows]
        self._urls: dict[str, list[str]] = {}
        for row in rows:
            if row["url"]:
                self._urls.setdefault(row["url"], []).append(row["page_id"])

    def find(self, name: str) -> str:
        """The id of the page that is meant. Raises BadInput where there is none, or more than one."""
        found = self._urls.get(name) or self._beginning(name)
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
            raise BadInput(f"{name!r} may be any of {len(found)} pages ({ids}); give more of the page id")
        raise BadInput(f"no sampled page {name!r}; give a page id, the beginning of one, or a URL (see `curate pages`)")

    def _beginning(self, name: str) -> list[str]:
        first = bisect_left(self._ids, name)
        last = bisect_left(self._ids, name + chr(0x10FFFF))
        if first < last and self._ids[first] == name:
            return [name]
        return self._ids[first:last] if len(name) >= LEAST else []


def say(store: Store, rubric: Rubric, words: Sequence[Said], *, pages: str, places: Sequence[str]) -> list[str]:
    """The label ids of the words, which are written down as one part, or none of them. A word that the rater's standing
    one says already is that one. `places` name the words in errors.

    Raises BadInput with the first ten words that cannot be taken.
    """
    known, problems, rows = Named(store, pages), list[str](), list[Row]()
    for word, place in zip(words, places, strict=True):
        try:
            rows.append(_row(rubric, word, known.find(word.page)))
        except (BadInput, Refused) as problem:
            problems.append(f"{place}{problem}")
    if problems:
        others = len(problems) - 10
        raise BadInput("; ".join(problems[:10]) + (f"; and {others} more" if others > 0 else ""))
    new, ids = _new(rubric, rows, store.rows("labels"), places)
    if new:
        store.append("labels", new, part=labels_fingerprint(new))
    return ids


def _row(rubric: Rubric, word: Said, page: str) -> Row:
    rater = name_of(word.rater)
    if not rater:
        raise Refused("rater", repr(word.rater), "is no name of a rater")
    if word.undo:
        return label_row(rubric, page, rater, flag="undone")
    level = level_of(rubric, word.level)
    if level is None:
        raise Refused("level", repr(word.level), f"is no level (allowed: {allowed_levels(rubric)})")
    criteria = {name: criterion_level(rubric, name, value, "criteria") for name, value in word.criteria.items()}
    given = {"note": word.note, "assisted": word.assisted}
    return label_row(rubric, page, rater, level=level, criteria=criteria, **given)


def _new(
    rubric: Rubric, rows: Sequence[Row], have: Iterable[Mapping[str, Any]], places: Sequence[str]
) -> tuple[list[Row], list[str]]:
    """The words that are new, and the label ids of all. Raises BadInput where there is nothing to take back."""
    last: dict[tuple[str, str, str], Mapping[str, Any]] = {who(row): row for row in sorted(have, key=moment)}
    new, ids, time = [], [], datetime.now(UTC)
    for row, place in zip(rows, places, strict=True):
        standing = last.get(who(row))
        if row["flag"] and (standing is None or standing["level"] is None):
            raise BadInput(f"{place}{row['rater']} has said nothing of {row['page_id']} that can be taken back")
        if standing is None or says(standing) != says(row):
            standing = renamed(rubric, dated(row, [standing] if standing else [], time))
            last[who(row)] = standing
            new.append(dict(standing))
        ids.append(str(standing["label_id"]))
    return new, ids
