"""Pages from outside, from files here or in remote stores and from hub data sets, streamed with bounded memory."""

import hashlib
import os
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from curate.errors import BadInput, CurateError, did_you_mean
from curate.schema import fingerprint
from curate.sources.batches import LOST, Batch, Shard, Skips
from curate.sources.columns import DAMAGE, is_text, unified
from curate.sources.files import File, digest, find
from curate.sources.formats import SUFFIXES, Part, Want, data_among, format_of, parts, schema_of, shard_of
from curate.sources.mapping import MAPPED, batch_of, names_in, wanted
from curate.sources.readahead import ahead
from curate.sources.remote import is_remote, said, shown
from curate.sources.rendering import variables

__all__ = [
    "LOST",
    "Batch",
    "Shard",
    "Skips",
    "Source",
    "check_columns",
    "columns_of",
    "no_column",
    "read",
    "schema",
    "shards",
    "source_fingerprint",
    "unified",
]

LOOK_ROWS = 1000
"""Rows of a shard without a footer by which its columns are known."""
AHEAD_BYTES = 64 << 20
"""What is read ahead and waits at most."""
LOOKS = 16
"""Footers that are read at once: in a remote store each is a wait, not work."""


class Source(BaseModel):
    """Where pages come from and which of their columns are what."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, strict=True)

    path: str | list[str] = ""
    """Files, folders or globs of Parquet, JSONL, CSV, Arrow, WARC or WET shards, relative to the pipeline file, or in a
    remote store (`s3://`, `gs://`, `hf://`, `az://`, `https://`)."""
    hub: str = ""
    """Instead of `path`: a data set's hub name, or a folder that the `datasets` library reads, relative to the pipeline file."""
    config: str = ""
    """Configuration of the hub data set."""
    split: str = "train"
    """Split of the hub data set."""
    text: str = "text"
    """Column of the page's text."""
    html: str = ""
    """Column of the page's raw HTML; text, and title and language where no column is named, are taken from it, and `text`
    is not read. Empty: none."""
    template: str = ""
    """For rows that are no pages, such as questions with answers: a Jinja2 template of the row's columns makes the text,
    and `text` is not read. Empty: none."""
    title: str = ""
    """Column of its title; empty: none."""
    url: str = ""
    """Column of its URL; empty: none."""
    lang: str = ""
    """Column of its language code; empty: none."""
    id: str = ""
    """Column of its own id; empty: the id is the hash of the text."""
    on_error: Literal["stop", "skip"] = "stop"
    """A shard that cannot be read: `stop`, or `skip` what is left of it and say so in the report."""
    batch_pages: int = Field(1000, gt=0)
    """Pages that `filter` reads at once."""

    @field_validator("template")
    @classmethod
    def _is_template(cls, template: str) -> str:
        try:
            variables(template)
        except ValueError as error:
            raise ValueError(f"template: is no Jinja2 template: {error}") from error
        return template

    @model_validator(mode="after")
    def _one_text(self) -> "Source":
        if self.html and self.template:
            raise ValueError("give html or template, not both: each makes the text")
        return self


def shards(source: Source, *, below: Path, key: str = "source") -> list[Shard]:
    """The source's shards, each once, in the order of `path` and by name, checked: they exist, have the named columns,
    and hold rows. `key` is what the source is called in errors. With `on_error: skip` a shard that cannot be opened stays
    in the list, for `read` to count.

    Raises BadInput for a path that matches nothing, an unknown format, a store that cannot be asked, a missing column or
    an empty source.
    """
    if bool(source.path) == bool(source.hub):
        raise BadInput(f"{key}: give either path or hub (got {'both' if source.path else 'neither'})")
    found = [_hub_shard(source, below)] if source.hub else _file_shards(source, below, key)
    with ThreadPoolExecutor(LOOKS) as pool:
        known = list(pool.map(partial(_known_columns, source, key=key), found))
    if all(shard.rows == 0 or not names for shard, names in zip(found, known, strict=True)):
        where = f"{key}.hub: {source.hub}" if source.hub else f"{key}.path: {_said_paths(source)}"
        unreadable = f", of which {bad} cannot be read" if (bad := known.count(None)) else ""
        raise BadInput(f"{where}: holds no pages (0 rows in {len(found)} files{unreadable})")
    return found


