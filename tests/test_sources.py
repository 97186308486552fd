import gzip
import json
import os
import shutil
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import BadInput, CurateError
from curate.schema import page_id
from curate.sources import Batch, Shard, Skips, Source, columns_of, read, shards, source_fingerprint, unified

WRITERS = {
    "a.jsonl": lambda data: data,
    "a.ndjson": lambda data: data,
    "a.jsonl.gz": gzip.compress,
    "a.json.gz": lambda data: gzip.compress(data[:50]) + gzip.compress(data[50:]),
    "A.JSONL.GZ": gzip.compress,
    "a.jsonl.zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}
ROWS = [{"text": f"page {n} says ü and 漢字 " * (n % 7 + 1), "url": f"https://h{n}.org/"} for n in range(2500)]


def jsonl(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def put(folder: Path, name: str, rows: list[Any] | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.lower().endswith(".parquet") and not isinstance(rows, bytes):
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=700)
    else:
        path.write_bytes(rows if isinstance(rows, bytes) else jsonl(rows))
    return path


def pages(folder: Path, **given: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
    source, skips = Source(**given), Skips()
    batches = [
        batch
        for shard in shards(source, below=folder)
        for batch in read(source, shard, batch_rows=source.batch_pages, skips=skips)
    ]
    return [batch.page(i) for batch in batches for i in range(len(batch))], skips.counts


def texts(folder: Path, **given: Any) -> list[str]:
    return [page["text"] for page in pages(folder, **given)[0]]


def refusal(folder: Path, **given: Any) -> str:
    with pytest.raises(BadInput) as caught:
        shards(Source(**given), below=folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names(folder: Path, path: str | list[str]) -> list[str]:
    return [Path(shard.path).relative_to(folder).as_posix() for shard in shards(Source(path=path), below=folder)]


@pytest.mark.parametrize("name", [*WRITERS, "a.parquet"])
def test_every_kind_of_file_gives_its_rows_in_order(tmp_path: Path, name: str) -> None:
    put(tmp_path, name, WRITERS[name](jsonl(ROWS)) if name in WRITERS else ROWS)
    found, skipped = pages(tmp_path, path=name, url="url")
    assert [(page["text"], page["url"]) for page in found] == [(row["text"], row["url"]) for row in ROWS]
    assert [page["source"] for page in found] == [f"{name}:{n}" for n in range(len(ROWS))]
    assert (found[7]["host"], found[7]["page_id"]) == ("h7.org", page_id(ROWS[7]["text"]))
    assert skipped == {}


@settings(max_examples=25)
@given(
    written=st.lists(
        st.fixed_dictionaries({"text": st.none() | st.text(), "n": st.integers()}), min_size=1, max_size=9
    ),
    kind=st.sampled_from(["jsonl", "jsonl.gz", "jsonl.zst"]),
    batch_pages=st.integers(1, 4),
)
def test_any_text_survives_any_batch_size(
    tmp_path_factory: pytest.TempPathFactory, written: list[dict[str, Any]], kind: str, batch_pages: int
) -> None:
    folder = tmp_path_factory.mktemp("s")
    put(folder, f"a.{kind}", WRITERS[f"a.{kind}"](jsonl([{"text": "first", "n": 0}, *written])))
    found, skipped = pages(folder, path=f"a.{kind}", batch_pages=batch_pages)
    assert [page["text"] for page in found] == ["first", *(row["text"] or "" for row in written)]
    assert skipped == {}


def test_batches_stand_beside_the_rows_they_came_from(tmp_path: Path) -> None:
    put(tmp_path, "a.parquet", ROWS)
    source = Source(path="a.parquet")
    (shard,) = shards(source, below=tmp_path)
    assert (shard.rows, shard.name) == (2500, "a.parquet")
    batches = list(read(source, shard, batch_rows=999))
    assert max(len(batch) for batch in batches) <= 999
    assert batches[0].first_row == 0
    for batch, after in zip(batches, [*batches[1:], None], strict=True):
        assert batch.table.column("text").to_pylist() == batch.texts()
        assert batch.first_row + batch.table.num_rows == (after.first_row if after else 2500)


def test_columns_are_mapped_and_an_own_id_is_taken(tmp_path: Path) -> None:
    put(
        tmp_path,
        "a.jsonl",
        [{"body": "x", "link": "http://a.org", "tongue": "de", "key": 7}, {"body": "y", "link": ""}],
    )
    found, _ = pages(tmp_path, path="a.jsonl", text="body", url="link", lang="tongue", id="key")
    assert [(p["page_id"], p["text"], p["url"], p["host"], p["lang"]) for p in found] == [
        ("7", "x", "http://a.org", "a.org", "de"),
        (page_id("y"), "y", "", "", ""),
    ]


def test_paths_are_files_folders_and_globs_each_file_once(tmp_path: Path) -> None:
    for name in ("d/b.parquet", "d/a.jsonl", "d/deep/c.jsonl.gz", "e/a.jsonl"):
        data = [{"text": name}]
        put(tmp_path, name, data if name.endswith("parquet") else WRITERS[f"a.{name.split('.', 1)[1]}"](jsonl(data)))
    for hidden in ("d/.b.parquet.tmp", "d/_SUCCESS", "d/README.md", "d/.cache/x.jsonl", "d/_temporary/x.jsonl"):
        put(tmp_path, hidden, b"not data")
    assert names(tmp_path, "d") == ["d/a.jsonl", "d/b.parquet", "d/deep/c.jsonl.gz"]
    assert names(tmp_path, "*/a.jsonl") == ["d/a.jsonl", "e/a.jsonl"]
    shutil.rmtree(tmp_path / "d" / "_temporary")
    assert names(tmp_path, "**/*.jsonl*") == ["d/a.jsonl", "d/deep/c.jsonl.gz", "e/a.jsonl"]
    assert names(tmp_path, ["e/a.jsonl", "d", "*/*.jsonl"]) == ["e/a.jsonl", *names(tmp_path, "d")]
    assert names(tmp_path, str(tmp_path / "d" / "*.parquet")) == ["d/b.parquet"]
    (outside,) = shards(Source(path="../e/a.jsonl"), below=tmp_path / "d")
    assert os.path.samefile(outside.path, tmp_path / "e" / "a.jsonl")


def test_a_path_with_glob_characters_is_found_by_its_name(tmp_path: Path) -> None:
    put(tmp_path, "[x]/a[1].jsonl", [{"text": "x"}])
    assert names(tmp_path, "[x]/a[1].jsonl") == names(tmp_path, "[x]") == ["[x]/a[1].jsonl"]
    assert names(tmp_path / "[x]", "*.jsonl") == ["a[1].jsonl"]


def test_files_of_one_name_have_shard_names_of_their_own_that_move_with_the_project(tmp_path: Path) -> None:
    def shard_names(folder: Path) -> list[str]:
        for name in ("x/a.jsonl", "y/a.jsonl", "y/b.jsonl"):
            put(folder, name, [{"text": name}])
        return [shard.name for shard in shards(Source(path=["x", "y"]), below=folder)]

    first, moved = shard_names(tmp_path / "here"), shard_names(tmp_path / "there")
    assert first == moved
    assert len(set(first)) == 3
    assert [name.endswith("-a.jsonl") for name in first] == [True, True, False]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("none.parquet", "none.parquet: no such file, and no file matches it"),
        ("x*.parquet", "no file matches it"),
        ("empty", "empty: the folder holds no file of a known kind (.parquet, .jsonl"),
        ("a.xlsx", "a.xlsx: unknown kind of file (allowed: .parquet, .jsonl"),
        ("~nosuchuser/a.parquet", "no such file"),
        ("nosuch://bucket/a.parquet", "nosuch://bucket/a.parquet: unknown kind of store nosuch://"),
        ("az://box/a.parquet", "az://box/a.parquet: needs a package that is not here: pip install adlfs"),
        ("broken.parquet", "broken.parquet: cannot be read as parquet"),
        ("zero.parquet", "zero.parquet: cannot be read as parquet (Parquet file size is 0 bytes)"),
        ("text.parquet", "text.parquet: cannot be read as parquet"),
        ("rowless.parquet", "rowless.parquet: holds no pages (0 rows in 1 files)"),
        ("zero.jsonl", "zero.jsonl: holds no pages"),
        ("blank.jsonl", "blank.jsonl: holds no pages"),
        ("zero.jsonl.gz", "zero.jsonl.gz: holds no pages"),
        (["zero.jsonl", "rowless.parquet"], "holds no pages (0 rows in 2 files)"),
        ("csv.jsonl", "csv.jsonl: cannot be read as jsonl (line 1 is not JSON: "),
        ("list.jsonl", "list.jsonl: cannot be read as jsonl (line 2 is not a JSON object (got list))"),
        ("deep.jsonl", "deep.jsonl: cannot be read as jsonl (line 1 is not JSON"),
        ("half.jsonl", "line 2 is not JSON"),
        ("plain.jsonl.gz", "plain.jsonl.gz: cannot be read as jsonl (Not a gzipped file"),
    ],
)
def test_a_source_that_is_none_is_one_line(tmp_path: Path, path: str | list[str], says: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.parquet").symlink_to("nowhere")
    for name, data in {
        "a.xlsx": b"text\nx\n",
        "zero.parquet": b"",
        "text.parquet": b"text\nx\n",
        "zero.jsonl": b"",
        "blank.jsonl": b"\n \n\n",
        "zero.jsonl.gz": gzip.compress(b""),
        "csv.jsonl": b"text,url\n",
        "list.jsonl": b'{"text": "x"}\n["text"]\n',
        "deep.jsonl": b'{"text":' + b"[" * 200_000,
        "half.jsonl": b'{"text": "x"}\n{"text": "y',
        "plain.jsonl.gz": b'{"text": "x"}\n',
    }.items():
        put(tmp_path, name, data)
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "rowless.parquet")
    message = refusal(tmp_path, path=path)
    assert message.startswith("source.path: ")
    assert says in message


def test_a_source_is_given_in_one_way(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "source: give either path or hub (got neither)"
    assert refusal(tmp_path, path=[]) == "source: give either path or hub (got neither)"
    assert refusal(tmp_path, path="a", hub="b") == "source: give either path or hub (got both)"


def test_errors_name_the_key_that_the_source_stands_under(tmp_path: Path) -> None:
    put(tmp_path, "a.parquet", [{"text": "x"}])
    for keys, says in (
        ({"path": "none"}, "filter.source.path: none"),
        ({"path": "a.parquet", "url": "u"}, "filter.source.url"),
    ):
        with pytest.raises(BadInput) as caught:
            shards(Source(**keys), below=tmp_path, key="filter.source")
        assert str(caught.value).startswith(says)


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
@pytest.mark.parametrize("key", ["text", "url", "lang", "id"])
def test_a_missing_column_offers_the_nearest(tmp_path: Path, name: str, key: str) -> None:
    path = put(tmp_path, name, [{"text": "x", "address": "u"}])
    message = refusal(tmp_path, path=name, **{key: "adress"})
    where = "" if name == "a.parquet" else " in its first 1,000 rows"
    assert message == (
        f"source.{key}: {path} has no column 'adress'{where}; did you mean address? (allowed: address, text)"
    )


def test_one_shard_without_the_column_is_enough_to_be_refused(tmp_path: Path) -> None:
    put(tmp_path, "a.parquet", [{"text": "x"}])
    put(tmp_path, "b.parquet", [{"content": "x"}])
    assert "b.parquet has no column 'text'" in refusal(tmp_path, path="*.parquet")


@pytest.mark.parametrize("value", [5, 1.5, True, ["a"], {"a": 1}])
def test_a_text_column_that_holds_no_text_is_refused(tmp_path: Path, value: Any) -> None:
    for name in ("a.parquet", "a.jsonl"):
        put(tmp_path, name, [{"text": value, "body": "x"}])
        message = refusal(tmp_path, path=name)
        assert "column 'text' holds " in message
        assert message.endswith(", not text (allowed: body)")
    put(tmp_path, "b.parquet", [{"text": value}])
    assert refusal(tmp_path, path="b.parquet").endswith("not text (no column holds text)")


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()), pa.binary()]
)
def test_every_way_in_which_arrow_holds_text_is_read(tmp_path: Path, kind: pa.DataType) -> None:
    pq.write_table(pa.table({"text": pa.array(["ä", None, ""]).cast(kind)}), tmp_path / "a.parquet")
    assert texts(tmp_path, path="a.parquet") == ["ä", "", ""]


