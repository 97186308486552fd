"""Exports of Label Studio, as it writes them."""

from pathlib import Path
from typing import Any

import pytest
from small_labels import levels, put, refusal, sampled, take, text, url

from curate.labels.answers import Asked
from curate.labels.label_studio import unwrapped
from curate.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return sampled(tmp_path)


def result(name: str, kind: str, value: Any) -> dict[str, Any]:
    key = "text" if kind == "textarea" else kind
    return {"id": "x1", "type": kind, "value": {key: value}, "origin": "manual", "to_name": "page", "from_name": name}


def annotation(who: Any, *results: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": 7,
        "completed_by": who,
        "result": list(results),
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2026-02-03T10:00:00.123456Z",
        "updated_at": "2026-02-03T10:05:00Z",
        "lead_time": 12.5,
        "prediction": {},
        **more,
    }


def task(n: int, *annotations: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {
        "id": 100 + n,
        "annotations": list(annotations),
        "drafts": [],
        "predictions": [],
        "data": {"text": text(n), **data},
        "meta": {},
        "project": 1,
    }


def export(store: Store, tasks: Any, name: str = "project-1.json") -> Path:
    return put(store.root.parent / name, tasks)


def test_several_annotations_are_several_raters(store: Store) -> None:
    ann = {"id": 1, "email": "ann@lab.example", "first_name": "Ann", "last_name": ""}
    tasks = [
        task(0, annotation(ann, result("quality", "choices", ["4"]), result("why", "textarea", ["clear", "steps"])),
             annotation("ben@lab.example", result("quality", "choices", ["3"]))),
        task(1, annotation(3, result("quality", "choices", ["0"]))),
    ]  # fmt: skip
    taken = take(store, export(store, tasks))
    assert (taken.read, taken.new) == (3, 3)
    assert levels(store) == {"ann@lab.example 0": 4, "ben@lab.example 0": 3, "3 1": 0}
    row = next(row for row in store.rows("labels") if row["rater"] == "ann@lab.example")
    assert (row["note"], row["seconds"], row["at"]) == ("clear\nsteps", 12.5, "2026-02-03T10:00:00.123456+00:00")
    assert take(store, export(store, tasks)).new == 0


@pytest.mark.parametrize(("kind", "value"), [("rating", 3), ("number", 3), ("choices", ["3"])])
def test_every_control_that_may_be_a_level(store: Store, kind: str, value: Any) -> None:
    take(store, export(store, [task(0, annotation(1, result("q", kind, value)))]))
    assert levels(store) == {"1 0": 3}


def test_named_choices_are_mapped(store: Store) -> None:
    path = export(store, [task(0, annotation(1, result("q", "choices", ["Keep"]))),
                          task(1, annotation(1, result("q", "choices", ["Drop"])))])  # fmt: skip
    message = refusal(store, path)
    assert "column q: task 1: 'Keep', task 2: 'Drop': each is no level (allowed: 0..5)" in message
    take(store, path, Asked(map={"Keep": 5, "Drop": 0}))
    assert levels(store) == {"1 0": 5, "1 1": 0}


def test_the_level_is_the_control_that_is_one_or_the_one_that_is_named(store: Store) -> None:
    results = [result("overall", "rating", 4), result("other", "rating", 2), result("reasoning", "choices", ["1"])]
    path = export(store, [task(0, annotation(1, *results))])
    assert "which question is the level? name it with --level (answered: overall, other, reasoning)" in refusal(
        store, path
    )
    assert "nobody answered a question 'overal'; did you mean overall?" in refusal(store, path, Asked(level="overal"))
    take(store, path, Asked(level="overall"))
    (row,) = store.rows("labels")
    assert (row["level"], row["criteria"]) == (4, '{"reasoning": 1}')


def test_cancelled_and_empty_annotations_are_no_labels(store: Store) -> None:
    cancelled = annotation(1, result("q", "choices", ["1"]), was_cancelled=True)
    path = export(store, [task(0, cancelled, annotation(2, result("q", "choices", ["2"])), annotation(3))])
    taken = take(store, path)
    assert (taken.new, taken.empty) == (1, 1)
    assert levels(store) == {"2 0": 2}
    assert "without any finished answer (1 cancelled annotations)" in refusal(
        store, export(store, [task(0, cancelled)])
    )


def test_what_began_with_a_prediction_is_assisted(store: Store) -> None:
    path = export(store, [task(0, annotation(1, result("q", "choices", ["1"]), parent_prediction=44))])
    take(store, path)
    assert [row["assisted"] for row in store.rows("labels")] == [True]


def test_pages_by_another_column_of_the_task(store: Store) -> None:
    path = export(store, [task(0, annotation(1, result("q", "choices", ["1"])), text="shortened", link=url(5))])
    take(store, path, Asked(match="url", column="link"))
    assert levels(store) == {"1 5": 1}


@pytest.mark.parametrize("suffix", [".json", ".csv"])
def test_exports_with_an_annotation_a_row(store: Store, suffix: str) -> None:
    rows = [
        {"id": 1, "text": text(0), "quality": "4", "why": "clear", "annotator": 1, "annotation_id": 11,
         "created_at": "2026-02-03T10:00:00Z", "updated_at": "2026-02-03T10:00:00Z", "lead_time": 3.5},
        {"id": 1, "text": text(0), "quality": "3", "why": "", "annotator": 2, "annotation_id": 12,
         "created_at": "2026-02-03T10:00:00Z", "updated_at": "2026-02-03T10:00:00Z", "lead_time": 4.5},
    ]  # fmt: skip
    if suffix == ".json":
        path = export(store, rows, "min.json")
    else:
        lines = [",".join(rows[0]), *(",".join(f'"{value}"' for value in row.values()) for row in rows)]
        path = export(store, "\n".join(lines), "min.csv")
    taken = take(store, path, Asked(note="why"))
    assert taken.new == 2
    assert levels(store) == {"1 0": 4, "2 0": 3}
    assert {(row["note"], row["seconds"]) for row in store.rows("labels")} == {("clear", 3.5), ("", 4.5)}


def test_of_an_export_with_an_annotation_a_row_the_note_is_what_is_called_so(store: Store) -> None:
    rows = [
        {"text": text(n), "quality": 4, "note": note, "annotator": 1, "annotation_id": n}
        for n, note in enumerate(["clear", ["clear", "and whole"]])
    ]
    take(store, export(store, rows))
    assert {row["note"] for row in store.rows("labels")} == {"clear", "clear\nand whole"}


@pytest.mark.parametrize(
    ("value", "found"),
    [({"choices": ["a"]}, "a"), ({"choices": ["a", "b"]}, ["a", "b"]), ({"rating": 3}, 3), ({"text": ["a", "b"]}, "a\nb"),
     ({"start": 1}, None), ("plain", "plain"), ({"taxonomy": [["a"]]}, "a")],
)  # fmt: skip
def test_what_controls_say(value: Any, found: Any) -> None:
    assert unwrapped(value) == found
