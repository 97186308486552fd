"""What is written is read again as the same labels, in every form that carries them."""

import csv
import json
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_labels import QUIZ, STEM, levels, pages, sampled, take, text, told, words

from curate.errors import BadInput
from curate.labels.export import STANDING, choose, form_of, write
from curate.labels.words import label_row
from curate.rubric import Criterion, Rubric
from curate.schema import page_id

NAMES = {
    "csv": "out.csv",
    "jsonl": "out.jsonl",
    "parquet": "out.parquet",
    "label-studio": "ls.json",
    "argilla": "a.json",
}
TABLES = ("csv", "jsonl", "parquet")


def label(n: int, rater: str, level: int | None, second: int = 0, **more: Any) -> dict[str, Any]:
    at = f"2026-01-01T00:00:{second:02d}.000000+00:00"
    return label_row(STEM, page_id(text(n)), rater, level=level, at=at, **more)


def round_trip(rubric: Rubric, rows: list[dict[str, Any]], form: str, folder: Path) -> list[dict[str, Any]]:
    chosen = choose(rubric, pages(), rows, all_words=form in TABLES)
    out = write(chosen, folder / NAMES[form], form)[0]
    store = sampled(folder)
    first = take(store, out, rubric=rubric)
    assert (first.new, first.unmatched) == (len(rows), 0)
    assert take(store, out, rubric=rubric).new == 0, "the same file again adds nothing"
    return store.rows("labels")