def test_null_absent_and_odd_texts_lose_no_row(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl", b'{"text": "a"}\n\n{"text": null}\n{"url": "u"}\n{"text": 5}\n{"text": {"b": 1}}\n')
    assert texts(tmp_path, path="a.jsonl") == ["a", "", "", "5", '{"b": 1}']
    put(tmp_path, "n.parquet", [{"text": None}])
    assert texts(tmp_path, path="n.parquet") == [""]


def test_columns_of_mixed_types_lose_no_row(tmp_path: Path) -> None:
    meta: list[Any] = [1, "s", {"a": 1}, {"a": "s"}, [1], None, 10**30, 1.5]
    put(tmp_path, "a.jsonl", [{"text": "x", "meta": value} for value in meta])
    source = Source(path="a.jsonl")
    (batch,) = read(source, shards(source, below=tmp_path)[0])
    kept = batch.table.column("meta").to_pylist()
    assert [v if v is None or v == "s" else json.loads(v) for v in kept] == meta


def test_bytes_that_are_no_utf8_are_replaced_and_counted(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl", b'{"text": "fine"}\n{"text": "a\xff\xfeb"}\n{"text": "\\ud83d half"}\n')
    found, skipped = pages(tmp_path, path="a.jsonl")
    assert [page["text"] for page in found] == ["fine", "a��b", "? half"]
    assert skipped == {"not UTF-8 (bytes replaced)": 1}
    offsets, data = pa.py_buffer(b"\0\0\0\0\3\0\0\0\4\0\0\0"), pa.py_buffer(b"a\xffbc")
    for kind in (pa.string(), pa.binary()):
        pq.write_table(
            pa.table({"text": pa.Array.from_buffers(kind, 2, [None, offsets, data])}), tmp_path / "b.parquet"
        )
        found, skipped = pages(tmp_path, path="b.parquet")
        assert [page["text"] for page in found] == ["a�b", "c"]
        assert skipped == {"not UTF-8 (bytes replaced)": 1}


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl", b"\xef\xbb\xbf" + jsonl([{"text": "x"}]))
    assert texts(tmp_path, path="a.jsonl") == ["x"]


def test_a_page_of_five_megabytes_is_read_whole(tmp_path: Path) -> None:
    long = "wörter und 漢字 " * 300_000
    assert len(long.encode()) > 5_000_000
    for name in ("a.jsonl", "a.parquet"):
        put(tmp_path, name, [{"text": "short"}, {"text": long}, {"text": "last"}])
        assert texts(tmp_path, path=name) == ["short", long, "last"]


def damaged(kind: str) -> bytes:
    data = jsonl(ROWS)
    if kind == "gz cut":
        return gzip.compress(data)[:-2000]
    if kind == "zst cut":
        return pa.compress(jsonl(ROWS * 20), codec="zstd", asbytes=True)[:-2000]
    if kind == "line":
        return data + b"{not json\n"
    packed = bytearray(gzip.compress(os.urandom(40_000).hex().encode(), mtime=0))
    head = gzip.compress(data, mtime=0)
    for place in range(3000, 3100):
        packed[place] ^= 0xFF
    return head + bytes(packed)


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("a.jsonl.gz", "gz cut", "ended before the end-of-stream marker"),
        ("a.jsonl.gz", "gz bits", ""),
        ("a.jsonl.zst", "zst cut", "Truncated compressed stream"),
        ("a.jsonl", "line", "line 2501 is not JSON"),
    ],
)
def test_damage_far_inside_is_one_line_when_it_is_reached(tmp_path: Path, name: str, kind: str, says: str) -> None:
    path = put(tmp_path, name, damaged(kind))
    source = Source(path=name)
    (shard,) = shards(source, below=tmp_path)
    batches: list[Batch] = []
    with pytest.raises(CurateError) as caught:
        batches.extend(read(source, shard))
    read_rows = sum(len(batch) for batch in batches)
    message = str(caught.value)
    assert message.startswith(f"{path}: cannot be read after row {read_rows} (")
    assert says in message
    assert message.endswith("; repair or leave out the file, or set source.on_error=skip")
    assert caught.value.exit_code == 1
    assert "\n" not in message
    assert read_rows >= 1000


