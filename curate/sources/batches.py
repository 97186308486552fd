"""What a source is read as: shards, batches of their rows as Arrow columns, and a count of what could not be used."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import pyarrow as pa

from curate.schema import host_of, page_id
from curate.sources.columns import is_string, mended, plain_type

Format = Literal["parquet", "arrow", "jsonl", "json", "csv", "tsv", "txt", "warc", "wet", "hub"]
LOST = "rows of an unreadable shard"


@dataclass(frozen=True)
class Shard:
    """One file of a source (or a whole hub data set). `name` is unique in the source and is used for output files."""

    name: str
    path: str
    """Local path, or URI."""
    format: Format
    rows: int | None
    """None: not known before it is read."""
    bytes: int
    identity: str = ""
    """Of a remote file: what its store says of its content (etag, hash, commit or time)."""


@dataclass
class Skips:
    """Rows that were read but could not be used as they were, by reason, and shards that were left out."""

    counts: dict[str, int] = field(default_factory=dict)
    shards: dict[str, str] = field(default_factory=dict)
    """Name of a shard that could not be read (to its end), and why."""

    def add(self, reason: str, amount: int = 1) -> None:
        """Count `amount` more rows under `reason`."""
        if amount:
            self.counts[reason] = self.counts.get(reason, 0) + amount

    def leave_out(self, shard: Shard, read: int, why: str) -> None:
        """A shard that could not be read after its first `read` rows."""
        if shard.name not in self.shards:
            self.add(LOST, max((shard.rows or 0) - read, 0))
        self.shards[shard.name] = why


@dataclass(frozen=True)
class Batch:
    """Rows of one shard in order, and the pages in them. Columns have one entry a row; `text`, `url`, `lang` and `title`
    are string or large_string without nulls, "" where there is none. Nothing becomes a Python object before it is
    asked for."""

    shard: Shard
    first_row: int
    table: pa.Table
    """The rows as they came."""
    text: pa.Array
    url: pa.Array
    lang: pa.Array
    title: pa.Array
    own_id: pa.Array | None
    """None where no id column is mapped."""
    mapped: tuple[str, ...] = ()
    """Columns of `table` that are pages' own and are no extras."""

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def slice(self, first: int, rows: int | None = None) -> "Batch":
        """The rows from `first` on, `rows` of them at most."""
        text, url, lang, title = (a.slice(first, rows) for a in (self.text, self.url, self.lang, self.title))
        own = self.own_id.slice(first, rows) if self.own_id is not None else None
        table = self.table.slice(first, rows)
        return Batch(self.shard, self.first_row + first, table, text, url, lang, title, own, self.mapped)

    def texts(self) -> list[str]:
        """The pages' texts."""
        return self._texts

    def page_ids(self) -> list[str]:
        """The pages' ids: their own where they have one, else the hash of the text."""
        return self._ids

    def page_id(self, i: int) -> str:
        """The id of row `i`."""
        own = self.own_id[i].as_py() if self.own_id is not None else ""
        return own or page_id(self.text[i].as_py())

    def page(self, i: int) -> dict[str, Any]:
        """Row `i` as a row of the `pages` table, without what sampling adds; `source` is shard and row."""
        url = self.url[i].as_py()
        return {
            "page_id": self.page_id(i),
            "url": url,
            "host": host_of(url),
            "title": self.title[i].as_py(),
            "text": self.text[i].as_py(),
            "lang": self.lang[i].as_py(),
            "source": f"{self.shard.name}:{self.first_row + i}",
        }

    def extra(self, i: int) -> dict[str, Any]:
        """The other columns of row `i`, as they came."""
        (row,) = self.extras([i]).to_pylist()
        return dict(row)

    def extras(self, indices: Iterable[int]) -> pa.Table:
        """The other columns of some rows, as they came; text in them is UTF-8; of columns of one name, the first.
        `columns.unified` joins such tables."""
        first = {name: i for i, name in reversed(list(enumerate(self.table.column_names))) if name not in self.mapped}
        places = pa.array(list(indices), pa.int64())
        if not first:
            return pa.table({"": pa.nulls(len(places))}).select([])
        chosen = self.table.select(sorted(first.values())).take(places)
        return pa.table({name: _usable(chosen.column(i)) for i, name in enumerate(chosen.column_names)})

    @cached_property
    def _texts(self) -> list[str]:
        found: list[str] = self.text.to_pylist()
        return found

    @cached_property
    def _ids(self) -> list[str]:
        if self.own_id is None:
            return [page_id(text) for text in self._texts]
        own = self.own_id.to_pylist()
        return [given or page_id(self.text[i].as_py()) for i, given in enumerate(own)]


def _usable(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Plain columns; bytes in text that are not UTF-8 would stop whoever reads them next."""
    kind = plain_type(values.type)
    values = values if kind == values.type else values.cast(kind, safe=False)
    if not is_string(kind):
        return values
    return pa.chunked_array([mended(chunk, lambda *_: None) for chunk in values.chunks], kind)
