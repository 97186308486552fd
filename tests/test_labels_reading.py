"""Files of labels in every form, told apart by what is in them."""

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_labels import STEM, levels, put, refusal, sampled, take, text, url

from curate.labels.answers import Asked
from curate.labels.reading import incoming
from curate.schema import page_id
from curate.store import Store

ROWS = [{"url": url(n), "level": n % 6, "rater": "ann", "note": f"note {n}, 1.50"} for n in range(6)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return sampled(tmp_path)


def table_file(folder: Path, suffix: str) -> Path:
    path = folder / f"labels{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
        return path
    if suffix.startswith(".json"):
        return put(path, ROWS)
    mark = "\t" if suffix.startswith(".tsv") else ","
    lines = [mark.join(ROWS[0]), *(mark.join(f'"{value}"' for value in row.values()) for row in ROWS)]
    data = ("\ufeff" + "\n".join(lines)).encode()
    path.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".json", ".jsonl", ".parquet"])
def test_tables_of_every_kind(store: Store, suffix: str) -> None:
    assert take(store, table_file(store.root.parent, suffix)).new == 6
    assert levels(store) == {f"ann {n}": n for n in range(6)}
    assert {row["note"] for row in store.rows("labels")} == {row["note"] for row in ROWS}


def test_cells_of_a_csv_file_stay_as_they_are_written(store: Store) -> None:
    take(store, put(store.root.parent / "x.csv", f"url,level,rater,note\n{url(0)},3,007,1.50\n{url(1)},2,008,1e5\n"))
    rows = sorted(store.rows("labels"), key=lambda row: str(row["rater"]))
    assert [(row["rater"], row["note"]) for row in rows] == [("007", "1.50"), ("008", "1e5")]


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        ("x.csv", f'url,level,note\n{url(0)},1,"a\nb"\n\n{url(1)},bad,x\n', "line 5"),
        ("x.jsonl", f'{{"url": "{url(0)}", "level": 1}}\n\n{{"url": "{url(1)}", "level": "bad"}}\n', "line 3"),
        ("x.json", [{"url": url(0), "level": 1}, {"url": url(1), "level": "bad"}], "row 2"),
    ],
)
def test_wrong_rows_are_named_as_a_person_finds_them(store: Store, name: str, value: Any, wrong: str) -> None:
    path = store.root.parent / name
    if isinstance(value, str):
        path.write_text(value)
    else:
        put(path, value)
    assert f": column level: {wrong}: 'bad' is no level (allowed: 0..5)" in refusal(store, path)


def test_pages_are_found_by_the_surest_column_that_there_is(store: Store) -> None:
    rows = [{"page_id": page_id(text(0)), "text": "other", "url": "other", "level": 1}]
    assert take(store, put(store.root.parent / "a.jsonl", rows)).new == 1
    rows = [{"text": text(1), "url": "other", "level": 1}]
    assert take(store, put(store.root.parent / "b.jsonl", rows)).new == 1
    rows = [{"link": url(2), "level": 1}]
    asked = Asked(match="url", column="link")
    assert take(store, put(store.root.parent / "c.jsonl", rows), asked).new == 1
    assert set(levels(store)) == {"imported 0", "imported 1", "imported 2"}


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (Asked(level="leval"), "no column 'leval'; did you mean level?"),
        (Asked(rater="who"), "no column 'who'"),
        (Asked(match="page_id"), "no column 'page_id' says which page a row is about"),
        (Asked(column="link"), "no column 'link' says which page"),
    ],
)
def test_columns_that_are_not_there(store: Store, asked: Asked, says: str) -> None:
    path = put(store.root.parent / "x.jsonl", ROWS)
    message = refusal(store, path, asked)
    assert message.startswith(f"{path}: {says}")


def test_a_table_without_any_column_for_the_page(store: Store) -> None:
    path = put(store.root.parent / "x.csv", "link,level\na,1\n")
    assert "no column text, url or page_id says which page a row is about" in refusal(store, path)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("x.json", "{broken", "cannot be read as json"),
        ("x.jsonl", "{broken", "cannot be read as jsonl"),
        ("x.parquet", "PAR1 no", "cannot be read as parquet"),
        ("x.xlsx", "no", "unknown kind of file"),
        ("x.csv", "url,level\n", "holds no pages"),
    ],
)
def test_files_that_are_no_labels(store: Store, name: str, value: str, says: str) -> None:
    path = store.root.parent / name
    path.write_text(value)
    assert says in refusal(store, path)


def test_a_form_may_be_forced(store: Store) -> None:
    path = put(store.root.parent / "x.csv", f"url,level\n{url(0)},1\n")
    assert "is no JSON, so no export of argilla" in refusal(store, path, form="argilla")


def test_how_a_file_was_understood_is_said(store: Store) -> None:
    (found,) = incoming([str(put(store.root.parent / "x.jsonl", ROWS))], STEM, Asked())
    assert found.said == ["table: level from 'level', rater from 'rater', note from 'note', pages by url"]