def test_flipped_bits_in_gzip_are_damage_not_a_bug(tmp_path: Path) -> None:
    packed = bytearray(zlib.compress(jsonl(ROWS), 9, wbits=31))
    for place in range(15, len(packed), len(packed) // 40):
        packed[place] ^= 0x55
        put(tmp_path, "a.jsonl.gz", bytes(packed))
        packed[place] ^= 0x55
        with pytest.raises(CurateError, match="cannot be read"):
            pages(tmp_path, path="a.jsonl.gz")


def test_truncated_parquet_is_refused_at_once_and_a_damaged_page_when_it_is_read(tmp_path: Path) -> None:
    path = put(tmp_path, "a.parquet", ROWS)
    whole = path.read_bytes()
    for cut in (1, 8, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:-cut])
        assert f"source.path: {path}: cannot be read as parquet (" in refusal(tmp_path, path="a.parquet")
    path.write_bytes(whole[:4] + bytes(60) + whole[64:])
    source = Source(path="a.parquet")
    (shard,) = shards(source, below=tmp_path)
    with pytest.raises(CurateError, match=r"a\.parquet: cannot be read after row 0"):
        list(read(source, shard))


def test_the_fingerprint_is_of_the_content_and_the_columns_not_of_the_place(tmp_path: Path) -> None:
    def mark(folder: Path, rows: list[Any], **given: Any) -> str:
        put(folder, "a.jsonl", rows)
        source = Source(path=str(folder / "a.jsonl"), **given)
        return source_fingerprint(source, shards(source, below=tmp_path))

    rows = [{"text": "x", "url": "u"}]
    first = mark(tmp_path / "here", rows)
    assert first == mark(tmp_path / "there", rows) == mark(tmp_path / "here", rows, batch_pages=7)
    others = [mark(tmp_path / "here", [*rows, *rows]), mark(tmp_path / "here", [{"text": "y", "url": "u"}])]
    others.append(mark(tmp_path / "here", rows, url="url"))
    assert len({first, *others}) == 4


