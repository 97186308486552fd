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

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import BadInput, CurateError, did_you_mean
from curate.schema import TABLES, now
from curate.sources.columns import unified, wider

if TYPE_CHECKING:
    import duckdb

_URL = "lower(regexp_replace(url, '^[\\x00-\\x20\\p{Z}\\x{85}]+|[\\x00-\\x20\\p{Z}\\x{85}]+$|[\\t\\r\\n]', '', 'g'))"
_NETLOC = r"(?:\[([^\]/?#]*)\][^/?#]*|([^/?#:\[\]]*)(?::[^/?#\[\]]*)?)(?:[/?#]|$)"
_URL_PARTS = f"regexp_extract({_URL}, '^(?:(?:[a-z][a-z0-9+.-]*:)?//)?(?:[^/?#]*@)?{_NETLOC}', ['address', 'name'])"
HOST_SQL = f"rtrim(regexp_replace(concat({_URL_PARTS}.address, {_URL_PARTS}.name), '^www\\.', ''), '.')"
"""`schema.host_of` as SQL over a column `url`. They differ only where brackets are out of place."""
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

    def link(self, path: Path, to: Path) -> Path:
        """The same file under another name, whole or absent: a hard link, or a copy where the disk knows none."""
        with whole(to) as temporary:
            try:
                os.link(path, temporary)
            except OSError:
                shutil.copyfile(path, temporary)
        return to

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
        return unified([_read_part(p) for p in parts])

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
        """By the table's schema, so that no part is opened to learn its columns. A column that a part lacks is NULL.
        Only of `pages`, which has few parts, the footers are read: its parts carry the columns of their source too."""
        parts, empty = self.parts(table, scope), _schema(table).empty_table()
        if not parts:
            connection.register(table, empty)
            return
        files = ", ".join("'" + str(part).replace("'", "''") + "'" for part in parts)
        if table == "pages":
            empty = _with_extras(empty, parts)
        types = zip(empty.column_names, connection.from_arrow(empty).types, strict=True)
        texts = ((name.replace("'", "''"), str(type_).replace("'", "''")) for name, type_ in types)
        columns = (f"'{name}': {{name: '{name}', type: '{type_}', default_value: NULL}}" for name, type_ in texts)
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


class Expressions:
    """SQL over the rows of a batch, each page by itself: a condition, and values by name.

    It sees the columns of the table it is given, and of these makes `host` (from `url`) and `chars` (from `text`); no
    file, no other table, no other row. Raises BadInput for what is no SQL expression of one page.
    """

    def __init__(self, values: Mapping[str, str], *, where: str = "", key: str = "sample") -> None:
        import duckdb

        self._connection = duckdb.connect(":memory:", config={"enable_external_access": "false"})
        self._connection.execute("SET autoinstall_known_extensions=false; SET autoload_known_extensions=false")
        self._connection.execute("SET python_enable_replacements=false; SET lock_configuration=true")
        self._values, self._where, self._key = dict(values), where, key
        given = {**({"where": where} if where else {}), **self._values}
        self.columns = {name.lower() for what, sql in given.items() for name in self._names(what, sql)}
        """Names that the expressions use, in lower case."""

    def __call__(self, table: pa.Table) -> pa.Table:
        """The rows that meet the condition: `row`, their place in the table, in order, and the values."""
        asked = ", ".join(f"{sql} AS {_quoted(name)}" for name, sql in self._casts().items())
        query = f"SELECT _row AS row{', ' if asked else ''}{asked} FROM pages"
        found = self._ask(table, query + (f" WHERE ({self._where}\n)" if self._where else ""))
        return found.sort_by("row") if found.num_rows else found

    def check(self, table: pa.Table) -> None:
        """Try each expression on some rows. Raises BadInput with DuckDB's words and the columns that exist."""
        if self._where:
            self._ask(table, f"SELECT 1 FROM pages WHERE ({self._where}\n)", "where")
        for name, sql in self._casts().items():
            self._ask(table, f"SELECT {sql} FROM pages", name)

    def _casts(self) -> dict[str, str]:
        return {name: f"({sql}\n)" for name, sql in self._values.items()}

    def _ask(self, table: pa.Table, query: str, what: str = "") -> pa.Table:
        import duckdb

        names = [n for n in table.column_names if n.lower() in self.columns | self._needs()]
        rows = table.select(names).drop_columns([n for n in names if n.lower() in ("host", "chars", "_row")])
        rows = rows.append_column("_row", pa.array(np.arange(table.num_rows)))
        made = [f"{sql} AS {name}" for name, sql in self._made().items() if name in self.columns]
        view = f"(SELECT *{''.join(', ' + one for one in made)} FROM rows)"
        try:
            self._connection.register("rows", rows)
            return self._connection.sql(query.replace(" FROM pages", f" FROM {view} AS pages", 1)).to_arrow_table()
        except duckdb.Error as error:
            known = sorted({*table.column_names, *self._made()})
            unknown = next(iter(sorted(self.columns - {name.lower() for name in known})), "")
            hint = did_you_mean(unknown, known) if unknown else f" (columns: {', '.join(known)})"
            at = f"{self._key}.{what}" if what else self._key
            raise BadInput(f"{at}: {_words(error).split('! Candidate bindings')[0]}{hint}") from error

    @staticmethod
    def _made() -> dict[str, str]:
        return {"host": HOST_SQL, "chars": "length(text)"}

    def _needs(self) -> set[str]:
        return {needed for name, needed in (("host", "url"), ("chars", "text")) if name in self.columns}

    def _names(self, what: str, sql: str) -> set[str]:
        """The names in an expression. Raises BadInput when it is not one expression over one page."""
        answer = self._connection.execute("SELECT json_serialize_sql(?)", [f"SELECT ({sql}\n)"]).fetchall()
        parsed = json.loads(answer[0][0])
        at = f"{self._key}.{what}: {sql!r}"
        if parsed["error"]:
            raise BadInput(f"{at}: {' '.join(str(parsed.get('error_message', 'is no SQL expression')).split())}")
        nodes = list(_nodes(parsed))
        kinds = {str(node.get("class")) for node in nodes}
        selects = [node for node in nodes if node.get("type") == "SELECT_NODE"]
        if len(selects) != 1 or selects[0]["from_table"]["type"] != "EMPTY" or len(selects[0]["select_list"]) != 1:
            raise BadInput(f"{at}: must be one expression over the columns of a page, without SELECT or FROM")
        if "WINDOW" in kinds:
            raise BadInput(f"{at}: a window function looks at other pages; each page is seen by itself (see bins)")
        return {name for node in nodes if node.get("class") == "COLUMN_REF" for name in node["column_names"]}


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a JSON value."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(part)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


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


def _with_extras(empty: pa.Table, parts: list[Path]) -> pa.Table:
    """The empty table with the other columns of the parts; one whose types do not agree is text."""
    found: dict[str, pa.DataType] = {}
    for part in parts:
        try:
            schema = pq.read_schema(part)
        except (pa.ArrowException, OSError):
            continue  # it is named when it is read
        for extra in schema:
            if extra.name not in empty.column_names:
                found[extra.name] = wider(found.get(extra.name, extra.type), extra.type)
    for name, kind in found.items():
        empty = empty.append_column(name, pa.array([], kind))
    return empty


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
