"""Words out into files: tables, Label Studio's tasks, Argilla's records, a data set for a hub."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import quoteattr

import pyarrow as pa

from curate.errors import BadInput
from curate.labels.truth import How, truth_of
from curate.labels.words import by_people, moment
from curate.rubric import Rubric
from curate.store import whole, write_json, write_parquet, write_text

Form = Literal["csv", "jsonl", "parquet", "label-studio", "argilla", "datasets"]
SUFFIXES: dict[str, Form] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".parquet": "parquet",
    ".json": "label-studio",
    "": "datasets",
}
SPLITS = {"train": "train", "val": "validation", "test": "test"}
"""Our splits, and what hubs call them."""
Row = Mapping[str, Any]


def form_of(out: Path, given: str = "") -> Form:
    """The form that is asked for, or that a name ends in. Raises BadInput where neither says."""
    if given:
        return given  # type: ignore[return-value]
    if out.suffix.lower() not in SUFFIXES:
        raise BadInput(f"{out.name}: say --form, or end the name in {', '.join(filter(None, SUFFIXES))}")
    return SUFFIXES[out.suffix.lower()]


def write_words(
    out: Path,
    form: Form,
    rows: Sequence[Row],
    pages: Sequence[Row],
    rubric: Rubric,
    *,
    texts: bool,
    how: How = "mean",
    test: bool = False,
    name: str = "",
) -> int:
    """Write the words `rows` on `pages`; how many rows, tasks, records or pages there are. `texts` puts the page's text
    into tables; `test` puts the sealed pages into a data set."""  # fmt: skip
    page_of = {page["page_id"]: page for page in pages}
    said = [row for row in sorted(rows, key=moment) if row["page_id"] in page_of]
    if form in ("csv", "jsonl", "parquet"):
        return _table(out, form, [_flat(row, page_of[row["page_id"]], rubric, texts) for row in said])
    by_page: dict[str, list[Row]] = {}
    for row in said:
        by_page.setdefault(row["page_id"], []).append(row)
    if form == "label-studio":
        write_json(out, [_task(n, page_of[page], words, rubric) for n, (page, words) in enumerate(by_page.items(), 1)])
        write_text(out.with_suffix(".xml"), studio_config(rubric))
    elif form == "argilla":
        write_json(out, [_record(page_of[page], words) for page, words in by_page.items()])
    else:
        return _data_set(out, by_page, page_of, rubric, how=how, test=test, name=name)
    return len(by_page)


def _flat(row: Row, page: Row, rubric: Rubric, texts: bool) -> dict[str, Any]:
    name = None if row["level"] is None else rubric.names[row["level"]]
    # on a choice scale a class is known by its name
    level = name if rubric.scale == "choice" else row["level"]
    kept = {key: value for key, value in row.items() if key not in ("page_id", "level")}
    about = {"page_id": row["page_id"], "url": page["url"], "split": page["split"]}
    words = rubric.levels.get(row["level"], "") if row["level"] is not None else ""
    return {**about, "level": level, "level_name": words or name, **kept, **({"text": page["text"]} if texts else {})}


def _table(out: Path, form: str, rows: list[dict[str, Any]]) -> int:
    if form == "parquet":
        write_parquet(out, pa.Table.from_pylist(rows))
    elif form == "jsonl":
        write_text(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    else:
        with whole(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]) if rows else ["page_id"])
            writer.writeheader()
            writer.writerows(rows)
    return len(rows)


def _task(number: int, page: Row, words: Sequence[Row], rubric: Rubric) -> dict[str, Any]:
    data = {key: page[key] or "" for key in ("text", "url", "title", "page_id", "lang")}
    return {"id": number, "data": data, "annotations": [_annotation(row, rubric) for row in by_people(words)]}


def _annotation(row: Row, rubric: Rubric) -> dict[str, Any]:
    level = [] if row["level"] is None else [_answer("level", "choices", {"choices": [_key(row["level"], rubric)]})]
    criteria = json.loads(row["criteria"] or "{}")
    answers = [_answer(name, "choices", {"choices": [str(said)]}) for name, said in criteria.items()]
    note = [_answer("note", "textarea", {"text": [row["note"]]})] if row["note"] else []
    return {
        "completed_by": {"email": row["rater"]},
        "result": [*level, *answers, *note],
        "created_at": row["at"],
        "lead_time": row["seconds"],
        "was_cancelled": row["level"] is None,
    }


def _answer(name: str, kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {"from_name": name, "to_name": "text", "type": kind, "value": dict(value)}


def _key(level: int, rubric: Rubric) -> str:
    return rubric.names[level] if rubric.scale == "choice" else str(level)


def studio_config(rubric: Rubric) -> str:
    """The labelling configuration in Label Studio that asks what the rubric asks."""
    lines = ["<View>", '  <Text name="text" value="$text"/>', *_control("level", rubric.asks, _named(rubric))]
    for name, one in rubric.criteria.items():
        lines += _control(name, one.asks, {str(level): words for level, words in one.levels.items()})
    return "\n".join([*lines, '  <TextArea name="note" toName="text" placeholder="Why?"/>', "</View>", ""])


def _named(rubric: Rubric) -> dict[str, str]:
    return {_key(level, rubric): words for level, words in rubric.levels.items()}


def _control(name: str, asks: str, levels: Mapping[str, str]) -> list[str]:
    choices = [f"    <Choice value={quoteattr(key)} hint={quoteattr(words)}/>" for key, words in levels.items()]
    head = f'  <Choices name={quoteattr(name)} toName="text" choice="single">'
    return [f"  <Header value={quoteattr(asks)}/>", head, *choices, "  </Choices>"]


def _record(page: Row, words: Sequence[Row]) -> dict[str, Any]:
    responses: dict[str, list[dict[str, Any]]] = {}
    for row in by_people(words):
        if row["level"] is None:
            continue
        answers = {"level": row["level"], **json.loads(row["criteria"] or "{}"), "note": row["note"] or None}
        for question, value in answers.items():
            if value is not None:
                responses.setdefault(question, []).append(
                    {"value": value, "user_id": row["rater"], "status": "submitted"}
                )
    metadata = {"url": page["url"], "lang": page["lang"], "split": page["split"]}
    return {"id": page["page_id"], "fields": {"text": page["text"]}, "metadata": metadata, "responses": responses}


def _data_set(
    out: Path, by_page: Mapping[str, Sequence[Row]], page_of: Mapping[str, Row], rubric: Rubric, *, how: How, test: bool,
    name: str,
) -> int:  # fmt: skip
    truth = truth_of(
        [row for words in by_page.values() for row in words],
        rubric,
        how=how,
        splits={p: page_of[p]["split"] for p in by_page},
    )
    keep = dict(zip(truth, rubric.worth(list(truth.values())).tolist(), strict=True)) if rubric.kept else {}
    parts: dict[str, list[dict[str, Any]]] = {}
    for page, words in by_page.items():
        split = page_of[page]["split"]
        if page in truth and (test or split != "test"):
            parts.setdefault(split, []).append(_entry(page_of[page], words, truth[page], keep.get(page), rubric))
    if not parts:
        raise BadInput("--form datasets: no page of train or val is labelled; give --with-test for the sealed ones")
    with whole(out) as folder:
        for split, rows in parts.items():
            write_parquet(folder / "data" / f"{SPLITS[split]}.parquet", pa.Table.from_pylist(rows, schema=ENTRIES))
        write_text(folder / "README.md", _card(parts, rubric, name, test))
    return sum(map(len, parts.values()))


ENTRIES = pa.schema(
    [
        *((key, pa.string()) for key in ("page_id", "url", "title", "lang", "text")),
        ("level", pa.float64()),
        ("keep", pa.bool_()),
        (
            "labels",
            pa.list_(
                pa.struct(
                    [("rater", pa.string()), ("level", pa.int32()), ("name", pa.string()), ("note", pa.string()),
                     ("criteria", pa.string()), ("assisted", pa.bool_()), ("role", pa.string())]
                )
            ),
        ),
    ]
)  # fmt: skip


def _entry(page: Row, words: Sequence[Row], level: float, keep: bool | None, rubric: Rubric) -> dict[str, Any]:
    labels = [
        {
            **{key: row[key] for key in ("rater", "level", "note", "criteria", "assisted", "role")},
            "name": rubric.names[row["level"]],
        }
        for row in words
        if row["level"] is not None
    ]
    about = {key: page[key] or "" for key in ("page_id", "url", "title", "lang", "text")}
    return {**about, "level": level, "keep": keep, "labels": labels}


def _card(parts: Mapping[str, Sequence[Any]], rubric: Rubric, name: str, test: bool) -> str:
    files = [f"  - split: {SPLITS[split]}\n    path: data/{SPLITS[split]}.parquet" for split in parts]
    levels = "\n".join(f"| {name_} | {rubric.levels[level]} |" for level, name_ in rubric.names.items())
    sealed = "It holds the sealed test: judges tuned on it can no longer be measured by it." if test else (
        "The sealed test is not in it, so that judges can still be measured by it."
    )  # fmt: skip
    return "\n".join(
        [
            "---",
            "configs:",
            "- config_name: default",
            "  data_files:",
            *files,
            "tags: [text-classification, data-curation, human-labels]",
            "---",
            f"# {name or rubric.name}: labelled web pages",
            "",
            f"{rubric.asks}",
            "",
            "| level | words |",
            "|---|---|",
            levels,
            "",
            "`level` is what the raters of a page say together, `keep` whether that is worth keeping, `labels` each word.",
            sealed,
            "",
            "The texts are those of their pages; whoever publishes this folder answers for the right to do so.",
            "",
        ]
    )
