"""Records of Argilla, in the forms of its versions."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_labels import levels, put, refusal, sampled, take, text, url

from curate.labels.answers import Asked
from curate.store import Store

ANN, BEN = "5039c9ed-9edb-4bd6-9304-67162bb9b564", "ab68b4a4-87f2-449d-a91e-107af6f8312c"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return sampled(tmp_path)


def record(n: int, responses: Any, **metadata: Any) -> dict[str, Any]:
    return {
        "id": f"rec-{n}",
        "fields": {"text": text(n)},
        "metadata": metadata,
        "suggestions": {"level": {"value": "1", "score": None, "agent": "m"}},
        "responses": responses,
        "vectors": {},
        "status": "completed",
        "_server_id": None,
    }


def answer(value: Any, user: str = ANN, **more: Any) -> dict[str, Any]:
    return {"value": value, "user_id": user, **more}


def export(store: Store, records: Any, name: str = "records.json") -> Path:
    return put(store.root.parent / name, records)


@pytest.mark.parametrize("name", ["records.json", "records.jsonl"])
def test_responses_by_question_and_user(store: Store, name: str) -> None:
    first = {
        "quality": [answer("4"), answer("3", BEN)],
        "comment": [answer("It gives\nreasons.")],
        "reasoning": [answer(2)],
    }
    path = export(store, [record(0, first), record(1, {"quality": [answer("0", BEN)]})], name)
    taken = take(store, path)
    assert (taken.read, taken.new) == (3, 3)
    assert levels(store) == {f"{ANN} 0": 4, f"{BEN} 0": 3, f"{BEN} 1": 0}
    row = next(row for row in store.rows("labels") if row["rater"] == ANN)
    assert (row["note"], row["criteria"]) == ("It gives\nreasons.", '{"reasoning": 2}')
    assert take(store, path).new == 0


def test_drafts_and_discarded_responses_are_no_labels(store: Store) -> None:
    responses = {
        "quality": [
            answer("4", status="submitted"),
            answer("3", BEN, status="draft"),
            answer("2", "x", status="discarded"),
        ]
    }
    assert take(store, export(store, [record(0, responses)])).new == 1
    assert levels(store) == {f"{ANN} 0": 4}


def test_version_1_has_a_list_of_responses(store: Store) -> None:
    responses = [
        {"user_id": ANN, "values": {"quality": {"value": 5}, "note": {"value": "good"}}, "status": "submitted"},
        {"user_id": BEN, "values": {"quality": {"value": 1}}, "status": "discarded"},
        {"user_id": None, "values": {"quality": {"value": 2}}, "status": "submitted"},
    ]
    taken = take(store, export(store, [{"fields": {"text": text(0)}, "responses": responses, "external_id": "1"}]))
    assert taken.new == 2
    assert levels(store) == {f"{ANN} 0": 5, "imported 0": 2}
    assert {row["note"] for row in store.rows("labels")} == {"good", ""}


def test_the_question_of_the_level_is_found_or_named(store: Store) -> None:
    path = export(store, [record(0, {"quality": [answer(4)], "worth": [answer("2")], "topic": [answer("maths")]})])
    assert "name it with --level (answered: quality, worth, topic)" in refusal(store, path)
    take(store, path, Asked(level="worth"))
    assert levels(store) == {f"{ANN} 0": 2}


def test_unknown_levels_are_named_by_their_record(store: Store) -> None:
    path = export(store, [record(0, {"quality": [answer("4")]}), record(1, {"quality": [answer("great")]})])
    assert f"{path}: column quality: record 2: 'great' is no level (allowed: 0..5)" in refusal(store, path)


def test_pages_by_metadata(store: Store) -> None:
    path = export(store, [record(0, {"quality": [answer("4")]}, url=url(7))])
    take(store, path, Asked(match="url"))
    assert levels(store) == {f"{ANN} 7": 4}


@pytest.mark.parametrize("name", ["flat.json", "flat.jsonl", "flat.parquet"])
def test_flat_records_and_data_sets(store: Store, name: str) -> None:
    rows = [
        {"id": "1", "text": text(0), "quality.responses": ["4", "1"], "quality.responses.users": [ANN, BEN],
         "quality.responses.status": ["submitted", "draft"], "note.responses": ["good"], "note.responses.users": [ANN],
         "note.responses.status": ["submitted"], "quality.suggestion": "2", "quality.suggestion.score": 0.5},
        {"id": "2", "text": text(1), "quality.responses": ["0"], "quality.responses.users": [BEN],
         "quality.responses.status": ["submitted"], "note.responses": None, "note.responses.users": None,
         "note.responses.status": None, "quality.suggestion": None, "quality.suggestion.score": None},
    ]  # fmt: skip
    path = store.root.parent / name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        put(path, rows)
    assert take(store, path).new == 2
    assert levels(store) == {f"{ANN} 0": 4, f"{BEN} 1": 0}
    assert {row["note"] for row in store.rows("labels")} == {"good", ""}