def source_fingerprint(source: Source, found: list[Shard]) -> str:
    """The name of a source's content: settings, and for each file its size and a hash of its bytes.

    Local files over 64 MiB are known by their size and their first and last MiB; remote ones by their size and what the
    store says without reading them: a hash, etag or commit where it knows one, else the time of the last change.
    """
    how = source.model_dump(exclude={"path", "batch_pages", "on_error"})
    how = {name: value for name, value in how.items() if value or name not in ("html", "title", "template")}
    return fingerprint(how, [_content(shard) for shard in found])


def read(
    source: Source,
    shard: Shard,
    *,
    columns: Sequence[str] | None = None,
    batch_rows: int | None = None,
    skips: Skips | None = None,
) -> Iterator[Batch]:
    """A shard's rows in batches, in order, read ahead in threads: of `batch_rows` at most, or of about 4 MB. With
    `columns`, only those of them that it has; `text`, `url`, `lang`, `id` and `title` stand for the columns that are
    mapped to them. What could not be used as it was is counted in `skips`.

    Raises CurateError when the file is damaged; with `on_error: skip` the rest of it is left out and counted.
    """
    skips, first = Skips() if skips is None else skips, 0
    try:
        for batch, found in _batches(source, shard, columns, batch_rows):
            for reason, amount in found.items():
                skips.add(reason, amount)
            if batch is not None:
                yield batch
                first = batch.first_row + len(batch)
    except DAMAGE as error:
        why = f"cannot be read after row {first} ({said(error)})"
        if source.on_error == "stop":
            raise CurateError(
                f"{shown(shard.path)}: {why}; repair or leave out the file, or set source.on_error=skip"
            ) from error
        skips.leave_out(shard, first, why)


_Read = tuple[Batch | None, dict[str, int]]
"""Rows, and what was met since the rows before; None at the end of a part."""


def _batches(source: Source, shard: Shard, columns: Sequence[str] | None, rows: int | None) -> Iterator[_Read]:
    names = names_in(shard, _mapped(source))
    want = Want(wanted(names, _mapped(source), columns), rows, tuple(names.values()), source.config, source.split)
    with_text = columns is None or "text" in columns or source.text in columns

    def stream(part: Part) -> Iterator[_Read]:
        met, first = Skips(), part.first
        for table in part.tables(met.add):
            batch = batch_of(names, shard, first, table, met.add, template=source.template, text=with_text)
            first += table.num_rows
            yield batch, met.counts
            met.counts = {}
        yield None, met.counts

    streams: list[Callable[[], Iterator[_Read]]] = [partial(stream, part) for part in parts(shard, want)]
    yield from ahead(streams, size=_size, limit=AHEAD_BYTES, threads=min(4, os.cpu_count() or 1))


def _size(read: _Read) -> int:
    return int(read[0].table.nbytes) if read[0] is not None else 0


def columns_of(source: Source, shard: Shard) -> list[str]:
    """The shard's column names; where no footer says, those of its first 1,000 rows, none where there are no rows."""
    return list(schema(source, shard).names)


def schema(source: Source, shard: Shard) -> pa.Schema:
    """The shard's columns, as `columns_of` knows them; none of a shard that cannot be opened and is to be skipped."""
    try:
        return _schema(source, shard)
    except DAMAGE as error:
        if source.on_error == "skip":
            return pa.schema([])
        raise CurateError(f"{shown(shard.path)}: cannot be read as {shard.format} ({said(error)})") from error


def check_columns(source: Source, shard: Shard, *, key: str = "source") -> list[str]:
    """The shard's column names. Raises BadInput when one that the source names is missing, or that of the text is none."""
    return _known_columns(source, shard, key=key) or []


def _known_columns(source: Source, shard: Shard, *, key: str) -> list[str] | None:
    """None for a shard that cannot be opened and is to be skipped."""
    try:
        found = _schema(source, shard)
    except DAMAGE as error:
        if source.on_error == "skip" and shard.format != "hub":
            return None
        what = f"{key}.hub: {source.hub}: cannot be opened"
        if shard.format != "hub":
            what = f"{key}.path: {shown(shard.path)}: cannot be read as {shard.format}"
        raise BadInput(f"{what} ({said(error)})") from error
    _check_mapped(names_in(shard, _mapped(source)), shard, found, key)
    if source.template and found.names and shard.format not in ("warc", "wet"):
        for name in sorted(variables(source.template) - set(found.names)):
            raise BadInput(f"{key}.template: {no_column(shard, name, found.names)}")
    return list(found.names)