def test_a_large_file_is_known_by_its_size_its_begin_and_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with open(path, "wb") as file:
        file.truncate(70 << 20)
    shard = Shard("a.jsonl", str(path), "jsonl", None, 70 << 20)

    def mark_with(place: int) -> str:
        with open(path, "r+b") as file:
            file.seek(place)
            file.write(b"x")
        return source_fingerprint(Source(path="a.jsonl"), [shard])

    marks = [mark_with(35 << 20), mark_with(5), mark_with((70 << 20) - 1)]
    assert len(set(marks)) == 3


def test_a_folder_is_read_as_a_hub_data_set(tmp_path: Path) -> None:
    put(tmp_path, "set/train.jsonl", ROWS)
    source = Source(hub="set", url="url")
    (shard,) = shards(source, below=tmp_path)
    assert (shard.name, shard.format, shard.rows) == ("set", "hub", None)
    assert columns_of(source, shard) == ["text", "url"]
    found, _ = pages(tmp_path, hub="set", url="url")
    assert [(page["text"], page["url"]) for page in found] == [(row["text"], row["url"]) for row in ROWS]
    before = source_fingerprint(source, [shard])
    put(tmp_path, "set/train.jsonl", ROWS[1:])
    assert source_fingerprint(source, [shard]) != before


