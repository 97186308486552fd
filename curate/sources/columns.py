"""Columns as they come, in whatever type: as text without nulls, and joined where shards do not agree on a type."""

import json
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

DAMAGE = (pa.ArrowException, OSError, EOFError, ValueError, zlib.error)
"""What a damaged file raises, by format and compression."""
Count = Callable[[str, int], object]
"""Told a reason, and of how many rows it holds."""
NOT_UTF8 = "not UTF-8 (bytes replaced)"
NO_STRING = "text is no string (taken as it prints)"
WIDE = 1 << 31
"""Bytes from which text needs 64-bit offsets."""


def is_text(kind: pa.DataType) -> bool:
    """Text as Arrow may hold it; null is a column without any value so far."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(is_string(kind) or is_binary(kind) or pa.types.is_null(kind))


def is_binary(kind: pa.DataType) -> bool:
    """Bytes of any length."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def is_string(kind: pa.DataType) -> bool:
    """Text proper."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def blanks(rows: int) -> pa.Array:
    """A column of "" only."""
    return pa.repeat(pa.scalar("", pa.string()), rows)


def strings(values: pa.ChunkedArray, count: Count, *, text: bool = False) -> pa.Array:
    """A column as one string or large_string array, "" for nulls. Bytes that are not UTF-8 are replaced and counted; so
    are values of the page's own `text` that are no strings, which are taken as they print."""
    one = together(values)
    if pa.types.is_null(one.type):
        return blanks(len(one))
    if is_binary(one.type):
        one = one.view(pa.large_string() if pa.types.is_large_binary(one.type) else pa.string())
    elif not is_string(one.type):
        if text:
            count(NO_STRING, len(one) - one.null_count)
        one = pa.array([None if v is None else printed(v) for v in one.to_pylist()], pa.string())
    one = mended(one, count)
    return pc.fill_null(one, "") if one.null_count else one


def together(values: pa.ChunkedArray) -> pa.Array:
    """A column as one array without dictionary and views, with wide offsets where it is over 2 GB."""
    kind = plain_type(values.type)
    if values.nbytes >= WIDE and kind in (pa.string(), pa.binary()):
        kind = pa.large_string() if kind == pa.string() else pa.large_binary()
    values = values if kind == values.type else values.cast(kind, safe=False)
    return values.chunk(0) if values.num_chunks == 1 else pa.concat_arrays([*values.chunks, pa.array([], kind)])


def plain_type(kind: pa.DataType) -> pa.DataType:
    """What a dictionary or view holds; any other type as it is."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_string_view(kind):
        return pa.string()
    return pa.binary() if pa.types.is_binary_view(kind) else kind


def mended(values: pa.Array, count: Count) -> pa.Array:
    """Text whose bytes are UTF-8, with replacements where they are not."""
    try:
        values.validate(full=True)
        return values
    except pa.ArrowInvalid:
        raw = values.view(pa.large_binary() if pa.types.is_large_string(values.type) else pa.binary())
        return pa.array([None if v is None else decoded(v, count) for v in raw.to_pylist()], values.type)


def decoded(value: bytes, count: Count) -> str:
    """Bytes as text; what is no UTF-8 is replaced and counted."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        count(NOT_UTF8, 1)
        return value.decode("utf-8", "replace")


def printed(value: Any) -> str:
    """Any value as text: a string as it is, an object, a list, a number or a truth as its JSON, the rest as it prints."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, bool | int | float | dict | list):
        value = json.dumps(value, default=str)
    return str(value).encode("utf-8", "replace").decode("utf-8")


def column_of(values: Sequence[Any], kind: pa.DataType | None = None) -> pa.Array:
    """Python values in a type, or in Arrow's own where they agree on one, else each as it prints: no row is lost to a
    mixed column."""
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return pa.array([None if v is None else printed(v) for v in values], pa.string())


def wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """A type that holds the values of both: the wider number, the larger struct; text where there is no such type."""
    one, other = plain_type(one), plain_type(other)
    if one == other:
        return one
    try:
        schemas = [pa.schema([("x", kind)]) for kind in (one, other)]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.string()


def as_type(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """A column in a type that `wider` found for it; where that is text, what is no text is taken as it prints."""
    if values.type == kind:
        return values
    with suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if not pa.types.is_string(kind) or is_text(values.type):
            return values.cast(kind)
    return pa.chunked_array([[None if v is None else printed(v) for v in values.to_pylist()]], pa.string()).cast(kind)


def fields_of(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """The columns of all schemas, each in a type that holds it everywhere, in the order in which they first come."""
    kinds: dict[str, list[pa.DataType]] = {}
    for schema in schemas:
        for field in schema:
            kinds.setdefault(field.name, []).append(field.type)
    return pa.schema([(name, reduce(wider, found)) for name, found in kinds.items()])


def in_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table's columns in a schema that `fields_of` made of its own and others'; null where it lacks one."""
    columns = [
        as_type(table.column(field.name), field.type)
        if field.name in table.column_names
        else pa.chunked_array([pa.nulls(table.num_rows, field.type)])
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema) if columns else table.select([])


def unified(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables of different shards one after another. A column that one lacks is null there; numbers, times and objects
    take the type that holds them all; what has no such type becomes text."""
    schema = fields_of([table.schema for table in tables])
    return pa.concat_tables([in_schema(table, schema) for table in tables]) if tables else schema.empty_table()
