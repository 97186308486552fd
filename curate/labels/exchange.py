"""Taking over labels from files: each finds its page, is told from what is known already, and is written down once."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from curate.errors import BadInput
from curate.labels.given import Given, Incoming, Problems, refuse
from curate.labels.labelfile import LabelFile, Match
from curate.labels.values import (
    Refused,
    absent,
    criteria_of,
    mapped_level,
    name_of,
    note_of,
    number,
    said,
    time_of,
    truth,
)
from curate.labels.words import label_row, labels_fingerprint, moment
from curate.progress import Progress, Quiet
from curate.rubric import Rubric
from curate.schema import page_id
from curate.store import Store

Row = dict[str, Any]
FLAGS = ("skipped", "unusable", "undone")
"""Words without a level that people leave at the desk."""
SHOWN_PAGES = 3


@dataclass
class Taken:
    """What came of taking over files."""

    read: int = 0
    """Rows that say something of a page."""
    new: int = 0
    known: int = 0
    """Labels that the workspace had already, or that a later row of the same rater replaced."""
    unmatched: int = 0
    """Rows whose page is not in the sample."""
    empty: int = 0
    """Rows without a level."""
    loosely: int = 0
    """Rows that found their page only when white space was ignored."""
    missed: list[str] = field(default_factory=list)
    """How the first rows without a page name it."""
    raters: dict[str, int] = field(default_factory=dict)
    levels: dict[str, int] = field(default_factory=dict)

    def miss(self, key: str) -> None:
        """A row whose page is not in the sample."""
        self.unmatched += 1
        if len(self.missed) < SHOWN_PAGES:
            self.missed.append(" ".join(key.split())[:60])


class Pages:
    """The sampled pages by what rows say of them. A page without a URL is found by none; of two pages whose texts differ
    only in white space, neither is found loosely."""

    def __init__(self, store: Store, scope: str, match: Match) -> None:
        self._by_text = match == "text"
        key = {"text": "text", "url": "url", "page_id": "page_id"}[match]
        where = "WHERE url <> ''" if match == "url" else ""
        rows = store.sql(f"SELECT {key} AS key, page_id FROM pages {where}", scopes={"pages": scope}).to_pylist()
        named = page_id if self._by_text else str
        self._exact = {named(row["key"]): row["page_id"] for row in rows}
        loose = [(_loosely(row["key"]), row["page_id"]) for row in rows] if self._by_text else []
        times = Counter(key for key, _ in loose)
        self._loose = {key: page for key, page in loose if times[key] == 1}

    def find(self, key: str) -> tuple[str | None, bool]:
        """The page, None where there is none, and whether white space had to be ignored."""
        page = self._exact.get(page_id(key) if self._by_text else key)
        if page is None and self._loose:
            page = self._loose.get(_loosely(key))
            return page, page is not None
        return page, False


def _loosely(text: str) -> str:
    return page_id(" ".join(text.split()))


def take_over(
    store: Store,
    rubric: Rubric,
    files: Sequence[Incoming],
    *,
    pages: str,
    key: str = "",
    hint: str = "",
    assisted: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Taken:
    """Take over the labels of all files, or of none, as one part of the table.

    The same label twice is one label; another word of the same rater on the same page is a new label, and the last one
    stands. `pages` is the sample, `key` and `hint` the begin and end of an error. Raises BadInput for rows that cannot be
    taken, and when none of the rows finds a page.
    """
    taken, rows, problems = Taken(), [], []
    for file in files:
        problems.append(Problems(file))
        known = Pages(store, pages, file.wanted.match)
        with (progress or Quiet()).task("label: taking over labels", None) as task:
            for given in file.rows:
                row = _heard(rubric, file.wanted, given, known, taken, problems[-1])
                rows.extend([row] if row else [])
                task.advance()
    refuse(problems, key=key, hint=hint)
    _check_found(taken, files, key)
    if assisted:
        rows = [renamed(rubric, {**row, "assisted": True}) for row in rows]
    new = unknown(rubric, rows, store.rows("labels"))
    if new and not dry_run:
        store.append("labels", new, part=labels_fingerprint(new))
    return _summed(taken, rubric, rows, len(new))


def _check_found(taken: Taken, files: Sequence[Incoming], key: str) -> None:
    if taken.read and taken.unmatched == taken.read:
        names, matches = ", ".join(file.name for file in files), sorted({file.wanted.match for file in files})
        raise BadInput(
            f"{key}none of {taken.read} labels in {names} matches a sampled page by {' or '.join(matches)}; "
            "match by text, url or page_id, or sample more pages (sample.pages=null: all)"
        )


def _summed(taken: Taken, rubric: Rubric, rows: Sequence[Row], new: int) -> Taken:
    taken.new, taken.known = new, len(rows) - new
    taken.raters = dict(Counter(row["rater"] for row in rows))
    levels = Counter(row["level"] for row in rows)
    taken.levels = {name: levels[level] for level, name in rubric.names.items()}
    return taken


def _heard(
    rubric: Rubric, wanted: LabelFile, given: Given, known: Pages, taken: Taken, problems: Problems
) -> Row | None:
    """The row as one of `labels`; its time is empty where the file has none."""
    flag = given.more.get("flag")
    flag = flag if flag in FLAGS and absent(given.level) else ""
    if not flag and (absent(given.level) or wanted.map.get(said(given.level)) == ""):
        taken.empty += 1
        return None
    taken.read += 1
    page, loosely = known.find(given.key)
    if page is None:
        taken.miss(given.key)
        if problems.file.corpus:
            return None
    try:
        level = None if flag else mapped_level(rubric, given.level, wanted.map, wanted.level)
        criteria = criteria_of(rubric, given.criteria, wanted.criteria)
    except Refused as problem:
        problems.add(given.place, problem)
        return None
    taken.loosely += loosely
    return _row(rubric, wanted, given, page, {"level": level, "criteria": criteria, "flag": flag}) if page else None


def _row(rubric: Rubric, wanted: LabelFile, given: Given, page: str, found: Mapping[str, Any]) -> Row:
    more = given.more
    row = label_row(
        rubric,
        page,
        name_of(given.rater) or name_of(wanted.rater_name),
        **found,
        note=note_of(given.note),
        at=time_of(given.at),
        seconds=number(more.get("seconds")),
        shown="" if absent(more.get("shown")) else str(more["shown"]),
        assisted=truth(more.get("assisted")),
        role="" if absent(more.get("role")) else str(more["role"]),
    )
    return {**row, "rubric_hash": str(more["rubric_hash"])} if not absent(more.get("rubric_hash")) else row


def unknown(rubric: Rubric, rows: Iterable[Row], have: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Of the words that files bring, those that are new to the table, with the time that they take there.

    A word with a time is known where the table has it. A word without one is known where the rater's standing word, or
    the last one that came from a file without a time, says the same: then a person who later says something else keeps
    the last word, and a corrected file has it. So is a word with the time of another that says something else: a line that
    somebody corrected. Of two words of a rater on a page at one time the later row counts.
    """
    last = {(*who(row), row["at"]): row for row in rows}
    before: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {who(row): [] for row in last.values()}
    for row in sorted(have, key=moment):
        if who(row) in before:
            before[who(row)].append(row)
    time, new = datetime.now(UTC), []
    for row in last.values():
        history = before[who(row)]
        own_time = row["at"] and not any(_at(old) == row["at"] and says(old) != says(row) for old in history)
        if _known(rubric, row, history, bool(own_time)):
            continue
        word = row if own_time else dated(row, history, time)
        before[who(row)] = sorted([*history, word], key=moment)
        new.append(word)
    return new