def test_a_hub_data_set_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    put(tmp_path, "set/train.jsonl", [{"text": "x"}])
    assert refusal(tmp_path, hub="empty").startswith("source.hub: empty: cannot be opened (")
    assert refusal(tmp_path, hub="no/such-set").startswith("source.hub: no/such-set: cannot be opened (")
    assert "Bad split: nope" in refusal(tmp_path, hub="set", split="nope")
    message = refusal(tmp_path, hub="set", text="txt")
    assert message.startswith(f"source.text: {tmp_path}/set has no column 'txt'")


def test_a_hub_name_makes_a_plain_file_name(tmp_path: Path) -> None:
    put(tmp_path, "org/set/a.jsonl", [{"text": "x"}])
    for hub in ("org/set", "./org/set", str(tmp_path / "org" / "set")):
        (shard,) = shards(Source(hub=hub), below=tmp_path)
        assert "/" not in shard.name
        assert shard.name.endswith("org--set")
        assert not shard.name.startswith((".", "-"))


def test_real_web_text_is_read_whole(tmp_path: Path, shared_data: Path) -> None:
    shutil.copy(shared_data / "dclm_human.parquet", tmp_path)
    (path,) = tmp_path.iterdir()
    wanted = pq.read_table(path)
    found = texts(tmp_path, path=path.name, text="text")
    assert found == wanted.column("text").to_pylist()
    assert len(found) == 317


