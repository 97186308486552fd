"""The rows of one file as Arrow tables, by format, in blocks of bounded size."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.sources.batches import Format, Shard
from curate.sources.columns import Count, column_of, fields_of
from curate.sources.files import File, open_file, opened, unpacked
from curate.sources.lines import csv_tables, json_list, json_tables
from curate.sources.remote import is_remote, said

SUFFIXES: dict[str, Format] = {
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonl.gz": "jsonl",
    ".jsonl.zst": "jsonl",
    ".ndjson.gz": "jsonl",
    ".ndjson.zst": "jsonl",
    ".json.gz": "json",
    ".json.zst": "json",
    ".json": "json",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".csv.zst": "csv",
    ".tsv": "tsv",
    ".tsv.gz": "tsv",
    ".tsv.zst": "tsv",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".warc.wet.gz": "wet",
    ".warc": "warc",
    ".warc.gz": "warc",
    ".wet": "wet",
    ".wet.gz": "wet",
    ".txt": "txt",
    ".txt.gz": "txt",
}
LOOSE = (".json", ".txt", ".txt.gz")
"""Kinds that also hold notes about data: in a folder they are taken only where it holds no other kind."""
WEB = ("url", "date", "record_id", "content_type", "status", "title", "lang", "text")
"""Columns of WARC and WET shards."""
BATCH_BYTES = 4 << 20
"""About what a batch holds: larger ones leave the processor's caches and are slower."""
PART_BYTES = 32 << 20
"""Small row groups are read together up to this."""
MOST_ROWS = 8192
"""Rows of a batch with columns of any length, whatever the footer promises: text that repeats unpacks to more."""
MOST_NUMBERS = 1 << 17
"""Rows of a batch whose columns are all of fixed width."""
AT_ONCE = 64 << 20
"""Packed bytes of a remote row group up to which it is fetched at once; a larger one is read through a window."""
WINDOW_LOCAL, WINDOW_REMOTE = 1 << 20, 8 << 20
"""Bytes of each column that are read together. Here that is faster than to fetch a row group at once, and holds less."""
WEB_ROWS, WEB_BYTES = 1000, 8 << 20
"""What a batch of WARC records holds at most."""


@dataclass(frozen=True)
class Want:
    """What is to be read of a shard."""

    columns: Sequence[str] | None = None
    """Those of these that it has; None: all."""
    rows: int | None = None
    """Rows a batch at most; None: by bytes."""
    as_text: Sequence[str] = ()
    """Columns that stay text where a format would guess a type."""
    config: str = ""
    """Of a hub data set."""
    split: str = "train"
    """Of a hub data set."""


@dataclass(frozen=True)
class Part:
    """Rows of a shard that can be read on their own."""

    first: int
    tables: Callable[[Count], Iterator[pa.Table]]


def format_of(name: str) -> Format | None:
    """The format by a file's name, whatever its case; the longest known ending counts."""
    lower = name.lower()
    found = [suffix for suffix in SUFFIXES if lower.endswith(suffix)]
    return SUFFIXES[max(found, key=len)] if found else None


def data_among(names: Sequence[str]) -> set[str]:
    """Of the files of a folder, those that hold data."""
    known = {name for name in names if format_of(name)}
    return {name for name in known if not name.lower().endswith(LOOSE)} or known


def shard_of(file: File, name: str, kind: Format) -> Shard:
    """The shard that a file is. Raises what `columns.DAMAGE` names when its footer cannot be read."""
    rows: int | None = None
    if kind == "parquet":
        rows = _footer(file.path, file.identity).num_rows
    elif kind == "txt":
        rows = 1
    elif not file.bytes and not is_remote(file.path):
        rows = 0
    return Shard(name, file.path, kind, rows, file.bytes, file.identity)


