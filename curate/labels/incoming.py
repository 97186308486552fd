"""Words on pages as files hold them: tables, Label Studio's exports and Argilla's records, brought to one shape."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from curate.errors import BadInput, did_you_mean
from curate.labels.parsing import absent
from curate.rubric import Rubric

Form = Literal["table", "label-studio", "argilla"]
Row = Mapping[str, Any]
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
CHOICES = ("choices", "rating", "number", "taxonomy")
"""Kinds of Label Studio's answers that name a level."""
UNSURE = ("draft", "discarded", "pending")
"""States of Argilla's responses that are no word yet, or none any more."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table that say what; empty: none. Of exports, `level` is the control or question of the level."""

    level: str = "level"
    rater: str = "rater"
    note: str = "note"
    criteria: str = "criteria"
    text: str = "text"
    url: str = "url"
    page_id: str = "page_id"


@dataclass(frozen=True)
class Incoming:
    """One word, not yet understood: where it stands in the file, what names its page, and what was said."""

    where: str
    text: str
    url: str
    page_id: str
    level: Any
    rater: str
    note: str = ""
    criteria: Any = None
    at: Any = None
    seconds: float | None = None
    flag: str = ""
    role: str = ""
    assisted: bool = False
    shown: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)


def read_file(path: Path) -> tuple[Form, list[Row]]:
    """The records of a file and what form they have. Raises BadInput where it cannot be read or holds no records."""
    kind = path.suffix.lower()
    if kind not in TABLES:
        raise BadInput(f"{path}: unknown kind of file (allowed: {', '.join(TABLES)})")
    try:
        rows = _records(path, kind)
    except (OSError, ValueError, csv.Error) as error:
        raise BadInput(f"{path}: cannot be read as {kind[1:]} ({str(error).splitlines()[0]})") from error
    if not all(isinstance(row, Mapping) for row in rows):
        raise BadInput(f"{path}: must hold objects, one a label or page (got {type(rows[0]).__name__})")
    return _form(rows), rows


def _records(path: Path, kind: str) -> list[Any]:
    if kind == ".parquet":
        import pyarrow.parquet as pq

        return list(pq.read_table(path).to_pylist())
    text = path.read_bytes().decode("utf-8-sig")  # line ends as they are: a note may hold some
    if kind in (".csv", ".tsv"):
        return list(
            csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if kind == ".tsv" else ",", strict=True)
        )
    if kind == ".json":
        found = json.loads(text)
        return found if isinstance(found, list) else [found]
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def _form(rows: Sequence[Row]) -> Form:
    first = rows[0] if rows else {}
    if "annotations" in first and "data" in first:
        return "label-studio"
    return "argilla" if "responses" in first and "fields" in first else "table"


def words_of(form: Form, rows: Sequence[Row], rubric: Rubric, columns: Columns, *, rater: str) -> Iterator[Incoming]:
    """The words of records. `rater` is who said those that name nobody. Raises BadInput where it is not clear which control
    or question holds the level."""
    if form == "label-studio":
        yield from _of_studio(rows, rubric, columns, rater)
    elif form == "argilla":
        yield from _of_argilla(rows, rubric, columns, rater)
    else:
        yield from _of_table(rows, columns, rater)


def _of_table(rows: Sequence[Row], columns: Columns, rater: str) -> Iterator[Incoming]:
    names = dict.fromkeys(name for row in rows for name in row)
    if rows and columns.level not in names:
        raise BadInput(f"--level: no column {columns.level!r}{did_you_mean(columns.level, names)}")
    minimal = "annotator" in names and "annotation_id" in names  # Label Studio's JSON-MIN and CSV
    who = "annotator" if minimal and columns.rater not in names else columns.rater
    for place, row in enumerate(rows, 1):
        level = row.get(columns.level)
        flag = _text(row.get("flag"))
        if absent(level) and not flag:
            continue
        yield Incoming(
            where=f"row {place}",
            text=_text(row.get(columns.text)),
            url=_text(row.get(columns.url)),
            page_id=_text(row.get(columns.page_id)),
            level=None if absent(level) else _choice(level),
            rater=_text(row.get(who)) or rater,
            note=_text(row.get(columns.note)),
            criteria=row.get(columns.criteria),
            at=row.get("at") or row.get("created_at"),
            seconds=_seconds(row.get("seconds", row.get("lead_time"))),
            flag=flag,
            role=_text(row.get("role")),
            assisted=str(row.get("assisted") or "").lower() in ("true", "1"),
            shown=_text(row.get("shown")),
        )


