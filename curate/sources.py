"""Pages from outside: Parquet and JSONL files, and hub data sets through `datasets`, streamed with bounded memory."""

import glob
import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from curate.errors import BadInput, CurateError, did_you_mean
from curate.schema import fingerprint, host_of, page_id

SUFFIXES = {
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonl.gz": "jsonl",
    ".jsonl.zst": "jsonl",
    ".json.gz": "jsonl",
}


class Source(BaseModel):
    """Where pages come from and which of their columns are what."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str | list[str] = ""
    """Files, folders or globs of Parquet or JSONL (`.gz`, `.zst`) shards; relative to the pipeline file."""
    hub: str = ""
    """Instead of `path`: a data set's hub name, or a folder that the `datasets` library reads."""
    config: str = ""
    """Configuration of the hub data set."""
    split: str = "train"
    """Split of the hub data set."""
    text: str = "text"
    """Column of the page's text."""
    url: str = ""
    """Column of its URL; empty: none."""
    lang: str = ""
    """Column of its language code; empty: none."""
    id: str = ""
    """Column of its own id; empty: the id is the hash of the text."""
    batch_pages: int = Field(1000, gt=0)
    """Pages read at once."""


@dataclass(frozen=True)
class Shard:
    """One file of a source (or a whole hub data set). `name` is unique in the source and is used for output files."""

    name: str
    path: str
    format: Literal["parquet", "jsonl", "hub"]
    rows: int | None
    bytes: int


@dataclass
class Skips:
    """Pages that were read but could not be used, by reason."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, reason: str, amount: int = 1) -> None:
        """Count `amount` more pages under `reason`."""
        if amount:
            self.counts[reason] = self.counts.get(reason, 0) + amount


@dataclass(frozen=True)
class Batch:
    """Pages of one shard, beside the rows they came from. Lists have one entry a row; `text` is "" where there is none."""

    shard: Shard
    first_row: int
    page_id: list[str]
    url: list[str]
    lang: list[str]
    text: list[str]
    table: pa.Table

    def page(self, i: int) -> dict[str, Any]:
        """Row `i` as a row of the `pages` table, without group and split."""
        return {
            "page_id": self.page_id[i],
            "url": self.url[i],
            "host": host_of(self.url[i]),
            "text": self.text[i],
            "lang": self.lang[i],
            "source": f"{self.shard.name}:{self.first_row + i}",
        }


def shards(source: Source, *, below: Path) -> list[Shard]:
    """The source's shards in name order, checked: they exist, have the named columns, and hold rows.

    Raises BadInput for a path that matches nothing, an unknown format, a missing column or an empty source.
    """
    if bool(source.path) == bool(source.hub):
        raise BadInput("source: give either path or hub (got " + ("both" if source.path else "neither") + ")")
    found = [_hub_shard(source)] if source.hub else _file_shards(source, below)
    for shard in found:
        check_columns(source, shard)
    if all(shard.rows == 0 for shard in found):
        raise BadInput(f"source.path: {source.path}: holds no pages (0 rows in {len(found)} files)")
    return found


def source_fingerprint(source: Source, found: list[Shard]) -> str:
    """The name of a source's content: settings, and for each file its size and a hash of its bytes.

    Files over 64 MiB are known by their size and their first and last MiB.
    """
    return fingerprint(source.model_dump(exclude={"path", "batch_pages"}), [_content(shard) for shard in found])


def read(source: Source, shard: Shard, *, skips: Skips | None = None) -> Iterator[Batch]:
    """A shard's rows in batches, in order. Bytes that are not UTF-8 are replaced and counted in `skips`.

    Raises CurateError when the file is damaged.
    """
    first = 0
    try:
        for table in _tables(source, shard):
            yield _batch(source, shard, first, table, skips or Skips())
            first += table.num_rows
    except (pa.ArrowException, OSError, EOFError, ValueError) as error:
        raise CurateError(
            f"{shard.path}: cannot be read after row {first} ({_short(error)}); repair or leave out the file"
        ) from error


def columns_of(source: Source, shard: Shard) -> list[str]:
    """The shard's column names (of a hub data set: of its first row)."""
    if shard.format == "parquet":
        return list(pq.read_schema(shard.path).names)
    first = next(_tables(source, shard, rows=100), None)
    return list(first.column_names) if first is not None else []


def check_columns(source: Source, shard: Shard) -> None:
    """Raises BadInput when a column that the source names is not in the shard."""
    try:
        names = columns_of(source, shard)
    except (pa.ArrowException, OSError, EOFError, ValueError) as error:
        raise BadInput(f"source.path: {shard.path}: cannot be read as {shard.format} ({_short(error)})") from error
    for key in ("text", "url", "lang", "id"):
        wanted = getattr(source, key)
        if wanted and names and wanted not in names:
            raise BadInput(f"source.{key}: {shard.path} has no column {wanted!r}{did_you_mean(wanted, names)}")


def _file_shards(source: Source, below: Path) -> list[Shard]:
    patterns = [source.path] if isinstance(source.path, str) else source.path
    paths = [path for pattern in patterns for path in _expand(pattern, below)]
    names = _unique_names(paths)
    return [_file_shard(path, name) for path, name in zip(paths, names, strict=True)]


