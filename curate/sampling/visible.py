"""What SQL expressions see of a batch of pages."""

import pyarrow as pa

from curate.sources import Batch, Shard, Source, columns_of
from curate.store import Expressions

OWN = ("text", "url", "lang", "title", "id")


class Visible:
    """A batch as SQL sees it: the mapped columns under our names, the others as they came. A column that the shards
    before had and this one lacks is null."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._known: dict[str, pa.DataType] = {}

    def __call__(self, batch: Batch, expressions: Expressions) -> pa.Table:
        columns = {name: batch.table.column(name) for name in batch.table.column_names}
        for name in OWN:
            if self._is_own(batch, name) or name not in columns:
                columns[name] = self._own(batch, name, expressions)
        for name, kind in self._known.items():
            if name not in columns:
                columns[name] = pa.nulls(batch.table.num_rows, kind)
        self._known.update({name: column.type for name, column in columns.items()})
        return pa.table({name: columns[name] for name in sorted(columns)})

    def _is_own(self, batch: Batch, name: str) -> bool:
        """Whether a name means the page's own column, whatever the source's column of this name is."""
        extracted = bool(self.source.html) and name in ("title", "lang")
        return name == "text" or extracted or bool(getattr(self.source, name)) or name in batch.mapped

    def _own(self, batch: Batch, name: str, expressions: Expressions) -> pa.Array:
        if name != "id":
            return getattr(batch, name)
        if batch.own_id is not None:
            return batch.own_id
        return pa.array(batch.page_ids() if "id" in expressions.columns else [None] * batch.table.num_rows, pa.string())


def used_columns(source: Source, shard: Shard, expressions: Expressions) -> list[str]:
    """The columns that the expressions use: the shard's own names, and ours for what is mapped."""
    needs = {"host": "url", "chars": "text", **({} if source.id else {"id": "text"})}
    names = {needs.get(name, name) for name in expressions.columns}
    return [*(name for name in OWN if name in names), *(c for c in columns_of(source, shard) if c.lower() in names)]
