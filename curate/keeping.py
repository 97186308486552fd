"""The kept rows of a shard: all columns as they came, in order, with id, score and tier beside them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.deciding import named
from curate.sources import Shard, Skips, Source, read, schema
from curate.sources.columns import as_type, fields_of
from curate.store import whole

OWN_COLUMNS = ("curate_page_id", "curate_score", "curate_tier")


def kept_name(shard: Shard) -> str:
    """The input shard's name, as Parquet."""
    return shard.name if shard.format == "parquet" else f"{shard.name}.parquet"


def write_kept(
    path: Path,
    source: Source,
    shard: Shard,
    decisions: pa.Table,
    by: dict[str, dict[str, list[int]]],
    skips: Skips,
    *,
    said: Sequence[str] = (),
) -> None:
    """The kept rows with all columns they came with, and page id, score and tier beside them; `said` are the names of what
    else is said of a page, each a column."""
    keep = np.array(decisions.column("keep").to_pylist(), bool)
    more = {column_of(name): name for name in said}
    extra = [("curate_page_id", pa.string()), ("curate_score", pa.float64()), ("curate_tier", pa.int32())]
    extra += [(column, pa.float64()) for column in more]
    found = _schema_of(source, shard)
    out = pa.schema([f for f in found if f.name not in {*OWN_COLUMNS, *more}] + [pa.field(n, t) for n, t in extra])
    with whole(path) as temporary, pq.ParquetWriter(temporary, out, compression="zstd") as writer:
        for batch in read(source, shard, batch_rows=source.batch_pages, skips=skips):
            table = batch.table.slice(0, max(len(keep) - batch.first_row, 0))
            mask = keep[batch.first_row : batch.first_row + table.num_rows]
            _count_by(by, table, mask)
            chosen = decisions.slice(batch.first_row, table.num_rows).filter(pa.array(mask))
            writer.write_table(_joined(table.filter(pa.array(mask)), chosen, out, more))


def column_of(name: str) -> str:
    """The column of one thing that is said of a page."""
    return f"curate_{re.sub(r'[^0-9a-z]+', '_', name.lower()).strip('_')}"


def _joined(table: pa.Table, chosen: pa.Table, out: pa.Schema, more: Mapping[str, str]) -> pa.Table:
    own = dict(zip(OWN_COLUMNS, ("page_id", "score", "tier"), strict=True))
    said = [dict(row or ()) for row in chosen.column("said").to_pylist()] if more else []
    columns = []
    for wanted in out:
        if wanted.name in own:
            columns.append(chosen.column(own[wanted.name]).cast(wanted.type))
        elif wanted.name in more:
            columns.append(pa.array([row.get(more[wanted.name]) for row in said], wanted.type))
        elif wanted.name in table.column_names:
            columns.append(as_type(table.column(wanted.name), wanted.type))
        else:
            columns.append(pa.nulls(table.num_rows, wanted.type))
    return pa.table(columns, schema=out)


def _schema_of(source: Source, shard: Shard) -> pa.Schema:
    """The shard's columns; a file without a footer may bring new ones, or others of the same name, in any batch."""
    if shard.format in ("parquet", "warc", "wet"):
        return schema(source, shard)
    schemas = (batch.table.schema for batch in read(source, shard, batch_rows=source.batch_pages))
    return fields_of(list(dict.fromkeys(schemas)))


def _count_by(by: dict[str, dict[str, list[int]]], table: pa.Table, mask: np.ndarray) -> None:
    for column, counts in by.items():
        values = table.column(column).to_pylist() if column in table.column_names else [None] * table.num_rows
        for value, keep in zip(values, mask, strict=True):
            pair = counts.setdefault(named(value), [0, 0])
            pair[0] += 1
            pair[1] += int(keep)
