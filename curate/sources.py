"""Pages from outside: Parquet and JSONL files, and hub data sets through `datasets`, streamed with bounded memory."""

import glob
import gzip
import hashlib
import io
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
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
LOOK_ROWS = 1000
"""Rows of a JSONL file or a hub data set by which its columns are known."""
DAMAGE = (pa.ArrowException, OSError, EOFError, ValueError, zlib.error)
"""What a damaged file raises, by format and compression."""


class Source(BaseModel):
    """Where pages come from and which of their columns are what."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, strict=True)

    path: str | list[str] = ""
    """Files, folders or globs of Parquet or JSONL (`.gz`, `.zst`) shards; relative to the pipeline file."""
    hub: str = ""
    """Instead of `path`: a data set's hub name, or a folder that the `datasets` library reads, relative to the pipeline file."""
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


def shards(source: Source, *, below: Path, key: str = "source") -> list[Shard]:
    """The source's shards, each once, in the order of `path` and by name, checked: they exist, have the named columns,
    and hold rows. `key` is what the source is called in errors.

    Raises BadInput for a path that matches nothing, an unknown format, a missing column or an empty source.
    """
    if bool(source.path) == bool(source.hub):
        raise BadInput(f"{key}: give either path or hub (got {'both' if source.path else 'neither'})")
    found = [_hub_shard(source, below)] if source.hub else _file_shards(source, below, key)
    known = [check_columns(source, shard, key=key) for shard in found]
    if all(shard.rows == 0 or not names for shard, names in zip(found, known, strict=True)):
        where = f"{key}.hub: {source.hub}" if source.hub else f"{key}.path: {source.path}"
        raise BadInput(f"{where}: holds no pages (0 rows in {len(found)} files)")
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
    first, skips = 0, skips or Skips()
    try:
        for table in _tables(source, shard, skips):
            yield _batch(source, shard, first, table, skips)
            first += table.num_rows
    except DAMAGE as error:
        raise CurateError(
            f"{shard.path}: cannot be read after row {first} ({_short(error)}); repair or leave out the file"
        ) from error


def columns_of(source: Source, shard: Shard) -> list[str]:
    """The shard's column names; of JSONL and hub data sets those of the first 1,000 rows, none where there are no rows."""
    return list(_schema(source, shard).names)


def check_columns(source: Source, shard: Shard, *, key: str = "source") -> list[str]:
    """The shard's column names. Raises BadInput when one that the source names is missing, or that of the text is none."""
    try:
        schema = _schema(source, shard)
    except DAMAGE as error:
        what = f"{key}.hub: {source.hub}: cannot be opened"
        if shard.format != "hub":
            what = f"{key}.path: {shard.path}: cannot be read as {shard.format}"
        raise BadInput(f"{what} ({_short(error)})") from error
    names = list(schema.names)
    for column in ("text", "url", "lang", "id"):
        wanted = getattr(source, column)
        if wanted and names and wanted not in names:
            raise BadInput(f"{key}.{column}: {no_column(shard, wanted, names)}")
    if source.text in names and not _is_text(kind := schema.field(source.text).type):
        texts = [field.name for field in schema if _is_text(field.type)]
        raise BadInput(
            f"{key}.text: {shard.path}: column {source.text!r} holds {kind}, not text"
            f"{did_you_mean(source.text, texts) or ' (no column holds text)'}"
        )
    return names


def no_column(shard: Shard, wanted: str, names: Iterable[str]) -> str:
    """What to say of a column that is not there."""
    where = "" if shard.format == "parquet" else f" in its first {LOOK_ROWS:,} rows"
    return f"{shard.path} has no column {wanted!r}{where}{did_you_mean(wanted, names)}"


def _schema(source: Source, shard: Shard) -> pa.Schema:
    if shard.format == "parquet":
        return pq.read_schema(shard.path)
    first = next(_tables(source, shard, Skips(), rows=LOOK_ROWS), None)
    return first.schema if first is not None else pa.schema([])