def schema_of(shard: Shard, want: Want, *, rows: int) -> pa.Schema:
    """The columns of a shard; where no footer says, those of its first `rows` rows."""
    if shard.format == "parquet":
        return _footer(shard.path, shard.identity).schema.to_arrow_schema().remove_metadata()
    if shard.format in ("warc", "wet"):
        with opened(shard.path) as file:
            return pa.schema(
                [(name, pa.int32() if name == "status" else pa.string()) for name in WEB] if file.read(1) else []
            )
    schemas, seen = [], 0
    (part,) = parts(shard, Want(rows=rows, as_text=want.as_text, config=want.config, split=want.split))
    for table in part.tables(lambda *_: None):
        schemas.append(table.schema)
        seen += table.num_rows
        if seen >= rows:
            break
    return fields_of(schemas).remove_metadata() if len(schemas) != 1 else schemas[0].remove_metadata()


def parts(shard: Shard, want: Want) -> list[Part]:
    """A shard's rows, in parts that follow one another."""
    if shard.format == "parquet":
        return _parquet(shard, want)
    read = {
        "arrow": _arrow,
        "jsonl": _jsonl,
        "json": _jsonl,
        "csv": _csv,
        "tsv": _csv,
        "txt": _txt,
        "warc": _web,
        "wet": _web,
        "hub": _hub,
    }[shard.format]

    def tables(count: Count) -> Iterator[pa.Table]:
        for table in read(shard, want, count):
            yield from _pieces(_chosen(table, want), want.rows)

    return [Part(0, tables)]


def _chosen(table: pa.Table, want: Want) -> pa.Table:
    if want.columns is None:
        return table
    return table.select([name for name in table.column_names if name in want.columns])


def _pieces(table: pa.Table, rows: int | None) -> Iterator[pa.Table]:
    """A table in batches of `rows`, or of about BATCH_BYTES."""
    each = rows or _rows_for(table.nbytes, table.num_rows)
    for first in range(0, table.num_rows, each):
        yield table.slice(first, each)


