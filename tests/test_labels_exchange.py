"""Labels in and out of files: what goes out comes in again, and what cannot be understood is named."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_desk import RUBRIC

from curate import rubric as rubrics
from curate.errors import BadInput
from curate.labels.exporting import form_of, studio_config, write_words
from curate.labels.importing import Imported, take_in
from curate.labels.incoming import Columns, read_file, words_of
from curate.labels.words import ADJUDICATION, current, label_row
from curate.rubric import Rubric
from curate.schema import page_id
from curate.store import Store

CLASSES = """---
name: kind
asks: What kind?
scale: choice
classes: {prose: text that is read, code: programs, "a & b": "links <i>"}
keep: [prose]
---
Say what it is.
"""


def rubric(folder: Path, text: str = RUBRIC) -> Rubric:
    (folder / "r.md").write_text(text)
    return rubrics.load(folder / "r.md")


def pages(n: int = 6) -> list[dict[str, Any]]:
    texts = [f'page {i}\n  with "quotes", commas\tand lines {i}' for i in range(n)]
    return [
        {"page_id": page_id(text), "url": f"https://h{i}.example/?a=1,2&b={i}", "title": f"t{i}", "lang": "en", "text": text,
         "split": ("train", "val", "test")[i % 3]}
        for i, text in enumerate(texts)
    ]  # fmt: skip


def take(store: Store, of: Rubric, path: Path, **given: Any) -> Imported:
    form, rows = read_file(path)
    columns = given.pop("columns", Columns())
    return take_in(store, of, words_of(form, rows, of, columns, rater=given.pop("rater", "imported")), pages(), **given)


def bare(row: dict[str, Any], *keys: str) -> tuple[Any, ...]:
    return tuple(json.loads(row[key] or "{}") if key == "criteria" else row[key] for key in keys)


NOTES = st.text(st.characters(codec="utf-8", exclude_characters="\x00", exclude_categories=("Cs",)), max_size=30)
WORDS = st.lists(
    st.tuples(
        st.integers(0, 5), st.sampled_from(["anna", "ben \"b\"", "Ćiro, c"]), st.integers(0, 2), NOTES,
        st.dictionaries(st.just("layout"), st.integers(0, 1)), st.booleans(),
    ),
    min_size=1, max_size=12, unique_by=lambda word: word[:2],
)  # fmt: skip
CARRIED = {
    "words.csv": ("page_id", "rater", "level", "note", "criteria", "at", "assisted", "seconds", "label_id"),
    "words.jsonl": ("page_id", "rater", "level", "note", "criteria", "at", "assisted", "seconds", "label_id"),
    "words.parquet": ("page_id", "rater", "level", "note", "criteria", "at", "assisted", "seconds", "label_id"),
    "studio.json": ("page_id", "rater", "level", "note", "criteria", "at", "seconds"),
    "argilla.json": ("page_id", "rater", "level", "note", "criteria"),
}


@pytest.mark.parametrize("name", CARRIED)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(words=WORDS)
def test_what_goes_out_comes_in_again(tmp_path_factory: pytest.TempPathFactory, name: str, words: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("x")
    of, drawn = rubric(folder), pages()
    rows = [
        label_row(of, drawn[place]["page_id"], rater, level=level, note=note.strip(), criteria=criteria, assisted=assisted,
                  at=f"2026-01-01T00:00:{n:02d}.000000+00:00", seconds=1.5 + n, shown="text")
        for n, (place, rater, level, note, criteria, assisted) in enumerate(words)
    ]  # fmt: skip
    out = folder / name
    form = "argilla" if name.startswith("argilla") else form_of(out)
    write_words(out, form, rows, drawn, of, texts=False)  # type: ignore[arg-type]
    store = Store(folder / "w")
    done = take(store, of, out)
    assert (done.new, done.known, done.lost) == (len(rows), 0, 0)
    keys = CARRIED[name]
    came = sorted((bare(row, *keys) for row in store.rows("labels")), key=str)
    assert came == sorted((bare(row, *keys) for row in rows), key=str)
    again = take(store, of, out)
    assert (again.new, again.known) == (0, len(rows))


def test_classes_go_by_name_and_roles_stay(tmp_path: Path) -> None:
    of, drawn = rubric(tmp_path, CLASSES), pages()
    rows = [
        label_row(of, drawn[0]["page_id"], "anna", level=2, at="2026-01-01T00:00:00+00:00"),
        label_row(of, drawn[0]["page_id"], "cleo", level=0, at="2026-01-02T00:00:00+00:00", role=ADJUDICATION),
    ]
    write_words(tmp_path / "w.csv", "csv", rows, drawn, of, texts=True)
    assert "a & b" in (tmp_path / "w.csv").read_text()
    store = Store(tmp_path / "w")
    take(store, of, tmp_path / "w.csv")
    assert sorted((r["rater"], r["level"], r["role"]) for r in store.rows("labels")) == [
        ("anna", 2, ""),
        ("cleo", 0, ADJUDICATION),
    ]


def put(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_unknown_levels_are_named_by_row_and_nothing_is_written(tmp_path: Path) -> None:
    of, store = rubric(tmp_path), Store(tmp_path / "w")
    rows = [{"text": page["text"], "level": 1} for page in pages()] + [
        {"text": "x", "level": f"bad{i}"} for i in range(12)
    ]
    rows[2]["level"] = 7
    rows[3]["criteria"] = {"layuot": 1}
    with pytest.raises(BadInput) as caught:
        take(store, of, put(tmp_path / "l.jsonl", rows))
    said = str(caught.value)
    assert "14 labels cannot be understood, nothing was written" in said
    assert "row 3: 7 is no level (allowed: 0..2)" in said
    assert "row 4: the rubric has no criterion 'layuot'; did you mean layout" in said
    assert said.endswith("and 4 more")
    assert store.parts("labels") == []


def test_levels_are_mapped_and_the_same_file_adds_nothing_another_day(tmp_path: Path) -> None:
    of, store = rubric(tmp_path), Store(tmp_path / "w")
    rows = [{"url": page["url"], "verdict": "good" if i % 2 else "bad", "who": "dan"} for i, page in enumerate(pages())]
    path = put(tmp_path / "l.parquet", rows)
    wanted: dict[str, Any] = {"columns": Columns(level="verdict", rater="who"), "levels": {"good": 2, "bad": 0}}
    assert take(store, of, path, dry=True, **wanted).new == 6
    assert store.parts("labels") == []
    done = take(store, of, path, **wanted)
    assert (done.new, done.raters, done.levels) == (6, {"dan": 6}, {"0": 3, "2": 3})
    assert take(store, of, path, **wanted).new == 0
    assert len(store.parts("labels")) == 1
    rows[0]["verdict"] = "good"
    assert take(store, of, put(tmp_path / "l.parquet", rows), **wanted).new == 1
    said = {row["page_id"]: row["level"] for row in current(store.rows("labels"))}
    assert said[pages()[0]["page_id"]] == 2, "the last word counts"


def test_pages_are_found_by_what_there_is_also_where_white_space_was_lost(tmp_path: Path) -> None:
    of, store, drawn = rubric(tmp_path), Store(tmp_path / "w"), pages()
    rows = [
        {"page_id": drawn[0]["page_id"], "level": 1},
        {"url": drawn[1]["url"], "level": 1},
        {"text": drawn[2]["text"], "level": 1},
        {"text": " ".join(drawn[3]["text"].split()), "level": 1},
        {"text": "of another corpus", "level": 1},
        {"text": drawn[4]["text"], "level": None},
    ]
    done = take(store, of, put(tmp_path / "l.jsonl", rows))
    assert (done.new, done.lost, done.loosely, done.examples) == (4, 1, 1, ["row 5"])
    assert {row["page_id"] for row in store.rows("labels")} == {page["page_id"] for page in drawn[:4]}
    with pytest.raises(BadInput, match="none of 3 labels finds a page of the sample by url"):
        take(store, of, put(tmp_path / "l.jsonl", [rows[0], rows[2], rows[4]]), match="url")


STUDIO = [
    {
        "id": 17,
        "data": {"text": "TEXT"},
        "annotations": [
            {"completed_by": 3, "created_at": "2026-02-01T10:00:00Z", "lead_time": 12.5, "was_cancelled": False,
             "result": [
                 {"from_name": "stars", "to_name": "t", "type": "rating", "value": {"rating": 2}},
                 {"from_name": "why", "to_name": "t", "type": "textarea", "value": {"text": ["clear", "and whole"]}},
             ]},
            {"completed_by": {"email": "ben@x.org"}, "was_cancelled": True, "result": []},
        ],
    }
]  # fmt: skip


def test_label_studio_s_export_is_known_by_what_it_holds(tmp_path: Path) -> None:
    of, store = rubric(tmp_path), Store(tmp_path / "w")
    tasks = json.loads(json.dumps(STUDIO).replace('"TEXT"', json.dumps(pages()[0]["text"])))
    assert read_file(put(tmp_path / "e.json", tasks))[0] == "label-studio"
    done = take(store, of, tmp_path / "e.json")
    assert done.raters == {"3": 1, "ben@x.org": 1}
    rated, skipped = sorted(store.rows("labels"), key=lambda row: str(row["rater"]))
    assert (rated["level"], rated["note"], rated["seconds"]) == (2, "clear\nand whole", 12.5)
    assert rated["at"].startswith("2026-02-01T10:00:00")
    assert (skipped["level"], skipped["flag"]) == (None, "skipped")


def test_with_two_controls_it_must_be_said_which_holds_the_level(tmp_path: Path) -> None:
    of = rubric(tmp_path)
    tasks = json.loads(json.dumps(STUDIO).replace('"TEXT"', json.dumps(pages()[0]["text"])))
    tasks[0]["annotations"][0]["result"].append(
        {"from_name": "topic", "to_name": "t", "type": "choices", "value": {"choices": ["1"]}}
    )
    path = put(tmp_path / "e.json", tasks)
    with pytest.raises(BadInput, match=r"--level: say which of the controls .* stars, topic"):
        take(Store(tmp_path / "w"), of, path)
    store = Store(tmp_path / "v")
    take(store, of, path, columns=Columns(level="topic"))
    assert [row["level"] for row in store.rows("labels") if row["level"] is not None] == [1]


def test_label_studio_s_short_form_is_a_table(tmp_path: Path) -> None:
    of, store = rubric(tmp_path), Store(tmp_path / "w")
    rows = [
        {"text": pages()[0]["text"], "level": {"choices": ["2"]}, "annotator": 9, "annotation_id": 1, "lead_time": 3}
    ]
    take(store, of, put(tmp_path / "min.json", rows))
    (row,) = store.rows("labels")
    assert (row["level"], row["rater"], row["seconds"]) == (2, "9", 3.0)


def test_argilla_s_records_of_both_kinds(tmp_path: Path) -> None:
    of, store, drawn = rubric(tmp_path), Store(tmp_path / "w"), pages()
    new = {"id": "x", "fields": {"text": drawn[0]["text"]}, "metadata": {}, "responses": {
        "useful": [{"value": 2, "user_id": "u1"}, {"value": 0, "user_id": "u2", "status": "draft"}],
        "layout": [{"value": 1, "user_id": "u1"}]}}  # fmt: skip
    old = {"fields": {"text": drawn[1]["text"]}, "responses": [
        {"values": {"useful": {"value": "1"}}, "user_id": "u3", "status": "submitted"},
        {"values": {"useful": {"value": "0"}}, "user_id": "u4", "status": "discarded"}]}  # fmt: skip
    take(store, of, put(tmp_path / "a.json", [new, old]))
    assert sorted((r["rater"], r["level"], r["criteria"]) for r in store.rows("labels")) == [
        ("u1", 2, '{"layout": 1}'),
        ("u3", 1, None),
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("l.xlsx", "", "unknown kind of file"),
        ("l.json", "[1, 2", "cannot be read as json"),
        ("l.jsonl", "7\n", "must hold objects"),
        ("l.csv", 'a,level\n"x,1\n', "cannot be read as csv"),
        ("l.csv", "a,lebel\nx,1\n", "no column 'level'; did you mean lebel"),
        ("none.csv", None, "cannot be read"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=said):
        take(Store(tmp_path / "w"), rubric(tmp_path), tmp_path / name)


def test_the_configuration_asks_what_the_rubric_asks_and_is_xml(tmp_path: Path) -> None:
    from xml.etree import ElementTree

    root = ElementTree.fromstring(studio_config(rubric(tmp_path, CLASSES)))
    assert [one.get("value") for one in root.iter("Choice")] == ["prose", "code", "a & b"]
    names = [one.get("name") for one in ElementTree.fromstring(studio_config(rubric(tmp_path))).iter("Choices")]
    assert names == ["level", "layout"]


@pytest.mark.slow
def test_a_data_set_loads_with_the_library_and_keeps_the_sealed_test_back(tmp_path: Path) -> None:
    of, drawn = rubric(tmp_path), pages()
    at = "2026-01-01T00:00:00+00:00"
    rows = [
        label_row(of, page["page_id"], rater, level=level, at=at, note="n")
        for page in drawn
        for rater, level in (("a", 1), ("b", 2))
    ]
    assert write_words(tmp_path / "set", "datasets", rows, drawn, of, texts=True, name="mine") == 4
    os.environ["HF_HUB_OFFLINE"] = "1"
    from datasets import load_dataset

    found = load_dataset(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    assert set(found) == {"train", "validation"}
    entry = found["train"][0]
    assert (entry["level"], entry["keep"], len(entry["labels"])) == (1.5, False, 2)
    assert entry["text"] == drawn[0]["text"]
    assert write_words(tmp_path / "all", "datasets", rows, drawn, of, texts=True, test=True) == 6
    assert "can no longer be measured" in (tmp_path / "all" / "README.md").read_text()


def test_ten_thousand_labels_are_one_part(tmp_path: Path) -> None:
    of, store = rubric(tmp_path), Store(tmp_path / "w")
    rows = [{"page_id": pages()[i % 6]["page_id"], "level": i % 3, "rater": f"r{i}"} for i in range(10_000)]
    assert take(store, of, put(tmp_path / "many.jsonl", rows)).new == 10_000
    assert len(store.parts("labels")) == 1