def test_a_shard_that_cannot_be_read_is_left_out_and_told(tmp_path: Path) -> None:
    whole = put(tmp_path, "a.parquet", ROWS).read_bytes()
    put(tmp_path, "b.parquet", whole[:-100])
    put(tmp_path, "c.jsonl", jsonl(ROWS[:5]) + b"{cut")
    put(tmp_path, "d.parquet", whole[:4] + bytes(60) + whole[64:])
    with pytest.raises(BadInput, match=r"b\.parquet: cannot be read as parquet"):
        shards(Source(path="*.*"), below=tmp_path)
    source, skips = Source(path="*.*", on_error="skip"), Skips()
    found = shards(source, below=tmp_path)
    assert [shard.rows for shard in found] == [2500, None, None, 2500]
    assert [columns_of(source, shard) for shard in found] == [["text", "url"], [], [], ["text", "url"]]
    rows = [len(batch) for shard in found for batch in read(source, shard, skips=skips)]
    assert sum(rows) == 2505
    assert skips.counts == {"rows of an unreadable shard": 2500}
    assert list(skips.shards) == ["b.parquet", "c.jsonl", "d.parquet"]
    assert skips.shards["c.jsonl"].startswith("cannot be read after row 5 (line 6 is not JSON")


def test_a_source_of_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "b.parquet", b"PAR1")
    message = refusal(tmp_path, path="b.parquet", on_error="skip")
    assert message == "source.path: b.parquet: holds no pages (0 rows in 1 files, of which 1 cannot be read)"


def test_a_missing_column_is_refused_even_where_damage_is_skipped(tmp_path: Path) -> None:
    put(tmp_path, "a.parquet", [{"content": "x"}])
    assert "has no column 'text'" in refusal(tmp_path, path="a.parquet", on_error="skip")


def test_text_title_and_language_are_taken_from_html(tmp_path: Path) -> None:
    page = "<html lang='de'><head><title>Ein Titel</title></head><body><p>Schöner Text, der bleibt.</p></body></html>"
    for kind, value in ((pa.string(), page), (pa.binary(), page.encode())):
        table = pa.table({"raw": pa.array([value, None], kind), "n": [1, 2], "head": ["own", None]})
        pq.write_table(table, tmp_path / "a.parquet")
        found, skipped = pages(tmp_path, path="a.parquet", html="raw")
        assert [(p["text"], p["title"], p["lang"]) for p in found] == [
            ("Schöner Text, der bleibt.", "Ein Titel", "de"),
            ("", "", ""),
        ]
        assert skipped == {}
        mapped, _ = pages(tmp_path, path="a.parquet", html="raw", title="head")
        assert [p["title"] for p in mapped] == ["own", ""]
    source = Source(path="a.parquet", html="raw")
    (shard,) = shards(source, below=tmp_path)
    (batch,) = read(source, shard, columns=["text", "n"])
    assert batch.texts()[0] == "Schöner Text, der bleibt."
    assert batch.extras([0]).to_pydict() == {"n": [1]}
    assert "source.html" in refusal(tmp_path, path="a.parquet", html="n")
    assert "has no column 'none'" in refusal(tmp_path, path="a.parquet", html="none")


RECORD = (
    b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://w.org/%d\r\nWARC-Date: 2026-01-02T00:00:00Z\r\n"
    b"WARC-Record-ID: <urn:uuid:%d>\r\nContent-Type: application/http; msgtype=response\r\n"
    b"Content-Length: %d\r\n\r\n%s\r\n\r\n"
)


def warc(*pages: tuple[int, str]) -> bytes:
    made = []
    for number, (status, text) in enumerate(pages):
        html = f"<html><title>T{number}</title><body><p>{text}</p></body></html>".encode()
        body = b"HTTP/1.1 %d X\r\nContent-Type: text/html; charset=utf-8\r\n\r\n%s" % (status, html)
        made.append(gzip.compress(RECORD % (number, number, len(body), body)))
    return b"".join(made)