def _rows_for(size: int, rows: int, most: int = MOST_ROWS) -> int:
    return min(most, max(1, BATCH_BYTES * rows // max(size, 1)))


def _footer(path: str, identity: str) -> Any:
    """A Parquet file's metadata; of a remote one, the same until the store says that it is another file."""
    return _remote_footer(path, identity) if is_remote(path) and identity else _read_footer(path)


@lru_cache(maxsize=1024)
def _remote_footer(path: str, identity: str) -> Any:
    return _read_footer(path)


def _read_footer(path: str) -> Any:
    with open_file(path) as file:
        return pq.read_metadata(file)


def _parquet(shard: Shard, want: Want) -> list[Part]:
    """Runs of row groups of about a batch, each read on its own."""
    footer = _footer(shard.path, shard.identity)
    names = footer.schema.to_arrow_schema().names
    columns = None if want.columns is None else [name for name in names if name in want.columns]
    groups = _groups(footer, columns)
    most = MOST_ROWS if columns is None or not _fixed(footer, columns) else MOST_NUMBERS
    firsts = [0, *accumulate(group.rows for group in groups)]
    runs: list[list[int]] = []
    for place, group in enumerate(groups):
        if runs and sum(groups[i].bytes for i in runs[-1]) + group.bytes <= PART_BYTES:
            runs[-1].append(place)
        else:
            runs.append([place])

    def part(run: list[int]) -> Part:
        at_once = is_remote(shard.path) and max(groups[i].packed for i in run) <= AT_ONCE
        rows = want.rows or min(_rows_for(groups[i].bytes, groups[i].rows, most) for i in run)
        return Part(
            firsts[run[0]], lambda _: _row_groups(shard.path, footer, run, columns, rows, at_once, len(runs) == 1)
        )

    return [part(run) for run in runs]


@dataclass(frozen=True)
class _Group:
    rows: int
    bytes: int
    packed: int


def _groups(footer: Any, columns: Sequence[str] | None) -> list[_Group]:
    """Rows and bytes of the chosen columns, unpacked and packed, of each row group."""
    paths = [footer.schema.column(i).path.split(".")[0] for i in range(len(footer.schema))]
    chosen = [i for i, name in enumerate(paths) if columns is None or name in columns]
    found = []
    for place in range(footer.num_row_groups):
        group = footer.row_group(place)
        each = [group.column(i) for i in chosen]
        size, packed = sum(c.total_uncompressed_size for c in each), sum(c.total_compressed_size for c in each)
        found.append(_Group(group.num_rows, size, packed))
    return found


def _fixed(footer: Any, columns: Sequence[str]) -> bool:
    schema = footer.schema.to_arrow_schema()
    return all(pa.types.is_primitive(schema.field(name).type) for name in columns)


def _row_groups(
    path: str, footer: Any, run: list[int], columns: Sequence[str] | None, rows: int, at_once: bool, alone: bool
) -> Iterator[pa.Table]:
    """Where other parts are read beside it, a part takes one thread."""
    window = 0 if at_once else WINDOW_REMOTE if is_remote(path) else WINDOW_LOCAL
    with (
        open_file(path) as raw,
        pq.ParquetFile(raw, metadata=footer, pre_buffer=at_once, buffer_size=window) as file,
    ):
        for batch in file.iter_batches(batch_size=rows, row_groups=run, columns=columns, use_threads=alone):
            if batch.num_rows:
                yield pa.Table.from_batches([batch.replace_schema_metadata(None)])


def _arrow(shard: Shard, want: Want, count: Count) -> Iterator[pa.Table]:
    """Arrow IPC, as a file or as a stream."""
    raw = open_file(shard.path) if is_remote(shard.path) else pa.memory_map(shard.path)
    with raw as file:
        head = file.read(6)
        file.seek(0)
        if head == b"ARROW1":
            with pa.ipc.open_file(file) as reader:
                for place in range(reader.num_record_batches):
                    yield pa.Table.from_batches([reader.get_batch(place)]).replace_schema_metadata(None)
        elif head:
            with pa.ipc.open_stream(file) as stream:
                for batch in stream:
                    yield pa.Table.from_batches([batch.replace_schema_metadata(None)])


def _jsonl(shard: Shard, want: Want, count: Count) -> Iterator[pa.Table]:
    with unpacked(shard.path) as file:
        if shard.format == "json" and (found := json_list(file, count)) is not None:
            yield from found
            return
    with unpacked(shard.path) as file:
        yield from json_tables(file, count, rows=want.rows)


def _csv(shard: Shard, want: Want, count: Count) -> Iterator[pa.Table]:
    with unpacked(shard.path) as file:
        yield from csv_tables(file, "\t" if shard.format == "tsv" else ",", as_text=want.as_text)


def _txt(shard: Shard, want: Want, count: Count) -> Iterator[pa.Table]:
    """One page a file."""
    with unpacked(shard.path) as file:
        text = pa.array([file.read().removeprefix(b"\xef\xbb\xbf")], pa.binary())
    yield pa.table({"text": text, "file": [shard.name]})


def _web(shard: Shard, want: Want, count: Count) -> Iterator[pa.Table]:
    from curate.sources.warc import records

    rows: list[dict[str, Any]] = []
    size = 0
    with opened(shard.path) as file:
        for record in records(file, count=count):
            rows.append(record)
            size += len(record["text"] or "")
            if len(rows) >= WEB_ROWS or size >= WEB_BYTES:
                yield _web_table(rows)
                rows, size = [], 0
    if rows:
        yield _web_table(rows)


def _web_table(rows: list[dict[str, Any]]) -> pa.Table:
    kinds = {"status": pa.int32()}
    columns = {name: column_of([row.get(name) for row in rows], kinds.get(name, pa.string())) for name in WEB}
    return pa.table(columns)


def _hub(shard: Shard, want: Want, count: Count) -> Iterator[pa.Table]:
    import datasets

    try:
        stream = datasets.load_dataset(shard.path, want.config or None, split=want.split, streaming=True)
        for table in stream.with_format("arrow").iter(batch_size=want.rows or 1000):
            yield table.replace_schema_metadata(None)
    except Exception as error:  # the library raises its own, fsspec's and the hub client's errors alike
        raise ValueError(said(error)) from error
