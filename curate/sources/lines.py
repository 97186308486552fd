"""JSON and CSV as Arrow tables: parsed by Arrow in blocks, and by Python where Arrow would lose or refuse a row."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.sources.columns import Count, column_of, decoded

BLOCK_BYTES = 16 << 20
"""Of JSON lines that are parsed together."""
PIECE_BYTES = 256 << 10
"""Read at once: what is lost of a packed file before the place where it is damaged."""
LONG_LINE, DEEP = 10_000, 1000
"""Arrow's parser takes the process down at a depth of some 10,000, which takes a line of that length."""
LIST_BYTES = 256 << 20
"""Largest JSON list that is read; it is held whole."""
ROW_BYTES = 64 << 20
"""Longest row of a CSV file."""
MARK = b"\xef\xbb\xbf"


def json_tables(file: BinaryIO, count: Count, *, rows: int | None = None) -> Iterator[pa.Table]:
    """JSON lines, in tables of about 16 MB, or less where only `rows` are wanted. Raises ValueError for a line that is
    no JSON object, after the rows before it."""
    parse, number = _Json(count), 1
    for block in _blocks(file, BLOCK_BYTES if rows is None else min(BLOCK_BYTES, rows << 12)):
        if number == 1:
            block = block.removeprefix(MARK)
        lines = block.split(b"\n")
        yield from parse(block, lines, number)
        number += len(lines) - 1


def _blocks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Whole lines of about `size` bytes. What comes before damage is given before it is raised."""
    held: list[bytes] = []
    length = 0
    try:
        while piece := file.read(PIECE_BYTES):
            held.append(piece)
            length += len(piece)
            if length >= size and (cut := piece.rfind(b"\n") + 1):
                yield b"".join([*held[:-1], piece[:cut]])
                held, length = [piece[cut:]], len(piece) - cut
    except Exception:
        whole = b"".join(held)
        if cut := whole.rfind(b"\n") + 1:
            yield whole[:cut]
        raise
    if length:
        yield b"".join(held)


class _Json:
    """Blocks of lines to tables; a column that looked like times stays text, as it came."""

    def __init__(self, count: Count) -> None:
        self.count = count
        self._as_text: dict[str, pa.DataType] = {}

    def __call__(self, block: bytes, lines: list[bytes], number: int) -> Iterator[pa.Table]:
        table = None if _deep(lines) else self._by_arrow(block, lines)
        if table is None:
            yield from self._by_python(lines, number)
        elif table.num_rows:
            yield table

    def _by_arrow(self, block: bytes, lines: list[bytes]) -> pa.Table | None:
        """None where Arrow would refuse or lose something."""
        from pyarrow import json as arrow_json

        if block.isspace():
            return pa.table({})
        try:
            _check_utf8(block)
            size = arrow_json.ReadOptions(block_size=min(len(block) + 1, 4 << 20))
            for _ in range(2):
                schema = pa.schema(self._as_text.items())
                table = arrow_json.read_json(
                    pa.BufferReader(block), size, arrow_json.ParseOptions(explicit_schema=schema)
                )
                times = {field.name: _timeless(field.type) for field in table.schema if _has_time(field.type)}
                if not times:
                    break
                self._as_text.update(times)
        except (pa.ArrowException, UnicodeDecodeError):
            return None
        full = len(lines) - lines.count(b"")
        if table.num_rows != full and table.num_rows != sum(1 for line in lines if line.strip()):
            return None  # two objects in a line
        if not table.column_names or _imprecise(table):
            return None
        absent = [name for name in self._as_text if table.column(name).null_count == table.num_rows]
        return table.drop_columns(absent) if absent else table

    def _by_python(self, lines: list[bytes], number: int) -> Iterator[pa.Table]:
        rows: list[dict[str, Any]] = []
        try:
            for place, line in enumerate(lines, number):
                if line.strip():
                    rows.append(_row(place, line, self.count))
        except ValueError:
            if rows:
                yield _table_of(rows)
            raise
        yield _table_of(rows)


def _check_utf8(block: bytes) -> None:
    offsets = pa.py_buffer(np.array([0, len(block)], np.int64))
    pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(block)]).validate(full=True)


def _deep(lines: list[bytes]) -> bool:
    """Whether a line may be nested so deeply that Arrow's parser would take the process down."""
    for line in lines:
        if len(line) > LONG_LINE and line.count(b"[") + line.count(b"{") > DEEP:
            found = np.frombuffer(line, np.uint8)
            steps = np.isin(found, (0x5B, 0x7B)).astype(np.int32) - np.isin(found, (0x5D, 0x7D))
            if steps.cumsum().max() > DEEP:
                return True
    return False