def test_a_folder_of_mixed_shards_is_one_source(tmp_path: Path) -> None:
    put(tmp_path, "d/w.warc.gz", warc((200, "From the crawl."), (404, "gone"), (200, "Second page.")))
    put(tmp_path, "d/a.parquet", [{"body": "p", "link": "http://p.org", "n": 1}])
    put(tmp_path, "d/b.jsonl.gz", gzip.compress(jsonl([{"body": "j", "link": None, "n": "many"}])))
    put(tmp_path, "d/c.csv", b"body,link,n\nc,http://c.org,2.5\n")
    put(tmp_path, "d/README.txt", b"notes")
    with pa.ipc.new_file(tmp_path / "d/e.arrow", pa.schema([("body", pa.string()), ("link", pa.string())])) as writer:
        writer.write_table(pa.table({"body": ["e"], "link": ["http://e.org"]}))
    source, skips = Source(path="d", text="body", url="link"), Skips()
    batches = [b for shard in shards(source, below=tmp_path) for b in read(source, shard, skips=skips)]
    found = [batch.page(i) for batch in batches for i in range(len(batch))]
    assert [(p["text"], p["url"], p["source"]) for p in found] == [
        ("p", "http://p.org", "a.parquet:0"),
        ("j", "", "b.jsonl.gz:0"),
        ("c", "http://c.org", "c.csv:0"),
        ("e", "http://e.org", "e.arrow:0"),
        ("From the crawl.", "https://w.org/0", "w.warc.gz:0"),
        ("Second page.", "https://w.org/2", "w.warc.gz:1"),
    ]
    assert found[5]["title"] == "T2"
    assert sum(skips.counts.values()) == 1
    extras = unified([batch.extras(range(len(batch))) for batch in batches])
    assert extras.column("n").to_pylist() == ["1", "many", "2.5", None, None, None]
    assert extras.column("status").to_pylist() == [None] * 4 + [200, 200]


def test_columns_may_be_named_as_ours_in_every_kind_of_shard(tmp_path: Path) -> None:
    put(tmp_path, "d/w.warc.gz", warc((200, "From the crawl.")))
    put(tmp_path, "d/a.parquet", [{"body": "p", "link": "http://p.org", "n": 1}])
    source = Source(path="d", text="body", url="link")
    for wanted in (["text"], ["body"]):
        batches = [b for shard in shards(source, below=tmp_path) for b in read(source, shard, columns=wanted)]
        assert [batch.texts() for batch in batches] == [["p"], ["From the crawl."]]
        assert [batch.url.to_pylist() for batch in batches] == [[""], [""]]
        assert [batch.table.column_names for batch in batches] == [["body"], ["text"]]


def test_numbers_in_the_text_are_taken_and_counted(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl", jsonl([{"text": "x"}] * 1000 + [{"text": 5}] * 1000))
    source, skips = Source(path="a.jsonl"), Skips()
    (shard,) = shards(source, below=tmp_path)
    found = [text for batch in read(source, shard, batch_rows=10, skips=skips) for text in batch.texts()]
    assert found == ["x"] * 1000 + ["5"] * 1000


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array(["x"])] * 2, names=["text", "text"]), tmp_path / "a.parquet")
    assert refusal(tmp_path, path="a.parquet").endswith("a.parquet has 2 columns 'text'")


def test_the_fingerprint_does_not_ask_how_damage_is_met(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl", [{"text": "x"}])
    marks = {
        source_fingerprint(source, shards(source, below=tmp_path))
        for source in (Source(path="a.jsonl"), Source(path="a.jsonl", on_error="skip"))
    }
    assert len(marks) == 1


def test_what_is_met_after_the_last_page_is_counted_too(tmp_path: Path) -> None:
    put(tmp_path, "w.warc.gz", warc((200, "A page."), (500, "no"), (404, "no")))
    _, skipped = pages(tmp_path, path="w.warc.gz")
    assert sum(skipped.values()) == 2


def test_leaving_a_shard_early_leaves_no_thread_behind(tmp_path: Path) -> None:
    put(tmp_path, "a.parquet", ROWS)
    source = Source(path="a.parquet")
    (shard,) = shards(source, below=tmp_path)
    for _ in range(20):
        assert len(next(read(source, shard, batch_rows=10))) == 10
    deadline = time.monotonic() + 5
    while any(thread.name == "read-ahead" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