def who(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Whose word on what, and in which role."""
    return row["page_id"], row["rater"], row.get("role") or ""


def says(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What is said, whenever and however: two words that say the same are equal here."""
    return row["level"], row["criteria"] or None, row["note"] or "", row["flag"] or "", bool(row["assisted"])


def _at(row: Mapping[str, Any]) -> str:
    return time_of(row["at"]) or str(row["at"])


def _known(rubric: Rubric, row: Row, history: Sequence[Mapping[str, Any]], own_time: bool) -> bool:
    if own_time:
        return any(_at(old) == row["at"] for old in history)
    filed = [old for old in history if renamed(rubric, old)["label_id"] != old["label_id"]]
    return any(says(old) == says(row) for old in (*history[-1:], *filed[-1:]))


def renamed(rubric: Rubric, row: Mapping[str, Any]) -> Row:
    """A row under the name of all that it says. Words that came from a file without a time have another name: they were
    named before the time of their coming was put in."""
    criteria = json.loads(row["criteria"]) if row["criteria"] else {}
    given = {key: row.get(key) for key in ("level", "note", "flag", "at", "seconds", "shown", "assisted", "role")}
    named = label_row(rubric, row["page_id"], row["rater"], criteria=criteria, **given)
    return {**named, "rubric_hash": row["rubric_hash"]}


def dated(row: Row, history: Sequence[Mapping[str, Any]], time: datetime) -> Row:
    """The word, said now, or right after the rater's last one where that is later by the clock."""
    latest = time_of(history[-1]["at"]) if history else ""
    if latest >= time.isoformat(timespec="microseconds"):
        time = datetime.fromisoformat(latest) + timedelta(microseconds=1)
    name = row["label_id"]
    if any(old["label_id"] == name for old in history):
        name = labels_fingerprint([row, history[-1]])
    return {**row, "label_id": name, "at": time.isoformat(timespec="microseconds")}