@pytest.mark.parametrize("form", TABLES)
@settings(max_examples=10)
@given(rows=words(STEM, flags=True))
def test_tables_carry_every_word(form: str, rows: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = round_trip(STEM, rows, form, Path(folder))
    assert told(found) == told(rows)
    assert {row["label_id"] for row in found} == {row["label_id"] for row in rows}, "under the names they had"


@pytest.mark.parametrize("form", ["label-studio", "argilla"])
@settings(max_examples=8)
@given(rows=words(STEM, flags=False))
def test_other_tools_carry_levels_criteria_notes_and_raters(form: str, rows: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = round_trip(STEM, rows, form, Path(folder))
    assert told(found) == told(rows)


@pytest.mark.parametrize("form", list(NAMES))
@settings(max_examples=5)
@given(rows=words(QUIZ, flags=False))
def test_classes_go_by_their_names(form: str, rows: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = round_trip(QUIZ, rows, form, Path(folder))
    assert told(found) == told(rows)


def test_a_table_has_what_a_person_looks_for(tmp_path: Path) -> None:
    rows = [label(0, "ann", 5, note="clear", criteria={"reasoning": 2}, seconds=2.5), label(1, "ben", 0, assisted=True)]
    write(choose(STEM, pages(), rows), tmp_path / "x.csv", "csv", with_text=True)
    with open(tmp_path / "x.csv", newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    first = next(row for row in found if row["rater"] == "ann")
    assert first["url"] == "https://h0.example/"
    assert (first["level"], first["level_name"]) == ("5", STEM.levels[5])
    assert (json.loads(first["criteria"]), first["seconds"], first["split"]) == ({"reasoning": 2}, "2.5", "train")
    assert (first["assisted"], first["rubric_hash"], first["text"]) == ("false", STEM.hash, text(0))
    assert [row["assisted"] for row in found if row["rater"] == "ben"] == ["true"]


@pytest.mark.parametrize("form", TABLES)
def test_columns_that_a_later_version_adds_are_kept(form: str, tmp_path: Path) -> None:
    rows = [{**label(n, "ann", n), "mood": ["calm", None][n]} for n in range(2)]
    out = write(choose(STEM, pages(), rows), tmp_path / NAMES[form], form)[0]
    if form == "parquet":
        moods = pq.read_table(out).column("mood").to_pylist()
    elif form == "csv":
        with open(out, newline="") as file:
            moods = [row["mood"] or None for row in csv.DictReader(file)]
    else:
        moods = [json.loads(line)["mood"] for line in out.read_text().splitlines()]
    assert sorted(moods, key=str) == [None, "calm"]


def test_only_standing_words_unless_all_are_wanted(tmp_path: Path) -> None:
    rows = [
        label(0, "ann", 1, 1),
        label(0, "ann", 4, 2),
        label(1, "ann", 3, 1),
        label(1, "ann", None, 2, flag="undone"),
    ]
    assert [row["level"] for row in choose(STEM, pages(), rows).rows] == [4]
    assert sorted(str(row["level"]) for row in choose(STEM, pages(), rows, all_words=True).rows) == [
        "1",
        "3",
        "4",
        "None",
    ]


def test_splits_and_pages_of_other_samples(tmp_path: Path) -> None:
    rows = [label(n, "ann", 1) for n in range(6)] + [label_row(STEM, "elsewhere", "ann", level=1, at="t")]
    assert len(choose(STEM, pages(), rows).rows) == 6
    assert {row["page_id"] for row in choose(STEM, pages(), rows, splits=["test"]).rows} == {
        page_id(text(2)),
        page_id(text(5)),
    }


def test_nothing_is_written_over_without_being_told(tmp_path: Path) -> None:
    chosen = choose(STEM, pages(), [label(0, "ann", 5)])
    for form, name in NAMES.items():
        out = tmp_path / form / name
        beside = write(chosen, out, form)[1:]
        with pytest.raises(BadInput, match="exists already; name another file, or add --force"):
            write(chosen, out, form)
        assert write(chosen, out, form, force=True)[0] == out
        if beside:
            out.unlink()
            with pytest.raises(BadInput, match=f"{beside[0].name}: exists already"):
                write(chosen, out, form)


def test_no_labels_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there are no such labels"):
        write(choose(STEM, pages(), []), tmp_path / "x.csv", "csv")
    skipped = [label(0, "ann", None, flag="skipped")]
    for form in STANDING:
        with pytest.raises(BadInput, match="there are no such labels"):
            write(choose(STEM, pages(), skipped), tmp_path / "x", form)
        with pytest.raises(BadInput, match=f"{form} has no place for words that no longer stand"):
            write(choose(STEM, pages(), skipped, all_words=True), tmp_path / "x", form)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "form", "found"),
    [("a.csv", "", "csv"), ("a.JSONL", "", "jsonl"), ("a.parquet", "", "parquet"), ("a", "", "datasets"),
     ("a.json", "argilla", "argilla"), ("a.txt", "csv", "csv")],
)  # fmt: skip
def test_the_form_is_told_by_the_name(name: str, form: str, found: str) -> None:
    assert form_of(Path(name), form) == found


def test_what_label_studio_is_given_is_not_ground_truth(tmp_path: Path) -> None:
    write(choose(STEM, pages(), [label(0, "ann", 5)]), tmp_path / "ls.json", "label-studio")
    (task,) = json.loads((tmp_path / "ls.json").read_text())
    assert [annotation["ground_truth"] for annotation in task["annotations"]] == [False]


@pytest.mark.parametrize(("name", "says"), [("a.json", "label-studio or argilla"), ("a.xlsx", "csv, jsonl, parquet")])
def test_a_name_that_says_no_form(name: str, says: str) -> None:
    with pytest.raises(BadInput, match=f"add --form .{says}"):
        form_of(Path(name))


def test_a_criterion_whose_name_is_taken_is_refused_where_it_would_be_lost(tmp_path: Path) -> None:
    rubric = STEM.model_copy(update={"criteria": {"note": Criterion(asks="?", levels={0: "a", 1: "b"})}})
    chosen = choose(rubric, pages(), [label(0, "ann", 1)])
    with pytest.raises(BadInput, match="a criterion named 'note' has no place in argilla"):
        write(chosen, tmp_path / "a.json", "argilla")
    write(chosen, tmp_path / "a.csv", "csv")


def test_the_labelling_form_offers_every_level_and_criterion(tmp_path: Path) -> None:
    _, form = write(choose(STEM, pages(), [label(0, "ann", 5)]), tmp_path / "ls.json", "label-studio")
    view = ElementTree.parse(form).getroot()
    choices = {node.get("name"): [c.get("value") for c in node] for node in view.iter("Choices")}
    assert choices["level"] == [str(level) for level in sorted(STEM.levels)]
    assert choices["reasoning"] == ["0", "1", "2"]
    assert [node.get("name") for node in view.iter("TextArea")] == ["note"]
    _, made = write(choose(STEM, pages(), [label(0, "ann", 5)]), tmp_path / "a.json", "argilla")
    questions = {one["name"]: one["settings"] for one in json.loads(made.read_text())["questions"]}
    assert [option["value"] for option in questions["level"]["options"]] == [str(n) for n in range(6)]
    assert set(questions) == {"level", *STEM.criteria, "note"}


@given(level=st.integers(0, 5), other=st.integers(0, 5))
@settings(max_examples=10)
def test_a_line_that_was_corrected_in_the_exported_file_replaces_the_word(level: int, other: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        store = sampled(Path(name))
        store.append("labels", [label(0, "ann", level)])
        out = write(choose(STEM, pages(), store.rows("labels")), Path(name) / "x.csv", "csv")[0]
        table = [dict(row) for row in csv.DictReader(out.read_text(encoding="utf-8").splitlines())]
        with open(out, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows([{**table[0], "level": str(other)}])
        assert take(store, out).new == (level != other)
        assert take(store, out).new == 0
        assert levels(store) == {"ann 0": other}


def test_a_choice_scale_is_a_column_of_names(tmp_path: Path) -> None:
    row = label_row(QUIZ, page_id(text(0)), "ann", level=0, at="2026-01-01")
    out = write(choose(QUIZ, pages(), [row]), tmp_path / "x.parquet", "parquet")[0]
    table = pq.read_table(out)
    assert table.schema.field("level").type == pa.string()
    assert table.column("level").to_pylist() == [QUIZ.names[0]]


def test_anonymous_raters_are_numbered_and_their_labels_named_anew(tmp_path: Path) -> None:
    rows = [{**label(n, rater, n), "mood": "calm"} for n in range(3) for rater in ("ann", "ben")]
    out = write(choose(STEM, pages(), rows, anonymous=True), tmp_path / "x.jsonl", "jsonl")[0]
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert {row["rater"] for row in found} == {"rater 1", "rater 2"}
    assert len({(row["page_id"], row["rater"]) for row in found}) == 6
    assert not {row["label_id"] for row in found} & {row["label_id"] for row in rows}
    assert {row["mood"] for row in found} == {"calm"}
