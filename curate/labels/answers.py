"""From what annotation tools export, a person's answers to named questions, to words on pages."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from curate.errors import BadInput, did_you_mean
from curate.labels.given import Given
from curate.labels.labelfile import LabelFile, Match
from curate.labels.values import absent, level_of, said
from curate.rubric import Rubric

MATCHES: tuple[Match, ...] = ("page_id", "text", "url")
"""By what pages are found where nobody says it: the surest first."""


@dataclass(frozen=True)
class Asked:
    """What the person who gives a file says of it; what is empty is found out."""

    match: Match | None = None
    column: str = ""
    level: str = ""
    map: Mapping[str, int | str] = field(default_factory=dict)
    rater: str = ""
    rater_name: str = "imported"
    note: str = ""
    criteria: str = ""


@dataclass(frozen=True)
class Answered:
    """All that one person answered of one page."""

    place: int
    page: Mapping[str, Any]
    """What the tool knows of the page: its text, its URL, whatever was loaded with it."""
    answers: Mapping[str, Any]
    """Question to answer."""
    rater: Any = None
    at: Any = None
    texts: frozenset[str] = frozenset()
    """Questions that are answered in free text."""
    more: Mapping[str, Any] = field(default_factory=dict)


def match_in(asked: Asked, columns: Iterable[str], where: str) -> tuple[Match, str]:
    """How pages are found and in which column. Raises BadInput where no column says it."""
    known = list(dict.fromkeys(columns))
    match = asked.match or ("text" if asked.column else next((name for name in MATCHES if name in known), None))
    column = asked.column or match or ""
    if column not in known:
        wanted = repr(column) if column else "text, url or page_id"
        raise BadInput(
            f"{where}: no column {wanted} says which page a row is about{did_you_mean(column, known)}; name it with --match and --column"
        )
    return match or "text", column


def words_in(
    found: Sequence[Answered], rubric: Rubric, asked: Asked, where: str
) -> tuple[LabelFile, list[Given], list[str]]:
    """How the answers are understood, the words that they are, and a line about it for the person who gave them.

    Raises BadInput where no question, or more than one, may be the one of the level, and where a page cannot be told.
    """
    match, column = match_in(asked, (name for one in found for name in one.page), where)
    level = _level_question(found, rubric, asked, where)
    note = asked.note or _note_question(found, level, rubric)
    wanted = LabelFile(match=match, column=column, level=level, map=dict(asked.map), note=note, criteria="criteria")
    rows = [
        Given(
            place=one.place,
            key=str(one.page.get(column) or ""),
            level=one.answers.get(level),
            rater=one.rater,
            note=one.answers.get(note) if note else None,
            criteria={name: answer for name, answer in one.answers.items() if name in rubric.criteria},
            at=one.at,
            more=one.more,
        )
        for one in found
    ]
    wanted = wanted.model_copy(update={"rater_name": asked.rater_name})
    return wanted, rows, [f"level from {level!r}" + (f", note from {note!r}" if note else "") + f", pages by {match}"]


def _level_question(found: Sequence[Answered], rubric: Rubric, asked: Asked, where: str) -> str:
    names = list(dict.fromkeys(name for one in found for name in one.answers))
    if asked.level:
        if asked.level not in names:
            raise BadInput(f"{where}: nobody answered a question {asked.level!r}{did_you_mean(asked.level, names)}")
        return asked.level
    texts = frozenset[str]().union(*(one.texts for one in found))
    others = [name for name in names if name not in rubric.criteria and name not in texts]
    fitting = [name for name in others if _fits([one.answers.get(name) for one in found], rubric, asked.map)]
    for candidates in (fitting, others):
        if "level" in candidates:
            return "level"
        if len(candidates) == 1:
            return candidates[0]
    raise BadInput(
        f"{where}: which question is the level? name it with --level (answered: {', '.join(names) or 'none'})"
    )


def _fits(values: Iterable[Any], rubric: Rubric, map: Mapping[str, int | str]) -> bool:
    """Whether most answers are levels."""
    given = [value for value in values if not absent(value)]
    levels = [level_of(rubric, map.get(said(value)) if map else value) for value in given]
    return 2 * sum(level is not None for level in levels) > len(given)


def _note_question(found: Sequence[Answered], level: str, rubric: Rubric) -> str:
    """The question of free text that is named so, or the only one."""
    names = {name for one in found for name in one.texts if name != level and name not in rubric.criteria}
    return "note" if "note" in names else next(iter(names)) if len(names) == 1 else ""
