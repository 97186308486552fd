"""Label Studio's files: the JSON that it exports (whole and "JSON-MIN") and the tasks and labelling form that it imports."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from xml.sax.saxutils import quoteattr

from curate.labels.answers import Answered
from curate.labels.values import absent
from curate.rubric import Rubric

Row = Mapping[str, Any]
TEXTS = ("textarea",)
FLAT = ("annotation_id", "annotator")
"""Columns by which an export with one annotation a row is known."""
FLAT_OWN = (*FLAT, "id", "created_at", "updated_at", "lead_time")
KINDS = ("choices", "rating", "number", "text", "taxonomy")


def is_tasks(record: Row) -> bool:
    """Whether a record is a task as Label Studio exports it."""
    return isinstance(record.get("data"), dict) and ("annotations" in record or "completions" in record)


def is_flat(names: Iterable[str]) -> bool:
    """Whether columns are those of JSON-MIN or of the CSV export."""
    return set(FLAT) <= set(names)


def answered(tasks: Iterable[tuple[int, Row]]) -> tuple[list[Answered], int]:
    """Each finished annotation of each task, and how many were cancelled. Choices beyond the first are no level and are
    given as a list; of several text fields of one name the lines are joined."""
    found, cancelled = [], 0
    for place, task in tasks:
        page = {**(task.get("data") or {}), **({"id": task["id"]} if "id" in task else {})}
        for annotation in task.get("annotations") or task.get("completions") or ():
            if annotation.get("was_cancelled"):
                cancelled += 1
            else:
                found.append(_annotation(place, page, annotation))
    return found, cancelled


def _annotation(place: int, page: Row, annotation: Row) -> Answered:
    results = [result for result in annotation.get("result") or () if result.get("from_name")]
    words: dict[str, Any] = {}
    for result in results:
        words.update((result.get("meta") or {}).get("word") or {})
    return Answered(
        place=place,
        page=page,
        answers={str(result["from_name"]): unwrapped(result.get("value")) for result in results},
        rater=words.pop("rater", None) or _person(annotation.get("completed_by")),
        at=words.pop("at", None) or annotation.get("created_at"),
        texts=frozenset(str(result["from_name"]) for result in results if result.get("type") in TEXTS),
        more={"seconds": annotation.get("lead_time"), "assisted": bool(annotation.get("parent_prediction")), **words},
    )


def unwrapped(value: Any) -> Any:
    """What a control says: the number, the choice, a text; a list where there are several choices."""
    if not isinstance(value, dict):
        return value
    kind = next((kind for kind in KINDS if kind in value), None)
    inner = value[kind] if kind else None
    if kind == "text" and isinstance(inner, list):
        return "\n".join(map(str, inner))
    while isinstance(inner, list) and len(inner) == 1:
        inner = inner[0]
    return inner


def _person(given: Any) -> Any:
    """The email, else the name, else the id of whoever completed an annotation."""
    if not isinstance(given, dict):
        return given
    name = " ".join(str(given[key]) for key in ("first_name", "last_name") if given.get(key))
    return given.get("email") or given.get("username") or name or given.get("id")


def flat_answered(rows: Iterable[tuple[int, Row]], page_columns: Sequence[str]) -> list[Answered]:
    """The annotations of an export with one a row, whose other columns are answers, or the data of the task."""
    found = []
    for place, row in rows:
        others = {name: value for name, value in row.items() if name not in FLAT_OWN and not absent(value)}
        found.append(
            Answered(
                place=place,
                page={name: value for name, value in others.items() if name in page_columns},
                answers={
                    name: unwrapped(_several(value)) for name, value in others.items() if name not in page_columns
                },
                rater=row.get("annotator"),
                at=row.get("created_at"),
                texts=frozenset({"note"} & others.keys()),  # the kind of a question is not in the file
                more={"seconds": row.get("lead_time")},
            )
        )
    return found


def _several(value: Any) -> Any:
    """Several answers to one question, which a table holds as JSON; any other value as it is."""
    if isinstance(value, str) and value.startswith('["'):
        with suppress(ValueError):
            return json.loads(value)
    return value


def tasks(rubric: Rubric, pages: Mapping[str, Row], labels: Sequence[Row]) -> list[dict[str, Any]]:
    """Tasks with their annotations, a task a page, as Label Studio imports them beside the form that `form` makes.

    Whoever imports them becomes the annotator there, since Label Studio refuses people that it does not know; who gave a
    label is kept in the `meta` of its results, and comes back from there.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in labels:
        page = pages[row["page_id"]]
        data = {"page_id": row["page_id"], "url": page["url"] or "", "text": page["text"], "split": page["split"]}
        task = found.setdefault(row["page_id"], {"data": data, "annotations": []})
        task["annotations"].append(_exported(rubric, row))
    return list(found.values())


def _exported(rubric: Rubric, row: Row) -> dict[str, Any]:
    word = {key: row[key] for key in ("rater", "at", "shown", "assisted", "role", "rubric_hash") if row.get(key)}
    answers = [("level", "choices", {"choices": [rubric.names[row["level"]]]})]
    answers += [(name, "choices", {"choices": [str(level)]}) for name, level in sorted(row["criteria"].items())]
    if row["note"]:
        answers.append(("note", "textarea", {"text": [row["note"]]}))
    results = [
        {
            "id": f"{row['label_id']}-{name}",
            "from_name": name,
            "to_name": "text",
            "type": kind,
            "value": value,
            "meta": {"word": word},
        }
        for name, kind, value in answers
    ]
    # an annotation that does not say so is taken for ground truth
    made: dict[str, Any] = {"result": results, "was_cancelled": False, "ground_truth": False, "created_at": row["at"]}
    return {**made, "lead_time": row["seconds"]} if row["seconds"] is not None else made


def form(rubric: Rubric) -> str:
    """The labelling configuration of a rubric: the text, a choice a level, one a criterion, and a note."""
    lines = [
        "<View>",
        f"  <Header value={quoteattr(rubric.asks)}/>",
        '  <Text name="text" value="$text"/>',
        *_choices("level", {rubric.names[level]: words for level, words in sorted(rubric.levels.items())}, True),
    ]
    for name, criterion in rubric.criteria.items():
        lines.append(f'  <Header value={quoteattr(criterion.asks)} size="5"/>')
        lines += _choices(name, {str(level): words for level, words in criterion.levels.items()}, False)
    lines += ['  <TextArea name="note" toName="text" placeholder="Why?" rows="2" maxSubmissions="1"/>', "</View>"]
    return "\n".join(lines) + "\n"


def _choices(name: str, levels: Mapping[str, str], required: bool) -> list[str]:
    return [
        f'  <Choices name={quoteattr(name)} toName="text" choice="single-radio" required="{str(required).lower()}">',
        *[f"    <Choice value={quoteattr(value)} hint={quoteattr(words)}/>" for value, words in levels.items()],
        "  </Choices>",
    ]
