import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.sources import formats
from curate.sources.files import File
from curate.sources.formats import MOST_ROWS, Want, data_among, format_of, parts, schema_of, shard_of


def shard(path: Path) -> Any:
    kind = format_of(path.name)
    assert kind is not None
    return shard_of(File(str(path), path.stat().st_size), path.name, kind)


def tables(path: Path, **given: Any) -> list[pa.Table]:
    return [table for part in parts(shard(path), Want(**given)) for table in part.tables(lambda *_: None)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.parquet", "parquet"),
        ("A.JSONL.GZ", "jsonl"),
        ("a.json", "json"),
        ("CC-MAIN-1.warc.gz", "warc"),
        ("CC-MAIN-1.warc.wet.gz", "wet"),
        ("a.tsv.zst", "tsv"),
        ("a.arrow", "arrow"),
        ("a.txt.gz", "txt"),
        ("a.xlsx", None),
        ("parquet", None),
    ],
)
def test_the_longest_ending_tells_the_format(name: str, kind: str | None) -> None:
    assert format_of(name) == kind


def test_notes_beside_data_are_no_data() -> None:
    assert data_among(["a.parquet", "README.txt", "state.json", "x.md"]) == {"a.parquet"}
    assert data_among(["a.txt", "b.json", "x.md"]) == {"a.txt", "b.json"}


def test_small_row_groups_are_read_together_and_rows_stay_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [str(n) for n in range(5000)], "n": range(5000)}), path, row_group_size=7)
    (only,) = parts(shard(path), Want())
    assert only.first == 0
    found = tables(path)
    assert pa.concat_tables(found).column("n").to_pylist() == list(range(5000))
    assert max(table.num_rows for table in tables(path, rows=100)) <= 100


def test_batches_of_large_rows_are_few_rows_and_parts_know_their_first_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = [f"{n:07d}" * 20_000 for n in range(900)]
    pq.write_table(pa.table({"text": texts}), path, row_group_size=300, use_dictionary=False)
    found = parts(shard(path), Want())
    assert [part.first for part in found] == [0, 300, 600]
    sizes = [table.nbytes for part in found for table in part.tables(lambda *_: None)]
    assert max(sizes) < 2 * formats.BATCH_BYTES
    assert len(sizes) > 9


def test_text_that_repeats_does_not_make_huge_batches(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["the same " * 100] * 50_000}), path)
    found = tables(path)
    assert sum(table.num_rows for table in found) == 50_000
    assert max(table.num_rows for table in found) <= MOST_ROWS


def test_only_the_columns_asked_for_are_read_and_absent_ones_are_left_out(tmp_path: Path) -> None:
    rows = {"text": ["a", "b"], "n": [1, 2]}
    pq.write_table(pa.table(rows), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text('{"text": "a", "n": 1}\n{"text": "b", "n": 2}\n')
    for name in ("a.parquet", "a.jsonl"):
        (found,) = tables(tmp_path / name, columns=["n", "nope"])
        assert found.to_pydict() == {"n": [1, 2]}
    (none,) = tables(tmp_path / "a.parquet", columns=["nope"])
    assert (none.num_rows, none.column_names) == (2, [])


@pytest.mark.parametrize("stream", [True, False])
def test_arrow_files_and_streams_are_read_in_pieces(tmp_path: Path, stream: bool) -> None:
    table = pa.table({"text": [str(n) for n in range(1000)]})
    path = tmp_path / "a.arrow"
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with make(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=400)
    found = tables(path, rows=150)
    assert pa.concat_tables(found).column("text").to_pylist() == table.column("text").to_pylist()
    assert max(each.num_rows for each in found) <= 150
    assert schema_of(shard(path), Want(), rows=1000).names == ["text"]


def test_a_text_file_is_one_page(tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"\xef\xbb\xbfone\n\ntwo\n"))
    (found,) = tables(tmp_path / "a.txt.gz")
    assert found.to_pylist() == [{"text": b"one\n\ntwo\n", "file": "a.txt.gz"}]
    assert shard(tmp_path / "a.txt.gz").rows == 1


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz", "a.csv.zst"])
def test_csv_is_read_packed_or_not(tmp_path: Path, name: str) -> None:
    data = b"text,n\nx,1\n".replace(b",", b"\t" if "tsv" in name else b",")
    packed = gzip.compress(data) if name.endswith("gz") else data
    packed = pa.compress(data, codec="zstd", asbytes=True) if name.endswith("zst") else packed
    (tmp_path / name).write_bytes(packed)
    (found,) = tables(tmp_path / name)
    assert found.to_pylist() == [{"text": "x", "n": 1}]


WET = (
    b"WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: https://%s.org/\r\nWARC-Date: 2026-01-02T00:00:00Z\r\n"
    b"WARC-Record-ID: <urn:uuid:%s>\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n"
)


def test_records_of_a_wet_file_are_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.wet.gz"
    pages = [(b"a", b"first page"), (b"b", "zweite für alle".encode())]
    path.write_bytes(b"".join(gzip.compress(WET % (host, host, len(text), text)) for host, text in pages))
    (found,) = tables(path)
    assert found.column("text").to_pylist() == ["first page", "zweite für alle"]
    assert found.column("url").to_pylist() == ["https://a.org/", "https://b.org/"]
    assert found.schema == schema_of(shard(path), Want(), rows=1000)


def test_an_empty_file_has_no_columns(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.csv", "a.warc", "a.arrow"):
        (tmp_path / name).write_bytes(b"")
        assert shard(tmp_path / name).rows == 0
        assert schema_of(shard(tmp_path / name), Want(), rows=1000).names == []
