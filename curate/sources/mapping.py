"""Which columns are what: a shard's own names for a page's columns, and batches made of its tables by them."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from curate.sources.batches import Batch, Shard
from curate.sources.columns import Count, blanks, strings
from curate.sources.rendering import rendered, variables

MAPPED = ("text", "url", "lang", "id", "title", "html")
WEB_NAMES = {"text": "text", "url": "url", "lang": "lang", "title": "title"}
"""What WARC and WET shards call a page's columns, whatever others call theirs."""
Names = Mapping[str, str]
"""By what a page's column is called here, what it is called in the shard."""


def names_in(shard: Shard, mapped: Names) -> Names:
    """The shard's own names, where a source names its columns as in `mapped`. Text is not read where it is made of HTML
    or by a template."""
    if shard.format in ("warc", "wet"):
        return WEB_NAMES
    made = mapped.get("html") or mapped.get("template")
    return {ours: mapped[ours] for ours in MAPPED if mapped.get(ours) and not (ours == "text" and made)}


def wanted(names: Names, mapped: Names, columns: Sequence[str] | None) -> list[str] | None:
    """The shard's own names of columns that are named as the source names them, or as ours."""
    if columns is None:
        return None
    ours = {column for column in MAPPED if column in columns or mapped.get(column) in columns}
    if "html" in names and ours & {"text", "title", "lang"}:
        ours.add("html")
    filled = variables(mapped["template"]) if mapped.get("template") and "text" in ours else set()
    return [*columns, *sorted(filled), *(names[column] for column in ours if column in names)]


def batch_of(
    names: Names, shard: Shard, first: int, table: pa.Table, count: Count, *, template: str = "", text: bool = True
) -> Batch:
    """The rows of a table, with the pages in them; their text by the `template`, unless `text` is not asked for."""
    found = {column: _strings(table, names, column, count) for column in ("text", "url", "lang", "title", "id")}
    if names.get("html") in table.column_names:
        found = _extracted(table.column(names["html"]), names, found, count)
    if template and text and shard.format not in ("warc", "wet"):
        found["text"] = rendered(template, table, count)
    return Batch(
        shard=shard,
        first_row=first,
        table=table,
        text=found["text"],
        url=found["url"],
        lang=found["lang"],
        title=found["title"],
        own_id=found["id"] if "id" in names else None,
        mapped=tuple(names.values()),
    )


def _strings(table: pa.Table, names: Names, column: str, count: Count) -> pa.Array:
    if names.get(column, "") not in table.column_names:
        return blanks(table.num_rows)
    return strings(table.column(names[column]), count, text=column == "text")


def _extracted(html: pa.ChunkedArray, names: Names, found: dict[str, pa.Array], count: Count) -> dict[str, pa.Array]:
    """The columns with text from the HTML, and title and language where no column is named for them."""
    from curate.extract import extract

    urls = found["url"].to_pylist()
    pages = [extract(raw or "", url=url) for raw, url in zip(html.to_pylist(), urls, strict=True)]
    made = dict(found)
    for column in ("text", "title", "lang"):
        if column == "text" or column not in names:
            values = [getattr(page, column) or "" for page in pages]
            made[column] = strings(
                pa.chunked_array([pa.array([v.encode("utf-8", "replace") for v in values], pa.binary())]), count
            )
    return made
