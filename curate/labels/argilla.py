"""Argilla's records: version 2 as its `records.to_json` writes and `from_json` reads them, version 1 as it exported them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from curate.labels.answers import Answered
from curate.rubric import Rubric

Row = Mapping[str, Any]
TAKEN = ("submitted", None, "")
"""Responses that are a person's word; drafts and discarded ones are not."""
FLAT = (
    "responses",
    "responses.users",
    "responses.status",
    "suggestion",
    "suggestion.agent",
    "suggestion.score",
)
"""What stands after the name of a question in flat records."""
WORDS = "words"
"""Metadata of our own: what Argilla has no place for, by user id."""
LONGEST = 60
"""Characters from which an answer of letters is free text, where nobody says what was asked."""


def is_records(record: Row) -> bool:
    """Whether a record is one of Argilla's."""
    return isinstance(record.get("fields"), dict) and isinstance(record.get("responses"), dict | list)


def is_flat(names: Iterable[str]) -> bool:
    """Whether columns are those of records that were exported flat, or as a data set."""
    return any(name.endswith(".responses") for name in names)


def nested(row: Row) -> dict[str, Any]:
    """A flat record as one with fields and responses."""
    questions = [name.removesuffix(".responses") for name in row if name.endswith(".responses")]
    made = {f"{name}.{part}" for name in questions for part in FLAT}
    responses = {name: _flat_responses(row, name) for name in questions}
    return {"fields": {name: value for name, value in row.items() if name not in made}, "responses": responses}


def _flat_responses(row: Row, question: str) -> list[dict[str, Any]]:
    values = row[f"{question}.responses"] or []
    others = [row.get(f"{question}.{part}") or [None] * len(values) for part in FLAT[1:3]]
    return [
        {"value": value, "user_id": user, "status": status}
        for value, user, status in zip(values, *others, strict=False)
    ]


def answered(records: Iterable[tuple[int, Row]]) -> tuple[list[Answered], int]:
    """What each user submitted of each record, and how many responses were drafts or discarded."""
    found, left = [], 0
    for place, record in records:
        metadata = record.get("metadata") or {}
        own = {name: record[name] for name in ("id", "external_id") if record.get(name)}
        page = {**own, **metadata, **(record.get("fields") or {})}
        users, unsubmitted = _by_user(record.get("responses") or {})
        left += unsubmitted
        words = json.loads(metadata[WORDS]) if metadata.get(WORDS) else {}
        found += [_one(place, page, user, answers, words.get(user) or {}) for user, answers in users.items()]
    return found, left


def _one(place: int, page: Row, user: str, answers: Row, word: Row) -> Answered:
    own = dict(word)
    texts = {name for name, value in answers.items() if isinstance(value, str) and (name == "note" or _long(value))}
    return Answered(
        place, page, answers, own.pop("rater", None) or user or None, own.pop("at", None), frozenset(texts), own
    )


def _long(value: str) -> bool:
    return len(value) > LONGEST or "\n" in value


def _by_user(responses: Mapping[str, Any] | Sequence[Any]) -> tuple[dict[str, dict[str, Any]], int]:
    """Question to value for each user, and how many users' responses are not submitted."""
    users: dict[str, dict[str, Any]] = {}
    unsubmitted: set[str] = set()
    for user, status, answers in _flat(responses):
        if status in TAKEN:
            users.setdefault(user, {}).update(answers)
        else:
            unsubmitted.add(user)
    return users, len(unsubmitted)


def _flat(responses: Mapping[str, Any] | Sequence[Any]) -> Iterable[tuple[str, str | None, dict[str, Any]]]:
    if isinstance(responses, Mapping):
        for question, given in responses.items():
            for one in given or ():
                yield str(one.get("user_id") or ""), one.get("status"), {question: one.get("value")}
    else:
        for one in responses:
            values = one.get("values") or {}
            answers = {name: value.get("value") for name, value in values.items() if isinstance(value, Mapping)}
            yield str(one.get("user_id") or ""), one.get("status"), answers


def records(rubric: Rubric, pages: Mapping[str, Row], labels: Sequence[Row]) -> list[dict[str, Any]]:
    """Records with their responses, one a page, for a data set with the settings that `settings` makes. A rater's user id
    is made of their name; the name itself, times and seconds are in the metadata `words`."""
    found: dict[str, dict[str, Any]] = {}
    for row in labels:
        page = pages[row["page_id"]]
        metadata = {"page_id": row["page_id"], "url": page["url"] or "", "split": page["split"], WORDS: {}}
        fresh = {"id": row["page_id"], "fields": {"text": page["text"]}, "metadata": metadata, "responses": {}}
        record = found.setdefault(row["page_id"], {**fresh, "suggestions": {}, "vectors": {}})
        user = str(uuid5(NAMESPACE_URL, f"{row['rater']}\x1f{row.get('role') or ''}"))
        kept = ("rater", "at", "seconds", "shown", "assisted", "role", "rubric_hash")
        record["metadata"][WORDS][user] = {key: row[key] for key in kept if row.get(key) or key == "seconds"}
        for question, value in _answers(rubric, row).items():
            record["responses"].setdefault(question, []).append(
                {"value": value, "user_id": user, "status": "submitted"}
            )
    for record in found.values():
        record["metadata"][WORDS] = json.dumps(record["metadata"][WORDS], ensure_ascii=False)
    return list(found.values())


def _answers(rubric: Rubric, row: Row) -> dict[str, str]:
    criteria = {name: str(level) for name, level in sorted(row["criteria"].items())}
    note = {"note": row["note"]} if row["note"] else {}
    return {"level": rubric.names[row["level"]], **criteria, **note}


def settings(rubric: Rubric) -> dict[str, Any]:
    """The settings of a data set for a rubric, as Argilla reads them from JSON."""
    levels = {rubric.names[level]: words for level, words in sorted(rubric.levels.items())}
    questions = [_choice("level", rubric.asks, levels, True)]
    for name, criterion in rubric.criteria.items():
        words = {str(level): meaning for level, meaning in criterion.levels.items()}
        questions.append(_choice(name, criterion.asks, words, False))
    note = {"name": "note", "title": "Why?", "required": False, "settings": {"type": "text", "use_markdown": False}}
    return {
        "guidelines": rubric.instruction,
        "allow_extra_metadata": True,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
        "fields": [
            {"name": "text", "title": "Page", "required": True, "settings": {"type": "text", "use_markdown": False}}
        ],
        "questions": [*questions, note],
        "metadata": [],
        "vectors": [],
    }


def _choice(name: str, asks: str, levels: Mapping[str, str], required: bool) -> dict[str, Any]:
    options = [{"value": value, "text": f"{value}: {words}"} for value, words in levels.items()]
    return {
        "name": name,
        "title": asks,
        "required": required,
        "settings": {"type": "label_selection", "options": options},
    }
