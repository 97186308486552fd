"""Labels for other tools: tables, tasks of Label Studio, records of Argilla, a data set to publish."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa

from curate.errors import BadInput
from curate.labels import argilla, dataset, label_studio
from curate.labels.exchange import renamed
from curate.labels.truth import How
from curate.labels.words import current, moment
from curate.rubric import Rubric
from curate.schema import LABELS
from curate.store import whole, write_json, write_parquet, write_text

Form = Literal["csv", "jsonl", "parquet", "label-studio", "argilla", "datasets"]
FORMS: tuple[str, ...] = get_args(Form)
FIRST = ("label_id", "page_id", "url", "rater", "level", "level_name", "criteria", "note", "flag", "at", "seconds")
"""The order in which a person looks at them; others follow as they come."""
STANDING = ("label-studio", "argilla", "datasets")
"""Forms of standing words only, and always with the text."""
RESERVED = ("level", "note", "text")
Row = dict[str, Any]


@dataclass(frozen=True)
class Chosen:
    """The labels that are written, with the pages that they are about."""

    rubric: Rubric
    pages: Mapping[str, Row]
    rows: Sequence[Row]
    """Words in the order of pages, raters and time; criteria as an object."""
    consensus: How = "mean"
    all_words: bool = False


def choose(
    rubric: Rubric,
    pages: Sequence[Row],
    labels: Iterable[Mapping[str, Any]],
    *,
    splits: Sequence[str] = (),
    all_words: bool = False,
    anonymous: bool = False,
    consensus: How = "mean",
) -> Chosen:
    """Standing words, or with `all_words` each that was ever said, on the sampled pages of some splits (none: of all).
    `anonymous` raters are numbered in the order in which they come, and the names of their labels are made anew."""
    place = {page["page_id"]: i for i, page in enumerate(pages) if not splits or page["split"] in splits}
    rows = [dict(row) for row in labels if row["page_id"] in place]
    rows = sorted(
        rows if all_words else current(rows), key=lambda row: (place[row["page_id"]], row["rater"], moment(row))
    )
    if anonymous:
        rows = _nameless(rubric, rows)
    read = [{**row, "criteria": json.loads(row["criteria"]) if row["criteria"] else {}} for row in rows]
    return Chosen(rubric, {page["page_id"]: page for page in pages}, read, consensus, all_words)


def _nameless(rubric: Rubric, rows: Sequence[Row]) -> list[Row]:
    names = {rater: f"rater {i}" for i, rater in enumerate(dict.fromkeys(row["rater"] for row in rows), 1)}
    return [{**row, **renamed(rubric, {**row, "rater": names[row["rater"]]})} for row in rows]


def form_of(out: Path, form: str = "") -> str:
    """The form that is asked for, or that the name of the file says. Raises BadInput where it says none."""
    found = form or {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", "": "datasets"}.get(
        out.suffix.lower(), ""
    )
    if not found:
        which = "label-studio or argilla" if out.suffix.lower() == ".json" else ", ".join(FORMS)
        raise BadInput(f"{out}: the name does not say which form is wanted; add --form ({which})")
    return found


def write(chosen: Chosen, out: Path, form: str, *, with_text: bool = False, force: bool = False) -> list[Path]:
    """The files that were written, the first one that was asked for. Raises BadInput where there are no labels, and for
    a file that exists, unless `force` is given, and where a form cannot carry them."""
    rows = chosen.rows
    if chosen.all_words and form in STANDING:
        raise BadInput(
            f"labels export: {form} has no place for words that no longer stand; export csv, jsonl or parquet"
        )
    if not rows:
        raise BadInput("labels export: there are no such labels on the sampled pages; look with `curate pages`")
    beside = {"label-studio": out.with_suffix(".xml"), "argilla": out.with_suffix(".settings.json")}.get(form)
    paths = [out, *([beside] if beside else [])]
    if form == "datasets":
        dataset.check_folder(out, force=force)
    elif not force and (taken := next((path for path in paths if path.exists()), None)):
        raise BadInput(f"{taken}: exists already; name another file, or add --force to write over it")
    if form in STANDING:
        _check_names(chosen.rubric, form)
    if form == "datasets":
        return dataset.write(chosen.rubric, chosen.pages, rows, out, consensus=chosen.consensus)
    if form == "label-studio":
        write_json(out, label_studio.tasks(chosen.rubric, chosen.pages, rows))
        write_text(paths[1], label_studio.form(chosen.rubric))
    elif form == "argilla":
        write_json(out, argilla.records(chosen.rubric, chosen.pages, rows))
        write_json(paths[1], argilla.settings(chosen.rubric))
    else:
        _write_table(chosen, out, form, with_text)
    return paths


def _check_names(rubric: Rubric, form: str) -> None:
    """Raises BadInput for a criterion whose name the form needs for something else."""
    if form != "datasets" and (clash := [name for name in RESERVED if name in rubric.criteria]):
        raise BadInput(
            f"labels export: a criterion named {clash[0]!r} has no place in {form}; export csv or jsonl instead"
        )


def _write_table(chosen: Chosen, out: Path, form: str, with_text: bool) -> Path:
    rows = [_table_row(chosen, row, with_text) for row in chosen.rows]
    if form == "jsonl":
        return write_text(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    flat = [{**row, "criteria": json.dumps(row["criteria"], ensure_ascii=False)} for row in rows]
    if form == "parquet":
        return write_parquet(out, pa.Table.from_pylist(flat, schema=_schema(chosen.rubric, flat)))
    with whole(out) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(flat[0]))  # ends lines as RFC 4180 says, so that each \r and \n is quoted
        writer.writeheader()
        writer.writerows({**row, "assisted": str(row["assisted"]).lower()} for row in flat)
    return out


def _table_row(chosen: Chosen, row: Row, with_text: bool) -> Row:
    rubric, page, level = chosen.rubric, chosen.pages[row["page_id"]], row["level"]
    named = None if level is None else rubric.names[level] if rubric.scale == "choice" else level
    full = {**row, "url": page["url"] or "", "level": named, "level_name": rubric.levels.get(level, "")}
    full = {**full, "role": row.get("role") or "", "split": page["split"]}
    ordered = {name: full[name] for name in (*FIRST, *(name for name in full if name not in FIRST))}
    return {**ordered, "text": page["text"]} if with_text else ordered


def _schema(rubric: Rubric, rows: Sequence[Row]) -> pa.Schema:
    """The types of the `labels` table; a column that it does not have takes the type of its values."""
    level = pa.string() if rubric.scale == "choice" else pa.int32()
    known = {**{field.name: field.type for field in LABELS}, "level": level}
    found = pa.Table.from_pylist(list(rows)).schema
    return pa.schema([(name, known.get(name, found.field(name).type)) for name in rows[0]])
