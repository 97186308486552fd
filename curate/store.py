"""The workspace: tables as folders of Parquet parts, DuckDB in memory over them, records as JSON files.

Only this file speaks DuckDB. A part is written whole or is not there; nothing is overwritten.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import BadInput, CurateError, did_you_mean
from curate.schema import TABLES, now

if TYPE_CHECKING:
    import duckdb

MEND = "put the part back from a copy, or set another workspace"


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Write to the yielded `.tmp` path; on success it becomes `path` in one step, on failure it is gone.

    Raises CurateError when the disk is full or the folder cannot be made, naming the file.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise CurateError(
            f"{path}: could not be written ({error.strerror or error}); nothing was left behind"
        ) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(temporary, ignore_errors=True) if temporary.is_dir() else temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """A text file, whole or absent."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogatepass" if path.suffix == ".jsonl" else "replace")
    return path


def write_json(path: Path, value: Any) -> Path:
    """A JSON file, whole or absent; NaN is not JSON and is refused."""
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file. Raises BadInput when it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: is not readable JSON ({error}); delete it to make it again") from error


def write_parquet(path: Path, table: pa.Table) -> Path:
    """A Parquet file, whole or absent."""
    with whole(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    return path


class Store:
    """One pipeline's workspace folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def append(
        self, table: str, rows: pa.Table | Iterable[Mapping[str, Any]], *, scope: str = "", part: str = ""
    ) -> Path:
        """Write rows as one new part of `table`, below folder `scope`; `part` names it, else it gets a name of its own.

        Half a character (a lone surrogate, as a reply that was cut short may end in) is written as `?`. Raises BadInput
        for an unknown table and CurateError when the disk is full.
        """
        data = rows if isinstance(rows, pa.Table) else _table(list(rows), _schema(table))
        name = part or uuid.uuid4().hex[:16]
        return write_parquet(self.folder(table, scope) / f"part-{name}.parquet", data)

    def folder(self, table: str, scope: str = "") -> Path:
        """The folder of a table's parts."""
        _schema(table)
        return self.root / table / scope if scope else self.root / table

    def parts(self, table: str, scope: str = "") -> list[Path]:
        """A table's parts in name order; with `scope`, those of one folder."""
        return sorted(p for p in self.folder(table, scope).rglob("part-*.parquet") if not p.name.startswith("."))

    def read(self, table: str, scope: str = "") -> pa.Table:
        """The whole table in memory (an empty one where there are no parts). Raises CurateError for a damaged part."""
        parts = self.parts(table, scope)
        if not parts:
            return _schema(table).empty_table()
        return pa.concat_tables([_read_part(p) for p in parts], promote_options="permissive")

    def rows(self, table: str, scope: str = "") -> list[dict[str, Any]]:
        """The whole table as dictionaries."""
        rows: list[dict[str, Any]] = self.read(table, scope).to_pylist()
        return rows

    def connect(self, scopes: Mapping[str, str] | None = None) -> "duckdb.DuckDBPyConnection":
        """DuckDB in memory with every table as a view; `scopes` says which folder of a table is the current one."""
        import duckdb

        connection = duckdb.connect(":memory:")
        connection.execute("SET autoinstall_known_extensions=false; SET autoload_known_extensions=false")
        connection.execute("SET python_enable_replacements=false")  # a table's name never means a variable of ours
        for table in TABLES:
            self._view(connection, table, (scopes or {}).get(table, ""))
        return connection

    def sql(self, query: str, parameters: Iterable[Any] = (), *, scopes: Mapping[str, str] | None = None) -> pa.Table:
        """Answer one query over the tables.

        Raises BadInput with DuckDB's own words when it cannot be answered, CurateError for a damaged part.
        """
        import duckdb

        try:
            with self.connect(scopes) as connection:
                result = connection.sql(query, params=list(parameters))
                return result.to_arrow_table() if result is not None else pa.table({})
        except duckdb.Error as error:
            if part := next((p for table in TABLES for p in self.parts(table) if str(p) in str(error)), None):
                raise CurateError(f"{part}: is damaged ({_words(error)}); {MEND}") from error
            raise BadInput(f"sql: {_words(error)} (tables: {', '.join(TABLES)})") from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Only one run at a time writes stages. Raises CurateError when another one is at work; the lock dies with it.

        Raises BadInput when the workspace is no folder, or one that cannot be written to.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            (self.root / ".lock").touch()
        except OSError as error:
            raise BadInput(f"{self.root}: the workspace cannot be written to ({error.strerror or error})") from error
        with open(self.root / ".lock", "w") as file:
            if not _take(file):
                raise CurateError(f"{self.root}: another run is at work on this workspace; wait for it, or stop it")
            yield

    def _view(self, connection: "duckdb.DuckDBPyConnection", table: str, scope: str) -> None:
        """By the table's schema, so that no part is opened to learn its columns. A column that a part lacks is NULL."""
        parts, empty = self.parts(table, scope), _schema(table).empty_table()
        if not parts:
            connection.register(table, empty)
            return
        files = ", ".join("'" + str(part).replace("'", "''") + "'" for part in parts)
        types = zip(empty.column_names, connection.from_arrow(empty).types, strict=True)
        columns = (f"'{name}': {{name: '{name}', type: '{type_}', default_value: NULL}}" for name, type_ in types)
        options = f"schema=map {{{', '.join(columns)}}}, hive_partitioning=false"  # a folder named a=b adds no column
        connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet([{files}], {options})")

    def record(self, stage: str, name: str) -> dict[str, Any] | None:
        """What a finished stage wrote down under its fingerprint, or None: presence is the record."""
        path = self.root / "stages" / f"{stage}-{name}.json"
        return read_json(path) if path.exists() else None

    def write_record(self, stage: str, name: str, value: Mapping[str, Any]) -> Path:
        """Write down that a stage is done."""
        return write_json(self.root / "stages" / f"{stage}-{name}.json", {**value, "at": now()})

    def records(self, stage: str) -> list[dict[str, Any]]:
        """All records of a stage, oldest first."""
        found = [read_json(p) for p in (self.root / "stages").glob(f"{stage}-*.json")]
        return sorted(found, key=lambda r: str(r.get("at", "")))


def _take(file: IO[str]) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows has no flock; there two runs at once do the work twice, parts stay whole
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _table(rows: list[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    try:
        return pa.Table.from_pylist(rows, schema=schema)
    except UnicodeEncodeError:
        return pa.Table.from_pylist([{name: _encodable(row[name]) for name in row} for row in rows], schema=schema)


def _encodable(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value


def _read_part(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise CurateError(f"{path}: is damaged ({' '.join(str(error).split())[:160]}); {MEND}") from error


def _words(error: Exception) -> str:
    """DuckDB's words in one line, without the excerpt of the query."""
    return " ".join(str(error).split("\n\nLINE ")[0].split())


def _schema(table: str) -> pa.Schema:
    if table not in TABLES:
        raise BadInput(f"no table {table!r}{did_you_mean(table, TABLES)}")
    return TABLES[table]