def _has_time(kind: pa.DataType) -> bool:
    inner = [kind.field(i).type for i in range(kind.num_fields)] if pa.types.is_nested(kind) else []
    return bool(pa.types.is_temporal(kind)) or any(_has_time(each) for each in inner)


def _timeless(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_temporal(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_timeless(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _timeless(field.type)) for field in kind])
    return kind


def _imprecise(table: pa.Table) -> bool:
    """Whether whole numbers beyond 64 bits may have become floats."""
    for column in table.columns:
        if pa.types.is_floating(column.type) and (pc.max(pc.abs(column)).as_py() or 0) >= 2**63:
            return True
    return False


def _row(number: int, line: bytes, count: Count) -> dict[str, Any]:
    text = decoded(line, count)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"line {number} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"line {number} is not a JSON object (got {type(value).__name__})")
    return value


def _table_of(rows: list[dict[str, Any]]) -> pa.Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not names:
        return pa.table({"": pa.nulls(len(rows))})
    return pa.table({name: column_of([row.get(name) for row in rows]) for name in names})


def json_list(file: BinaryIO, count: Count) -> Iterator[pa.Table] | None:
    """The objects of a JSON list; None where the file does not begin with one. Raises ValueError where it is no list of
    objects, or over 256 MB."""
    head = file.read(4096)
    if not head.removeprefix(MARK).lstrip().startswith(b"["):
        return None
    data = head + file.read(LIST_BYTES)
    if len(data) > LIST_BYTES:
        raise ValueError("a JSON list of over 256 MB; write an object a line, as `jq -c .[]` does")
    try:
        found = json.loads(decoded(data.removeprefix(MARK), count))
    except RecursionError as error:
        raise ValueError(f"is not JSON: {error}") from error
    wrong = next((value for value in found if not isinstance(value, dict)), None)
    if wrong is not None or None in found:
        raise ValueError(f"a JSON list must hold objects (got {type(wrong).__name__})")
    return (_table_of(found[first : first + 1000]) for first in range(0, len(found), 1000))


def csv_tables(file: BinaryIO, delimiter: str, *, as_text: Sequence[str]) -> Iterator[pa.Table]:
    """Rows of a CSV file with a header, quoted as RFC 4180 says. Columns whose first values are all whole numbers, or all
    numbers, are numbers; where a later value is none, that block has text. `as_text` and all others are text, as they
    came."""
    from pyarrow import csv

    names = _header(file, delimiter)
    options = {
        "read_options": csv.ReadOptions(block_size=BLOCK_BYTES, column_names=names),
        "parse_options": csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        "convert_options": csv.ConvertOptions(check_utf8=False, column_types=dict.fromkeys(names, pa.string())),
    }
    try:
        reader = csv.open_csv(pa.PythonFile(file, mode="r"), **options)
    except pa.ArrowInvalid as error:
        if not names or "Empty CSV" in str(error):
            return
        raise
    kinds: dict[str, pa.DataType] | None = None
    with reader:
        for batch in reader:
            table = pa.Table.from_batches([batch])
            if kinds is None:
                kinds = {name: kind for name in names if name not in as_text and (kind := _number(table.column(name)))}
            yield _typed(table, kinds)


def _header(file: BinaryIO, delimiter: str) -> list[str]:
    """The names in the first line."""
    import csv

    line = file.readline().removeprefix(MARK).decode("utf-8", "replace")
    names = next(csv.reader([line], delimiter=delimiter), [])
    if len(set(names)) < len(names):
        raise ValueError(f"the header names a column twice (got {', '.join(names)[:120]})")
    return names


def _number(values: pa.ChunkedArray) -> pa.DataType | None:
    for kind in (pa.int64(), pa.float64()):
        if _as_number(values, kind) is not None:
            return kind
    return None


def _as_number(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    """None where a value is no number, or would not print as it came, as a code 007 would not."""
    given = pc.if_else(pc.equal(values, ""), None, values)
    if given.null_count == len(given) or pc.any(pc.match_substring_regex(given, r"^[+]|^-?0[0-9]|[^0-9eE.+-]")).as_py():
        return None
    try:
        return given.cast(kind)
    except pa.ArrowInvalid:
        return None


def _typed(table: pa.Table, kinds: dict[str, pa.DataType]) -> pa.Table:
    for name, kind in kinds.items():
        found = _as_number(table.column(name), kind)
        if found is not None:
            table = table.set_column(table.column_names.index(name), name, found)
    return table
