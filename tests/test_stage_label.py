import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import rubric as rubrics
from curate.errors import BadInput
from curate.progress import Quiet
from curate.schema import LABELS, page_id
from curate.sources import Source, shards
from curate.stages.label import LabelFile, Report, Settings, current, label_row, labels_fingerprint, run
from curate.store import Store

STEM = rubrics.load(Path(__file__).resolve().parents[1] / "rubrics" / "stem.md")
SPLITS = ("train", "val", "test")


def text(n: int) -> str:
    return f"page number {n}"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Thirty sampled pages, ten in each split; page 29 has no URL."""
    made = Store(tmp_path / "w")
    rows = [
        {
            "page_id": page_id(text(n)),
            "text": text(n),
            "url": f"http://h{n}.org" if n < 29 else "",
            "split": SPLITS[n % 3],
        }
        for n in range(30)
    ]
    made.append("pages", rows, scope="s")
    made.append("pages", [{"page_id": "another", "text": "of another sample", "split": "train"}], scope="older")
    return made


def put(folder: Path, rows: list[dict[str, Any]], name: str = "labels.jsonl") -> Path:
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def take(store: Store, wanted: dict[str, Any] | None = None, **settings: Any) -> Report:
    """Run the stage as the pipeline does, with a label file beside the workspace."""
    source = None
    if wanted is not None:
        file = LabelFile.model_validate({"path": "labels.jsonl", **wanted})
        column = file.column or file.match
        columns = {
            name: column if file.match == match else ""
            for name, match in (("text", "text"), ("url", "url"), ("id", "page_id"))
        }
        source = Source(path=file.path, **columns)
        settings["labels_from"] = file
    return run(
        store,
        Settings.model_validate(settings),
        rubric=STEM,
        labels_source=(source, shards(source, below=store.root.parent)) if source else None,
        pages="s",
        progress=Quiet(),
    )


def levels(store: Store) -> dict[str, int]:
    texts = {row["page_id"]: row["text"] for row in store.rows("pages", "s")}
    return {
        f"{row['rater']} {texts[row['page_id']].split()[-1]}": row["level"] for row in current(store.rows("labels"))
    }


def refusal(store: Store, wanted: dict[str, Any]) -> str:
    with pytest.raises(BadInput) as caught:
        take(store, wanted)
    assert store.parts("labels") == [], "nothing is half taken over"
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["labels.jsonl", "labels.parquet"])
@pytest.mark.parametrize(
    ("match", "value"),
    [("text", text), ("url", lambda n: f"http://h{n}.org"), ("page_id", lambda n: page_id(text(n)))],
)
def test_labels_find_their_pages_by_text_url_or_page_id(store: Store, name: str, match: str, value: Any) -> None:
    put(store.root.parent, [{"key": value(n), "level": n % 6} for n in range(12)], name)
    report = take(store, {"path": name, "match": match, "column": "key"})
    assert (report.imported, report.unmatched, report.labels, report.labelled_pages) == (12, 0, 12, 12)
    assert levels(store) == {f"imported {n}": n % 6 for n in range(12)}
    assert report.levels == {str(level): 2 for level in range(6)}


def test_cells_of_a_csv_file_are_taken_as_they_are_written(store: Store) -> None:
    path = store.root.parent / "labels.csv"
    path.write_text(
        'url,level,rater,note\nhttp://h0.org,3,007,1.50\nhttp://h1.org,4,008,"a\nb"\nhttp://h2.org,9,008,\n'
    )
    wanted = {"path": "labels.csv", "match": "url", "rater": "rater", "note": "note"}
    assert f"{path}: column level: line 5: '9' is no level" in refusal(store, wanted)
    path.write_text(path.read_text().replace(",9,", ",2,"))
    assert take(store, wanted).raters == {"007": 1, "008": 2}
    assert {row["note"] for row in store.rows("labels")} == {"1.50", "a\nb", ""}


def test_white_space_is_ignored_where_the_text_finds_no_page(store: Store) -> None:
    put(store.root.parent, [{"text": f" {text(0)}\n", "level": 3}, {"text": text(1), "level": 2}])
    assert take(store, {}).imported == 2
    assert levels(store) == {"imported 0": 3, "imported 1": 2}


def test_the_column_is_named_as_the_match_unless_it_is_said(store: Store) -> None:
    put(store.root.parent, [{"url": "http://h3.org", "level": 2}])
    take(store, {"match": "url"})
    assert levels(store) == {"imported 3": 2}


def test_text_finds_pages_that_have_ids_of_their_own(tmp_path: Path) -> None:
    store = Store(tmp_path / "w")
    store.append("pages", [{"page_id": "own-1", "text": "some text", "url": "", "split": "train"}], scope="s")
    put(tmp_path, [{"text": "some text", "level": 1}, {"text": "other", "level": 1}])
    report = take(store, {})
    assert (report.imported, report.unmatched) == (1, 1)
    assert store.rows("labels")[0]["page_id"] == "own-1"


def test_a_label_without_a_url_is_not_given_to_a_page_without_one(store: Store) -> None:
    put(store.root.parent, [{"url": "", "level": 5}, {"url": None, "level": 5}, {"url": "http://h1.org", "level": 1}])
    report = take(store, {"match": "url"})
    assert (report.imported, report.unmatched) == (1, 2)
    assert levels(store) == {"imported 1": 1}


def test_labels_may_be_columns_of_the_source_itself(store: Store) -> None:
    put(
        store.root.parent,
        [{"text": text(n), "level": 1 if n < 4 else None, "note": None} for n in range(9)]
        + [{"text": "not sampled", "level": "mixed", "note": None}],
        "pages.jsonl",
    )
    source = Source(path="pages.jsonl")
    report = run(
        store,
        Settings(labels_from=LabelFile(note="note")),
        rubric=STEM,
        labels_source=(source, shards(source, below=store.root.parent)),
        pages="s",
        progress=Quiet(),
    )
    assert (report.imported, report.unmatched) == (4, 1)
    assert levels(store) == {f"imported {n}": 1 for n in range(4)}


def test_values_are_mapped_to_levels(store: Store) -> None:
    rows = [{"text": text(0), "v": "keep"}, {"text": text(1), "v": "drop"}, {"text": text(2), "v": None}]
    put(store.root.parent, rows)
    assert take(store, {"level": "v", "map": {"keep": 5, "drop": 0}}).imported == 2
    assert levels(store) == {"imported 0": 5, "imported 1": 0}


@pytest.mark.parametrize(
    ("kind", "values", "map_"),
    [
        (pa.bool_(), [True, False], {"true": 5, "false": 0}),
        (pa.int64(), [7, -1], {7: 5, -1: 0}),
        (pa.float64(), [7.0, -1.0], {"7": 5, "-1": 0}),
        (pa.float64(), [0.5, 0.25], {0.5: 5, "0.25": 0}),
        (pa.string(), ["yes", "no"], {"yes": 5, "no": 0}),
        (pa.string(), ["5", "0"], {}),
        (pa.string(), ["5.0", "0"], {}),
        (pa.float32(), [5.0, 0.0], {}),
        (pa.int8(), [5, 0], {}),
    ],
)
def test_levels_are_understood_in_every_type_and_null_is_no_label(
    store: Store, kind: Any, values: Any, map_: Any
) -> None:
    table = pa.table({"text": [text(n) for n in range(3)], "level": pa.array([*values, None], kind)})
    pq.write_table(table, store.root.parent / "labels.parquet")
    report = take(store, {"path": "labels.parquet", "map": map_})
    assert report.imported == 2
    assert levels(store) == {"imported 0": 5, "imported 1": 0}


def test_what_pandas_and_spreadsheets_leave_for_no_label_is_none(store: Store) -> None:
    table = pa.table({"text": [text(0), text(1)], "level": pa.array([float("nan"), 3.0])})
    pq.write_table(table, store.root.parent / "labels.parquet")
    assert take(store, {"path": "labels.parquet"}).imported == 1
    put(
        store.root.parent,
        [{"text": text(2), "level": ""}, {"text": text(3), "level": " "}, {"text": text(4), "level": "4"}],
    )
    assert take(store, {}).imported == 1
    assert levels(store) == {"imported 1": 3, "imported 4": 4}


@pytest.mark.parametrize("value", [6, -1, 3.7, "6", "good", "²", True, [3], {"a": 1}, 10**30, "nan", "1e999"])
def test_a_value_that_is_no_level_is_named_with_its_file_and_column(store: Store, value: Any) -> None:
    path = put(store.root.parent, [{"text": text(0), "vote": value}])
    wanted: dict[str, Any] = {"level": "vote"}
    if value is True:
        wanted["map"] = {"yes": 1}
    message = refusal(store, wanted)
    assert message.startswith(f"label.labels_from: {path}: column vote: ")
    assert repr(value) in message or str(value) in message
    assert "is no level (allowed: " + ("yes)" if value is True else "0..5)") in message
    assert message.endswith("; see label.labels_from.map")


def test_a_value_that_the_map_does_not_know_is_named(store: Store) -> None:
    put(store.root.parent, [{"text": text(0), "level": "keep"}, {"text": text(1), "level": "Keep"}])
    assert "'Keep' is no level (allowed: keep, drop)" in refusal(store, {"map": {"keep": 1, "drop": 0}})


def test_raters_notes_and_criteria_are_taken_over(store: Store) -> None:
    put(
        store.root.parent,
        [
            {"text": text(0), "level": 4, "who": "ann", "why": "clear", "aspects": {"reasoning": 2, "formatting": None}},
            {"text": text(0), "level": 3, "who": "ben", "why": None, "aspects": {}},
            {"text": text(1), "level": 0, "who": None, "why": "spam", "aspects": None},
        ],
    )  # fmt: skip
    report = take(store, {"rater": "who", "rater_name": "someone", "note": "why", "criteria": "aspects"})
    assert report.raters == {"ann": 1, "ben": 1, "someone": 1}
    assert (report.labels, report.labelled_pages) == (3, 2)
    rows = {row["rater"]: row for row in store.rows("labels")}
    assert list(rows["ann"]) == LABELS.names
    assert (rows["ann"]["note"], json.loads(rows["ann"]["criteria"])) == ("clear", {"reasoning": 2})
    assert (rows["ben"]["note"], rows["ben"]["criteria"]) == ("", None)
    assert (rows["someone"]["note"], rows["someone"]["criteria"]) == ("spam", None)
    assert {row["rubric_hash"] for row in rows.values()} == {STEM.hash}


def test_raters_may_be_numbers(store: Store) -> None:
    table = pa.table({"text": [text(0), text(0)], "level": [1, 2], "rater": pa.array([1.0, 2.0])})
    pq.write_table(table, store.root.parent / "labels.parquet")
    assert take(store, {"path": "labels.parquet", "rater": "rater"}).raters == {"1": 1, "2": 1}


@pytest.mark.parametrize(
    ("aspects", "says"),
    [
        ("{broken", "column aspects: line 1: '{broken' is not JSON ("),
        ("[1]", "column aspects: line 1: must hold objects of criterion to level (got '[1]')"),
        (
            '{"reasonin": 1}',
            "column aspects: line 1: the rubric has no criterion 'reasonin'; did you mean reasoning? (allowed: ",
        ),
        ('{"reasoning": 3}', "column aspects: line 1: reasoning: 3 is no level (allowed: 0..2)"),
        ('{"reasoning": "much"}', "column aspects: line 1: reasoning: 'much' is no level (allowed: 0..2)"),
    ],
)
def test_bad_criteria_are_one_line(store: Store, aspects: str, says: str) -> None:
    path = put(store.root.parent, [{"text": text(0), "level": 1, "aspects": aspects}])
    assert refusal(store, {"criteria": "aspects"}).startswith(f"label.labels_from: {path}: {says}")


def test_the_same_import_twice_adds_nothing(store: Store) -> None:
    put(store.root.parent, [{"text": text(n), "level": 1, "rater": rater} for n in range(5) for rater in "ab"])
    assert [take(store, {"rater": "rater"}).imported for _ in range(3)] == [10, 0, 0]
    put(store.root.parent, [{"text": text(n), "level": 1, "rater": "a"} for n in range(7)])
    assert take(store, {"rater": "rater"}).imported == 2
    assert len(store.rows("labels")) == 12
    assert len(store.parts("labels")) == 2


def test_the_same_row_twice_is_one_label(store: Store) -> None:
    put(store.root.parent, [{"text": text(0), "level": 1}] * 3)
    assert take(store, {}).imported == 1


def test_a_corrected_file_has_the_last_word(store: Store) -> None:
    for level in (5, 0, 3, 4, 1, 2):
        put(store.root.parent, [{"text": text(n), "level": level} for n in range(4)])
        assert take(store, {}).imported == 4
        assert levels(store) == {f"imported {n}": level for n in range(4)}


def test_of_two_rows_of_one_rater_the_later_counts(store: Store) -> None:
    put(store.root.parent, [{"text": text(n), "level": level} for n in range(6) for level in (5, n % 5)])
    assert take(store, {}).imported == 6
    assert levels(store) == {f"imported {n}": n % 5 for n in range(6)}
    times = [("2026-01-01T12:00:00", 1), ("2026-01-01T15:00:00+02:00", 2), ("2026-01-01T12:30:00Z", 3)]
    put(store.root.parent, [{"text": text(9), "level": level, "at": at} for at, level in times])
    assert take(store, {}).imported == 3
    assert levels(store)["imported 9"] == 2, "15:00 in UTC+2 is 13:00 in UTC, the latest"


def test_times_in_any_type_are_kept_in_utc(store: Store) -> None:
    at = datetime(2026, 1, 1, 15, tzinfo=timezone(timedelta(hours=2)))
    pq.write_table(pa.table({"text": [text(0)], "level": [1], "at": [at]}), store.root.parent / "labels.parquet")
    take(store, {"path": "labels.parquet"})
    put(store.root.parent, [{"text": text(1), "level": 1, "at": "noon"}])
    before = datetime.now(UTC)
    take(store, {})
    rows = sorted(store.rows("labels"), key=lambda row: str(row["at"]))
    assert rows[0]["at"] == "2026-01-01T13:00:00.000000+00:00"
    assert before <= datetime.fromisoformat(rows[1]["at"]) <= datetime.now(UTC), "what is no time is the time of import"


def test_a_label_that_a_person_gives_later_stays_when_the_file_is_taken_over_again(store: Store) -> None:
    put(store.root.parent, [{"text": text(0), "level": 1, "rater": "ann"}])
    take(store, {"rater": "rater"})
    later = (datetime.now(UTC) + timedelta(seconds=1)).isoformat(timespec="microseconds")
    store.append("labels", [label_row(STEM, page_id(text(0)), "ann", level=4, at=later, shown="x")])
    assert take(store, {"rater": "rater"}).imported == 0
    assert levels(store) == {"ann 0": 4}


def test_labels_of_pages_that_are_not_sampled_are_counted_not_kept(store: Store) -> None:
    put(store.root.parent, [{"text": text(n), "level": 1} for n in (0, 1, 100, 101, 102)])
    report = take(store, {})
    assert (report.imported, report.unmatched, report.labels) == (2, 3, 2)


def test_a_file_of_which_no_label_finds_a_page_is_one_line(store: Store) -> None:
    path = put(store.root.parent, [{"text": "strange", "level": 1}, {"text": "of another sample", "level": 1}])
    assert refusal(store, {}) == (
        f"label.labels_from: none of 2 labels in {path} matches a sampled page by text; "
        "match by text, url or page_id, or sample more pages (sample.pages=null: all)"
    )


def test_a_file_without_any_label_adds_nothing(store: Store) -> None:
    put(store.root.parent, [{"text": text(0), "level": None}])
    report = take(store, {})
    assert (report.imported, report.unmatched, report.labels) == (0, 0, 0)


def label(store: Store, n: int, level: int | None, rater: str = "ann", second: int = 0, **more: Any) -> dict[str, Any]:
    row = label_row(STEM, page_id(text(n)), rater, level=level, at=f"2026-01-01T00:00:{second:02d}+00:00", **more)
    store.append("labels", [row], part=row["label_id"])
    return row


def test_the_last_word_of_each_rater_counts_and_no_level_takes_it_back(store: Store) -> None:
    label(store, 0, 5, second=2)
    label(store, 0, 1, second=1)
    label(store, 0, 3, rater="ben")
    label(store, 1, 5, second=1)
    label(store, 1, None, second=2)
    label(store, 2, None, second=1, flag="skipped")
    label(store, 2, 4, second=2)
    assert levels(store) == {"ann 0": 5, "ben 0": 3, "ann 2": 4}
    report = take(store)
    assert (report.labels, report.labelled_pages, report.raters) == (3, 2, {"ann": 2, "ben": 1})


@given(
    words=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from("ab"), st.none() | st.integers(0, 5), st.integers(0, 59)),
        max_size=20,
        unique_by=lambda word: word[3],
    ),
    order=st.randoms(use_true_random=False),
)
def test_the_order_in_which_labels_are_read_does_not_matter(words: list[Any], order: Any) -> None:
    rows = [
        label_row(STEM, str(n), rater, level=level, at=f"2026-01-01T00:00:{at:02d}") for n, rater, level, at in words
    ]
    wanted: dict[tuple[str, str], int | None] = {}
    for n, rater, level, _ in sorted(words, key=lambda word: word[3]):
        wanted[str(n), rater] = level
    shuffled = list(rows)
    order.shuffle(shuffled)
    found = {(row["page_id"], row["rater"]): row["level"] for row in current(shuffled)}
    assert found == {key: level for key, level in wanted.items() if level is not None}
    assert labels_fingerprint(shuffled) == labels_fingerprint(rows)


def test_a_label_is_named_by_what_was_said_not_by_the_rubric() -> None:
    first = label_row(STEM, "p", "ann", level=3, note="n", at="t")
    assert first == label_row(STEM, "p", "ann", level=3, note="n", at="t", criteria={})
    others = [
        label_row(STEM, "q", "ann", level=3, note="n", at="t"),
        label_row(STEM, "p", "ben", level=3, note="n", at="t"),
        label_row(STEM, "p", "ann", level=None, note="n", at="t"),
        label_row(STEM, "p", "ann", level=3, note="m", at="t"),
        label_row(STEM, "p", "ann", level=3, note="n", at="u"),
        label_row(STEM, "p", "ann", level=3, note="n", at="t", criteria={"reasoning": 1}),
    ]
    assert len({row["label_id"] for row in [first, *others]}) == 7
    other_rubric = label_row(STEM.model_copy(update={"name": "other"}), "p", "ann", level=3, note="n", at="t")
    assert other_rubric["label_id"] == first["label_id"]
    assert other_rubric["rubric_hash"] != first["rubric_hash"]


def test_labels_of_other_samples_do_not_count(store: Store) -> None:
    row = label_row(STEM, "another", "ann", level=5, at="t")
    store.append("labels", [row])
    assert take(store).labels == 0


def test_what_is_missing_is_counted_against_what_is_needed_or_there_is(store: Store) -> None:
    for n in range(4):
        label(store, n, 5)
    assert (take(store, needed=10).missing, take(store, needed=4).missing) == (6, 0)
    assert take(store, needed=1000).missing == 26, "no more can be labelled than are sampled"
    assert not take(store, needed=10).enough
    assert take(store, needed=10).problems == [], "first more labels, then balance"


def test_each_split_needs_pages_worth_keeping_and_pages_not(store: Store) -> None:
    for n in range(12):
        label(store, n, 5 if n < 6 or n % 3 == 0 else 0)
    report = take(store, needed=12, needed_a_class=2)
    assert report.splits == {
        "train": {"keep": 4, "drop": 0},
        "val": {"keep": 2, "drop": 2},
        "test": {"keep": 2, "drop": 2},
    }
    assert report.problems == ["train has 0 labelled pages not worth keeping, 2 are needed"]
    assert not report.enough
    for n in (12, 15):
        label(store, n, 2)
    assert take(store, needed=12, needed_a_class=2).enough
    assert take(store, needed=12, needed_a_class=3).problems != []


def test_the_mean_of_the_raters_decides_whether_a_page_is_worth_keeping(store: Store) -> None:
    for rater, level in (("ann", 5), ("ben", 2), ("cid", 2)):
        label(store, 0, level, rater=rater)
    for rater, level in (("ann", 4), ("ben", 0), ("cid", 1)):
        label(store, 3, level, rater=rater)
    report = take(store)
    assert report.splits["train"] == {"keep": 1, "drop": 1}
    assert report.levels == {"0": 1, "1": 1, "2": 2, "3": 0, "4": 1, "5": 1}


def test_a_report_survives_its_record(store: Store) -> None:
    label(store, 0, 5)
    report = take(store)
    store.write_record("label", "x", report.as_dict())
    record = store.record("label", "x")
    assert record is not None
    record.pop("at")
    assert Report(**record) == report


def test_real_labels_of_web_pages_are_taken_over(tmp_path: Path, shared_data: Path) -> None:
    table = pq.read_table(shared_data / "dclm_human.parquet")
    store = Store(tmp_path / "w")
    pages = [
        {"page_id": page_id(t), "text": t, "url": "", "split": SPLITS[n % 3]}
        for n, t in enumerate(table["text"].to_pylist())
    ]
    store.append("pages", pages, scope="s")
    path = str(shared_data / "dclm_human.parquet")
    wanted_file = {"path": path, "level": "label", "map": {"keep": 5, "drop": 0}}
    report = take(store, wanted_file, needed=200)
    assert report.labelled_pages == len({page["page_id"] for page in pages})
    assert report.enough
    wanted = dict(zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True))
    assert report.levels["5"] == sum(value == "keep" for value in wanted.values())
    assert take(store, wanted_file).imported == 0