def _expand(pattern: str, below: Path) -> list[Path]:
    whole = str((below / Path(pattern).expanduser()).absolute()) if "://" not in pattern else pattern
    if "://" in whole:
        raise BadInput(f"source.path: {pattern}: remote paths are not read yet; copy the shards here or use source.hub")
    if Path(whole).is_dir():
        found = sorted(p for p in Path(whole).rglob("*") if _format(p) and not p.name.startswith((".", "_")))
    else:
        found = sorted(Path(p) for p in glob.glob(whole, recursive=True))
    if not found:
        raise BadInput(f"source.path: {pattern}: no such file, and no file matches it (looked for {whole})")
    return found


def _format(path: Path) -> str:
    return next((kind for suffix, kind in SUFFIXES.items() if path.name.lower().endswith(suffix)), "")


def _file_shard(path: Path, name: str) -> Shard:
    kind = _format(path)
    if kind not in ("parquet", "jsonl"):
        raise BadInput(f"source.path: {path}: unknown kind of file (allowed: {', '.join(SUFFIXES)})")
    size = path.stat().st_size
    if kind == "jsonl":
        return Shard(name, str(path), "jsonl", 0 if size == 0 else None, size)
    try:
        return Shard(name, str(path), "parquet", pq.read_metadata(path).num_rows, size)
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"source.path: {path}: is not a Parquet file ({_short(error)})") from error


def _unique_names(paths: list[Path]) -> list[str]:
    """File names; where two files share one, the hash of the folder is put before it."""
    names = [path.name for path in paths]
    return [
        name if names.count(name) == 1 else f"{hashlib.sha256(str(path.parent).encode()).hexdigest()[:8]}-{name}"
        for path, name in zip(paths, names, strict=True)
    ]


def _hub_shard(source: Source) -> Shard:
    return Shard(source.hub.strip("/").replace("/", "--"), source.hub, "hub", None, 0)


def _content(shard: Shard) -> list[Any]:
    if shard.format == "hub":
        return [shard.path]
    digest, size = hashlib.sha256(), shard.bytes
    with open(shard.path, "rb") as file:
        if size <= 64 << 20:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        else:
            digest.update(file.read(1 << 20))
            file.seek(-(1 << 20), io.SEEK_END)
            digest.update(file.read())
    return [shard.name, size, digest.hexdigest()]


def _tables(source: Source, shard: Shard, rows: int | None = None) -> Iterator[pa.Table]:
    count = rows or source.batch_pages
    if shard.format == "parquet":
        with pq.ParquetFile(shard.path) as file:
            for batch in file.iter_batches(batch_size=count):
                yield pa.Table.from_batches([batch])
    elif shard.format == "jsonl":
        yield from _jsonl(shard, count)
    else:
        yield from _hub(source, count)


def _jsonl(shard: Shard, count: int) -> Iterator[pa.Table]:
    rows: list[dict[str, Any]] = []
    with _opened(shard.path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                rows.append(_row(shard, number, line))
            if len(rows) >= count:
                yield _table_of(rows)
                rows = []
    if rows:
        yield _table_of(rows)


def _row(shard: Shard, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8", "replace"))
    except ValueError as error:
        raise ValueError(f"line {number} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"line {number} is not a JSON object (got {type(value).__name__})")
    return value


def _table_of(rows: list[dict[str, Any]]) -> pa.Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def _column(values: list[Any]) -> pa.Array:
    """Arrow's own type where the values agree on one, else their JSON: no row is lost to a mixed column."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):
        return pa.array([None if v is None else _clean(v if isinstance(v, str) else json.dumps(v)) for v in values])


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _opened(path: str) -> Any:
    if path.endswith(".gz"):
        return gzip.open(path, "rb")
    if path.endswith(".zst"):
        return io.BufferedReader(pa.CompressedInputStream(pa.OSFile(path), "zstd"))
    return open(path, "rb")


def _hub(source: Source, count: int) -> Iterator[pa.Table]:
    import datasets

    try:
        stream = datasets.load_dataset(source.hub, source.config or None, split=source.split, streaming=True)
    except Exception as error:  # the library raises its own, fsspec's and the hub client's errors alike
        raise BadInput(f"source.hub: {source.hub}: cannot be opened ({_short(error)})") from error
    for rows in stream.iter(batch_size=count):
        yield pa.table(dict(rows))


def _batch(source: Source, shard: Shard, first: int, table: pa.Table, skips: Skips) -> Batch:
    texts = _strings(table, source.text, skips)
    own = _strings(table, source.id, skips)
    return Batch(
        shard=shard,
        first_row=first,
        page_id=[given or page_id(text) for given, text in zip(own, texts, strict=True)],
        url=_strings(table, source.url, skips),
        lang=_strings(table, source.lang, skips),
        text=texts,
        table=table,
    )


def _strings(table: pa.Table, column: str, skips: Skips) -> list[str]:
    """A column as text; "" for nulls and for a column that is not mapped."""
    if not column or column not in table.column_names:
        return [""] * table.num_rows
    values = table.column(column)
    try:
        values.validate(full=True)
        return ["" if v is None else v if isinstance(v, str) else _decoded(v, skips) for v in values.to_pylist()]
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return ["" if v is None else _decoded(v, skips) for v in values.cast(pa.binary(), safe=False).to_pylist()]


def _decoded(value: Any, skips: Skips) -> str:
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        skips.add("not UTF-8 (bytes replaced)")
        return value.decode("utf-8", "replace")


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
