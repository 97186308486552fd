"""Files of labels, whatever made them: a table, an export of Label Studio or records of Argilla, told apart by content."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa

from curate.errors import BadInput, did_you_mean
from curate.labels import argilla, label_studio
from curate.labels.answers import Answered, Asked, match_in, words_in
from curate.labels.given import Given, Incoming
from curate.labels.labelfile import LabelFile
from curate.rubric import Rubric
from curate.sources import Batch, Shard, Source, columns_of, read, shards
from curate.sources.batches import Skips
from curate.sources.columns import DAMAGE, strings
from curate.sources.files import unpacked
from curate.sources.formats import Want, parts
from curate.sources.remote import said, shown

Form = Literal["table", "label-studio", "argilla"]
FORMS: tuple[str, ...] = get_args(Form)
OWN = ("label_id", "page_id", "rater", "level")
"""Columns by which a table that curate exported is known."""
MORE = ("flag", "seconds", "shown", "assisted", "role", "rubric_hash")
JSON_BYTES = 1 << 30
"""Largest JSON file that is read; it is held whole."""
KEY = "labels import"


def incoming(paths: Sequence[str], rubric: Rubric, asked: Asked, *, form: str = "auto") -> list[Incoming]:
    """The label files that paths, folders and globs stand for. Raises BadInput for what is no file of labels."""
    found = shards(Source(path=list(paths), text=""), below=Path.cwd(), key=KEY)
    return [_incoming(shard, rubric, asked, form) for shard in found]


def _incoming(shard: Shard, rubric: Rubric, asked: Asked, form: str) -> Incoming:
    records = _records(shard) if _may_be_nested(shard, form) else []
    form = form if form != "auto" else _form_of(records)
    if form != "table" and not records:
        raise BadInput(f"{shown(shard.path)}: is no JSON, so no export of {form}")
    if form == "label-studio":
        answered, left = label_studio.answered(records)
        return _answered(shard, rubric, asked, answered, "Label Studio tasks", f"{left} cancelled annotations", left)
    if form == "argilla":
        answered, left = argilla.answered(records)
        return _answered(shard, rubric, asked, answered, "Argilla records", f"{left} drafts or discarded", left)
    columns = columns_of(Source(path=shard.path, text=""), shard)
    if argilla.is_flat(columns) and form == "table" and asked.level not in columns:
        records = [(place, argilla.nested(row)) for place, row in _rows(shard, columns, "")]
        answered, left = argilla.answered(records)
        return _answered(shard, rubric, asked, answered, "Argilla records", f"{left} drafts or discarded", left)
    if label_studio.is_flat(columns):
        return _flat(shard, rubric, asked, columns)
    return _table(shard, asked, columns)


def _may_be_nested(shard: Shard, form: str) -> bool:
    """Whether a file may be another tool's export, by its kind, and of JSON lines by the first one."""
    if shard.format == "json" or form != "auto":
        return shard.format in ("json", "jsonl") and form != "table"
    if shard.format != "jsonl":
        return False
    with unpacked(shard.path) as file:
        first = next((line for line in iter(partial(file.readline, JSON_BYTES), b"") if line.strip()), b"")
    try:
        record = json.loads(first.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return True
    return not isinstance(record, dict) or _form_of([(0, record)]) != "table"


def _form_of(records: Sequence[tuple[int, Mapping[str, Any]]]) -> str:
    first = records[0][1] if records else {}
    if label_studio.is_tasks(first):
        return "label-studio"
    return "argilla" if argilla.is_records(first) else "table"


def _answered(
    shard: Shard, rubric: Rubric, asked: Asked, found: Sequence[Answered], kind: str, left: str, count: int
) -> Incoming:
    """Raises BadInput where nobody answered anything."""
    name = shown(shard.path)
    if not found:
        raise BadInput(f"{name}: {kind} without any finished answer{f' ({left})' if count else ''}")
    wanted, rows, words = words_in(found, rubric, asked, name)
    noun = "task" if kind.endswith("tasks") else "row" if kind.endswith("rows") else "record"
    lines = [f"{kind}: {'; '.join(words)}", *([f"{left} left out"] if count else [])]
    return Incoming(name, wanted, rows, lambda places: [f"{noun} {place + 1}" for place in places], said=lines)


def _flat(shard: Shard, rubric: Rubric, asked: Asked, columns: Sequence[str]) -> Incoming:
    _, column = match_in(asked, [name for name in columns if name not in label_studio.FLAT_OWN], shown(shard.path))
    page = {column, *(name for name in columns if name in ("text", "url", "page_id", "html", "title"))}
    answered = label_studio.flat_answered(list(_rows(shard, columns, column)), sorted(page))
    return _answered(shard, rubric, asked, answered, "Label Studio rows", "", 0)


def _table(shard: Shard, asked: Asked, columns: Sequence[str]) -> Incoming:
    name, own = shown(shard.path), set(OWN) <= set(columns)
    match, column = match_in(asked, columns, name)
    chosen = {key: getattr(asked, key) or (key if key in columns else "") for key in ("rater", "note", "criteria")}
    wanted = LabelFile(
        match=match,
        column=column,
        level=asked.level or "level",
        map=dict(asked.map),
        rater_name=asked.rater_name,
        **chosen,
    )
    for option, given in {"level": wanted.level, **chosen}.items():
        if given and given not in columns:
            raise BadInput(f"{name}: no column {given!r}{did_you_mean(given, columns)}; name it with --{option}")
    used = ", ".join(f"{key} from {given!r}" for key, given in {"level": wanted.level, **chosen}.items() if given)
    words = f"{'labels that curate exported' if own else 'table'}: {used}, pages by {match}"
    needed = [wanted.key, wanted.level, *chosen.values(), "at", *MORE]
    rows = _given(_rows(shard, needed, wanted.key), wanted, more=MORE if own else ())
    return Incoming(name, wanted, rows, partial(places_in, shard), said=[words])


def _given(rows: Iterable[tuple[int, Mapping[str, Any]]], wanted: LabelFile, *, more: Sequence[str]) -> Iterator[Given]:
    for place, row in rows:
        yield Given(
            place=place,
            key=str(row.get(wanted.key) or ""),
            level=row.get(wanted.level),
            rater=row.get(wanted.rater),
            note=row.get(wanted.note),
            criteria=row.get(wanted.criteria),
            at=row.get("at"),
            more={name: row.get(name) for name in more},
        )


def _rows(shard: Shard, columns: Sequence[str], key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a table with their places; cells of CSV files are text, as they came, and the column `key` is text as
    that of pages is: bytes that are no UTF-8 are replaced. Raises BadInput for a damaged file."""
    skips, place = Skips(), 0
    try:
        for part in parts(shard, Want(columns, as_text=columns)):
            for table in part.tables(skips.add):
                for row in _keyed(table, key).to_pylist():
                    yield place, row
                    place += 1
    except DAMAGE as error:
        raise BadInput(
            f"{shown(shard.path)}: cannot be read as {shard.format} after row {place} ({said(error)})"
        ) from error


def _keyed(table: pa.Table, key: str) -> pa.Table:
    if key not in table.column_names:
        return table
    found = strings(table.column(key), lambda *_: None, text=True)
    return table.set_column(table.column_names.index(key), key, found)


def for_pipeline(source: Source, shard: Shard, wanted: LabelFile) -> Incoming:
    """A label file that a pipeline names, or the columns of its own source, whose rows are pages themselves."""
    columns = [wanted.level, wanted.rater, wanted.note, wanted.criteria, "at"]
    if wanted.path:
        rows = _given(_rows(shard, [*columns, wanted.key], wanted.key), wanted, more=())
        return Incoming(shard.path, wanted, rows, partial(places_in, shard))
    batches = read(source, shard, columns=[*columns, "text", "url", "id"])
    own = wanted if wanted.match == "url" else wanted.model_copy(update={"match": "page_id"})
    rows = (one for batch in batches for one in _batch(batch, own))
    return Incoming(shard.path, own, rows, partial(places_in, shard), corpus=True)


def _batch(batch: Batch, wanted: LabelFile) -> Iterator[Given]:
    columns = [
        batch.table.column(name).to_pylist() if name in batch.table.column_names else [None] * len(batch)
        for name in (wanted.level, wanted.rater, wanted.note, wanted.criteria, "at")
    ]
    keys = batch.url.to_pylist() if wanted.match == "url" else batch.page_ids()
    for i, (key, *cells) in enumerate(zip(keys, *columns, strict=True)):
        yield Given(batch.first_row + i, key, *cells)


def places_in(shard: Shard, rows: Sequence[int]) -> list[str]:
    """How a person finds rows of a table: by the line where the file has lines, else by their number, from 1."""
    lines = _lines_of(shard)
    if lines is None or not rows:
        return [f"row {row + 1}" for row in rows]
    wanted, found = set(rows), dict[int, int]()
    with unpacked(shard.path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
        for place, line in enumerate(lines(text)):
            if place in wanted:
                found[place] = line
            if len(found) == len(wanted):
                break
        text.detach()
    return [f"line {found[row]}" if row in found else f"row {row + 1}" for row in rows]


def _lines_of(shard: Shard) -> Callable[[Iterable[str]], Iterator[int]] | None:
    """The lines on which a file's rows begin; None for one that is no text."""
    if shard.format in ("csv", "tsv"):
        return partial(_csv_lines, delimiter="," if shard.format == "csv" else "\t")
    return _full_lines if shard.format == "jsonl" else None


def _csv_lines(file: Iterable[str], delimiter: str) -> Iterator[int]:
    """The line on which each record begins, without the header."""
    csv.field_size_limit(JSON_BYTES)
    reader = csv.reader(file, delimiter=delimiter)
    begin, header = 1, True
    for cells in reader:
        if cells and not header:
            yield begin
        header, begin = header and not cells, reader.line_num + 1


def _full_lines(file: Iterable[str]) -> Iterator[int]:
    return (number for number, line in enumerate(file, 1) if line.strip())


def _records(shard: Shard) -> list[tuple[int, dict[str, Any]]]:
    """The objects of a JSON file, a list or one a line; none where they are no objects. Raises BadInput where it is no
    JSON."""
    with unpacked(shard.path) as file:
        data = file.read(JSON_BYTES + 1)
    if len(data) > JSON_BYTES:
        raise BadInput(f"{shown(shard.path)}: is over 1 GB; give --form table, or split it")
    text = data.decode("utf-8-sig", "replace").strip()
    try:
        values = (
            json.loads(text)
            if text.startswith("[")
            else [json.loads(line) for line in text.split("\n") if line.strip()]
        )
    except (ValueError, RecursionError):
        values = _whole(text, shard)
    values = [values] if isinstance(values, dict) else values
    return [(place, value) for place, value in enumerate(values) if isinstance(value, dict)]


def _whole(text: str, shard: Shard) -> Any:
    """One object over many lines, or the list that it holds under one of its names."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{shown(shard.path)}: cannot be read as {shard.format} ({error})") from error
    lists = [inner for inner in value.values() if isinstance(inner, list)] if isinstance(value, dict) else []
    return lists[0] if len(lists) == 1 and not ("data" in value or "fields" in value) else value