def _of_studio(rows: Sequence[Row], rubric: Rubric, columns: Columns, rater: str) -> Iterator[Incoming]:
    answers = [one for task in rows for said in task["annotations"] for one in said.get("result", [])]
    named = {str(one.get("from_name")): str(one.get("type")) for one in answers}
    control = _which(
        [name for name, kind in named.items() if kind in CHOICES and name not in rubric.criteria], columns, "controls"
    )
    for place, task in enumerate(rows, 1):
        data = task.get("data") or {}
        for said in task["annotations"]:
            found = {str(one.get("from_name")): _value(one) for one in said.get("result", [])}
            level, cancelled = found.get(control), bool(said.get("was_cancelled"))
            notes = [found[name] for name, kind in named.items() if kind == "textarea" and found.get(name)]
            if absent(level) and not cancelled:
                continue
            yield Incoming(
                where=f"task {task.get('id', place)}",
                text=_text(data.get(columns.text)),
                url=_text(data.get(columns.url)),
                page_id=_text(data.get(columns.page_id)),
                level=None if cancelled else level,
                rater=_who(said.get("completed_by")) or rater,
                note="\n".join(map(str, notes)),
                criteria={name: found[name] for name in rubric.criteria if name in found},
                at=said.get("created_at"),
                seconds=_seconds(said.get("lead_time")),
                flag="skipped" if cancelled else "",
            )


def _of_argilla(rows: Sequence[Row], rubric: Rubric, columns: Columns, rater: str) -> Iterator[Incoming]:
    given = [list(_responses(row)) for row in rows]
    asked = dict.fromkeys(name for row in given for _, _, said in row for name in said)
    question = _which([n for n in asked if n not in rubric.criteria and n != columns.note], columns, "questions")
    for place, (row, responses) in enumerate(zip(rows, given, strict=True), 1):
        fields, metadata = row.get("fields") or {}, row.get("metadata") or {}
        for who, at, said in responses:
            if absent(said.get(question)):
                continue
            yield Incoming(
                where=f"record {place}",
                text=_text(fields.get(columns.text)),
                url=_text(metadata.get(columns.url) or fields.get(columns.url)),
                page_id=_text(metadata.get(columns.page_id) or row.get("id") or row.get("external_id")),
                level=said[question],
                rater=who or rater,
                note=_text(said.get(columns.note)),
                criteria={name: said[name] for name in rubric.criteria if name in said},
                at=at,
            )


def _responses(row: Row) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Who answered, when, and the answers by question: of records by question, as now, and by user, as before."""
    given = row.get("responses") or {}
    if isinstance(given, Mapping):
        by_user: dict[str, dict[str, Any]] = {}
        for question, answers in given.items():
            for one in answers or []:
                if one.get("status") not in UNSURE:
                    by_user.setdefault(_text(one.get("user_id")), {})[question] = one.get("value")
        yield from ((user, None, said) for user, said in by_user.items())
        return
    for one in given:
        if one.get("status") not in UNSURE:
            values = one.get("values") or {}
            said = {name: v.get("value") if isinstance(v, Mapping) else v for name, v in values.items()}
            yield _text(one.get("user_id")), one.get("inserted_at"), said


def _which(candidates: Sequence[str], columns: Columns, what: str) -> str:
    """The control or question that holds the level: the one that is asked for, or the only one."""
    if columns.level in candidates:
        return columns.level
    if len(candidates) == 1:
        return candidates[0]
    known = ", ".join(candidates) or "none"
    raise BadInput(f"--level: say which of the {what} holds the level (there are: {known}; got {columns.level!r})")


def _value(answer: Mapping[str, Any]) -> Any:
    """What one answer in Label Studio says."""
    value = answer.get("value") or {}
    for key in ("choices", "rating", "number", "text", "taxonomy"):
        if key in value:
            found = value[key]
            if key == "text" and isinstance(found, list):
                return "\n".join(map(str, found))
            return found[0] if isinstance(found, list) and found else found
    return None


def _choice(level: Any) -> Any:
    """A level; of the one-line form of Label Studio's choices, the first."""
    if isinstance(level, Mapping) and level.get("choices"):
        return level["choices"][0]
    return level


def _who(given: Any) -> str:
    if isinstance(given, Mapping):
        return _text(given.get("email") or given.get("username") or given.get("id"))
    return _text(given)


def _seconds(value: Any) -> float | None:
    try:
        return None if absent(value) else round(float(value), 3)
    except (TypeError, ValueError):
        return None


def _text(value: Any) -> str:
    return "" if absent(value) else str(value)