def _check_mapped(mapped: Mapping[str, str], shard: Shard, found: pa.Schema, key: str) -> None:
    """Every mapped column is there once, and what is to hold text does."""
    for column, name in mapped.items() if found.names else ():
        if name not in found.names:
            raise BadInput(f"{key}.{column}: {no_column(shard, name, found.names)}")
        if (times := found.names.count(name)) > 1:
            raise BadInput(f"{key}.{column}: {shown(shard.path)} has {times} columns {name!r}")
        if column in ("text", "html") and not is_text(kind := found.field(name).type):
            texts = [field.name for field in found if is_text(field.type)]
            raise BadInput(
                f"{key}.{column}: {shown(shard.path)}: column {name!r} holds {kind}, not text"
                f"{did_you_mean(name, texts) or ' (no column holds text)'}"
            )


def no_column(shard: Shard, wanted: str, names: Iterable[str]) -> str:
    """What to say of a column that is not there."""
    where = "" if shard.format in ("parquet", "warc", "wet") else f" in its first {LOOK_ROWS:,} rows"
    return f"{shown(shard.path)} has no column {wanted!r}{where}{did_you_mean(wanted, names)}"


def _mapped(source: Source) -> dict[str, str]:
    return {column: getattr(source, column) for column in (*MAPPED, "template")}


def _schema(source: Source, shard: Shard) -> pa.Schema:
    want = Want(None, None, tuple(names_in(shard, _mapped(source)).values()), source.config, source.split)
    return schema_of(shard, want, rows=LOOK_ROWS)


def _said_paths(source: Source) -> str:
    return shown(source.path) if isinstance(source.path, str) else str([shown(path) for path in source.path])


def _file_shards(source: Source, below: Path, key: str) -> list[Shard]:
    patterns = [source.path] if isinstance(source.path, str) else source.path
    once: dict[str, File] = {}
    for file in [file for pattern in patterns for file in _found(pattern, below, key)]:
        once.setdefault(file.path if is_remote(file.path) else os.path.realpath(file.path), file)
    files = list(once.values())
    names = _unique_names(files, below.absolute())
    with ThreadPoolExecutor(LOOKS) as pool:
        return list(pool.map(partial(_file_shard, source, key), files, names))


def _found(pattern: str, below: Path, key: str) -> list[File]:
    found = find(pattern, below, key=f"{key}.path", known=data_among)
    if not found:
        kinds = ", ".join(SUFFIXES)
        raise BadInput(f"{key}.path: {shown(pattern)}: the folder holds no file of a known kind ({kinds})")
    return found


def _file_shard(source: Source, key: str, file: File, name: str) -> Shard:
    kind = format_of(file.name)
    if kind is None:
        raise BadInput(f"{key}.path: {shown(file.path)}: unknown kind of file (allowed: {', '.join(SUFFIXES)})")
    try:
        return shard_of(file, name, kind)
    except DAMAGE as error:
        if source.on_error == "skip":
            return Shard(name, file.path, kind, None, file.bytes, file.identity)
        raise BadInput(f"{key}.path: {shown(file.path)}: cannot be read as {kind} ({said(error)})") from error


def _unique_names(files: list[File], below: Path) -> list[str]:
    """File names; where files share one, the hash of the folder, as seen from the pipeline file, is put before it."""
    counts = Counter(file.name for file in files)
    return [f.name if counts[f.name] == 1 else f"{_folder_hash(f.path, below)}-{f.name}" for f in files]


def _folder_hash(path: str, below: Path) -> str:
    folder = posixpath.dirname(path) if is_remote(path) else os.path.dirname(path)
    if not is_remote(path) and Path(path).is_relative_to(below):
        folder = str(Path(path).parent.relative_to(below))
    return hashlib.sha256(folder.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _hub_shard(source: Source, below: Path) -> Shard:
    folder = below.absolute() / os.path.expanduser(source.hub)
    name = re.sub(r"[^\w.-]+", "--", source.hub).strip(".-") or "hub"
    return Shard(name, str(folder) if folder.is_dir() else source.hub, "hub", None, 0)


def _content(shard: Shard) -> list[Any]:
    if shard.format == "hub":
        files = sorted(p for p in Path(shard.path).rglob("*") if p.is_file()) if os.path.isdir(shard.path) else []
        return [shard.name, *([str(p.relative_to(shard.path)), digest(p)] for p in files)]
    return [shard.name, shard.bytes, shard.identity if is_remote(shard.path) else digest(Path(shard.path))]