def _is_text(kind: pa.DataType) -> bool:
    """Text as Arrow may hold it; null is a column without any value so far."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    string = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return bool(string or binary or pa.types.is_null(kind))


def _file_shards(source: Source, below: Path, key: str) -> list[Shard]:
    patterns = [source.path] if isinstance(source.path, str) else source.path
    once: dict[str, Path] = {}
    for path in [path for pattern in patterns for path in _expand(pattern, below, key)]:
        once.setdefault(os.path.realpath(path), path)
    paths = list(once.values())
    names = _unique_names(paths, below.absolute())
    return [_file_shard(path, name, key) for path, name in zip(paths, names, strict=True)]


def _expand(pattern: str, below: Path, key: str) -> list[Path]:
    """The files that a path, folder or glob stands for. A name that exists is never read as a glob."""
    if "://" in pattern:
        raise BadInput(f"{key}.path: {pattern}: remote paths are not read yet; copy the shards here or use {key}.hub")
    wanted = os.path.expanduser(pattern)
    whole = below.absolute() / wanted
    globbed = [] if os.path.lexists(whole) else glob.glob(wanted, root_dir=below, recursive=True)
    matches = sorted(below.absolute() / path for path in globbed) or [whole]
    matches = [path for path in matches if os.path.lexists(path)]
    found = [path for match in matches for path in (_inside(match) if match.is_dir() else [match])]
    if not found and whole.is_dir():
        raise BadInput(f"{key}.path: {pattern}: the folder holds no file of a known kind ({', '.join(SUFFIXES)})")
    if not found:
        raise BadInput(f"{key}.path: {pattern}: no such file, and no file matches it (looked for {whole})")
    return found


def _inside(folder: Path) -> list[Path]:
    """The files of a known kind in a folder and below it; names with a leading . or _ are not data."""
    return sorted(
        path
        for path in folder.rglob("*")
        if _format(path)
        and not path.is_dir()
        and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    )


def _format(path: Path) -> str:
    return next((kind for suffix, kind in SUFFIXES.items() if path.name.lower().endswith(suffix)), "")


def _file_shard(path: Path, name: str, key: str) -> Shard:
    kind = _format(path)
    if kind not in ("parquet", "jsonl"):
        raise BadInput(f"{key}.path: {path}: unknown kind of file (allowed: {', '.join(SUFFIXES)})")
    try:
        size = path.stat().st_size
        if kind == "jsonl":
            return Shard(name, str(path), "jsonl", 0 if size == 0 else None, size)
        return Shard(name, str(path), "parquet", pq.read_metadata(path).num_rows, size)
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{key}.path: {path}: cannot be read as {kind} ({_short(error)})") from error


def _unique_names(paths: list[Path], below: Path) -> list[str]:
    """File names; where files share one, the hash of the folder, as seen from the pipeline file, is put before it."""
    counts = Counter(path.name for path in paths)
    return [path.name if counts[path.name] == 1 else f"{_folder_hash(path, below)}-{path.name}" for path in paths]


def _folder_hash(path: Path, below: Path) -> str:
    folder = path.parent.relative_to(below) if path.is_relative_to(below) else path.parent
    return hashlib.sha256(str(folder).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _hub_shard(source: Source, below: Path) -> Shard:
    folder = below.absolute() / os.path.expanduser(source.hub)
    name = re.sub(r"[^\w.-]+", "--", source.hub).strip(".-") or "hub"
    return Shard(name, str(folder) if folder.is_dir() else source.hub, "hub", None, 0)


def _content(shard: Shard) -> list[Any]:
    if shard.format != "hub":
        return [shard.name, shard.bytes, _digest(Path(shard.path), shard.bytes)]
    files = sorted(p for p in Path(shard.path).rglob("*") if p.is_file()) if os.path.isdir(shard.path) else []
    return [shard.name, *([str(p.relative_to(shard.path)), _digest(p, p.stat().st_size)] for p in files)]


def _digest(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        if size <= 64 << 20:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        else:
            digest.update(file.read(1 << 20))
            file.seek(-(1 << 20), io.SEEK_END)
            digest.update(file.read())
    return digest.hexdigest()


def _tables(source: Source, shard: Shard, skips: Skips, rows: int | None = None) -> Iterator[pa.Table]:
    count = rows or source.batch_pages
    if shard.format == "parquet":
        with pq.ParquetFile(shard.path) as file:
            for batch in file.iter_batches(batch_size=count):
                yield pa.Table.from_batches([batch])
    elif shard.format == "jsonl":
        yield from _jsonl(shard, count, skips)
    else:
        yield from _hub(source, shard, count)


def _jsonl(shard: Shard, count: int, skips: Skips) -> Iterator[pa.Table]:
    rows: list[dict[str, Any]] = []
    with _opened(shard.path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                rows.append(_row(number, line, skips))
            if len(rows) >= count:
                yield _table_of(rows)
                rows = []
    if rows:
        yield _table_of(rows)


def _row(number: int, line: bytes, skips: Skips) -> dict[str, Any]:
    text = _decoded(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, skips)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
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
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return pa.array(
            [None if v is None else _clean(v if isinstance(v, str) else json.dumps(v, default=str)) for v in values]
        )


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _opened(path: str) -> Any:
    if path.lower().endswith(".gz"):
        return gzip.open(path, "rb")
    if path.lower().endswith(".zst"):
        return io.BufferedReader(pa.CompressedInputStream(pa.OSFile(path), "zstd"))
    return open(path, "rb")


def _hub(source: Source, shard: Shard, count: int) -> Iterator[pa.Table]:
    import datasets

    try:
        stream = datasets.load_dataset(shard.path, source.config or None, split=source.split, streaming=True)
        for rows in stream.iter(batch_size=count):
            yield pa.table({name: _column(values) for name, values in rows.items()})
    except Exception as error:  # the library raises its own, fsspec's and the hub client's errors alike
        raise ValueError(_short(error)) from error


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
