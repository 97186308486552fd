"""Words from a file into the `labels` table: all that can be understood, or none."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from curate.errors import BadInput
from curate.labels.incoming import Incoming
from curate.labels.parsing import criteria_of, mapped_level, time_of
from curate.labels.words import label_row, labels_fingerprint
from curate.rubric import Rubric
from curate.schema import page_id
from curate.store import Store

Match = Literal["auto", "text", "url", "page_id"]
MOST_SAID = 10
"""Bad rows that are named; the rest are counted."""
MOST_LOST = 3
FLAGS = ("", "skipped", "unusable", "undone")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Imported:
    """What became of the words of a file."""

    new: int
    known: int
    """Words that were there already."""
    lost: int
    """Words on pages that are not in the sample."""
    loosely: int
    """Words that found their page only after white space was ignored."""
    raters: dict[str, int]
    levels: dict[str, int]
    examples: list[str] = field(default_factory=list)
    """Where some of the lost ones stand."""


def take_in(
    store: Store,
    rubric: Rubric,
    words: Iterable[Incoming],
    pages: Sequence[Row],
    *,
    match: Match = "auto",
    levels: Mapping[str, int | str] | None = None,
    assisted: bool = False,
    dry: bool = False,
) -> Imported:
    """Write the words as one part of `labels`; the same word twice is one word, by its content, so the same file twice adds
    nothing. `levels` says what values stand for. `dry` writes nothing.

    Raises BadInput, with the place of each, for values that the rubric has not, before anything is written; and where no
    word finds its page.
    """
    found, bad, lost, loosely = [], [], [], 0
    place = _Places(pages, match)
    for word in words:
        try:
            row = _row(rubric, word, levels or {}, assisted=assisted)
        except ValueError as error:
            bad.append(f"{word.where}: {error}")
            continue
        page, loose = place.of(word)
        loosely += loose
        if page is None:
            lost.append(word.where)
        else:
            found.append(label_row(rubric, page, word.rater, **row))
    _refuse(bad)
    if lost and not found:
        raise BadInput(
            f"none of {len(lost):,} labels finds a page of the sample by {match}; match by text, url or page_id, name the "
            f"column, or sample more pages (sample.pages=null: all)"
        )
    have = set(store.sql("SELECT label_id FROM labels").column("label_id").to_pylist())
    once = {row["label_id"]: row for row in found}
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    new = [{**row, "at": row["at"] or now} for name, row in once.items() if name not in have]
    if new and not dry:
        store.append("labels", new, part=labels_fingerprint(new))
    named = Counter(rubric.names[row["level"]] for row in once.values() if row["level"] is not None)
    return Imported(
        new=len(new),
        known=len(found) - len(new),
        lost=len(lost),
        loosely=loosely,
        raters=dict(Counter(row["rater"] for row in once.values())),
        levels={name: named[name] for name in rubric.names.values() if named[name]},
        examples=lost[:MOST_LOST],
    )


def _row(rubric: Rubric, word: Incoming, levels: Mapping[str, int | str], *, assisted: bool) -> dict[str, Any]:
    if word.flag not in FLAGS:
        raise ValueError(f"flag {word.flag!r} is none of {', '.join(FLAGS[1:])}")
    if not word.rater:
        raise ValueError("no rater is named; give --rater-name")
    return {
        "level": None if word.level is None else mapped_level(rubric, word.level, levels),
        "criteria": criteria_of(rubric, word.criteria),
        "note": word.note,
        "flag": word.flag,
        "at": time_of(word.at),
        "seconds": word.seconds,
        "shown": word.shown,
        "assisted": assisted or word.assisted,
        "role": word.role,
    }


def _refuse(bad: Sequence[str]) -> None:
    if bad:
        more = f"; and {len(bad) - MOST_SAID:,} more" if len(bad) > MOST_SAID else ""
        raise BadInput(
            f"{len(bad):,} labels cannot be understood, nothing was written: {'; '.join(bad[:MOST_SAID])}{more}"
        )


class _Places:
    """Which page of the sample a word is about."""

    def __init__(self, pages: Sequence[Row], match: Match) -> None:
        self.match = match
        self.ids = {page["page_id"]: page["page_id"] for page in pages}
        self.urls = {page["url"]: page["page_id"] for page in pages if page["url"]}
        self.texts = {page_id(page["text"]): page["page_id"] for page in pages}
        self.loose = {_plain(page["text"]): page["page_id"] for page in pages}

    def of(self, word: Incoming) -> tuple[str | None, bool]:
        """The page's id, None where there is none, and whether white space had to be ignored."""
        for by, found in (
            ("page_id", self.ids.get(word.page_id)),
            ("url", self.urls.get(word.url)),
            ("text", self.texts.get(page_id(word.text)) if word.text else None),
        ):
            if found is not None and self.match in ("auto", by):
                return found, False
        if word.text and self.match in ("auto", "text"):
            found = self.loose.get(_plain(word.text))
            return found, found is not None
        return None, False


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
