"""Reading a corpus: `read` against DuckDB's scan of the same columns, and what it holds in memory, by format and size."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from generated import texts
from measure import Case, Row, cannot_run, rows, seconds

from curate.sources import Source, read, shards

PAGES = 4000
"""Different pages; a shard is made of them several times over, as far apart as no packing can see."""
PEAK = """
import re, sys
from pathlib import Path
from curate.sources import Source, read, shards
source = Source(path=sys.argv[1])
found = [len(batch) for shard in shards(source, below=Path()) for batch in read(source, shard)]
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024)
"""


def run(*, quick: bool) -> list[Row]:
    """MB of text a second, and MB of memory at the most."""
    with TemporaryDirectory() as made:
        folder = Path(made)
        copies, runs = (2, 2) if quick else (100, 5)
        size = _write(folder, copies)
        speed = [*_parquet(folder / "parquet" / "*.parquet", size, runs), *_lines(folder / "lines.jsonl", size, runs)]
        return [*speed, *_memory(folder, runs=1 if quick else 2)]


def _write(folder: Path, copies: int) -> float:
    """The same pages as Parquet shards, as half of those, as one row group and as lines; gives the MB of text."""
    pages = texts(PAGES)
    table = pa.table(
        {"text": pages, "url": [f"https://site{n % 97}.example/{n}" for n in range(PAGES)], "n": range(PAGES)}
    )
    for name, count in (("parquet", copies), ("half", copies // 2)):
        (folder / name).mkdir()
        for first in range(0, count, 10):
            shard = pa.concat_tables([table] * min(10, count - first))
            where = folder / name / f"{first:03d}.parquet"
            pq.write_table(shard, where, row_group_size=5000, use_dictionary=["url"], compression="zstd")
    wide = pa.concat_tables([table.set_column(0, "text", table.column("text").cast(pa.large_string()))] * copies)
    pq.write_table(wide, folder / "one.parquet", row_group_size=wide.num_rows, use_dictionary=["url"])
    line = b"".join(json.dumps(row).encode() + b"\n" for row in table.to_pylist())
    (folder / "lines.jsonl").write_bytes(line * max(copies // 5, 1))
    return copies * sum(map(len, pages)) / 1e6


def _parquet(path: Path, size: float, runs: int) -> list[Row]:
    def scan(sql: str, take: Callable[[duckdb.DuckDBPyRelation], object]) -> float:
        with duckdb.connect() as connection:
            return size / seconds(lambda: take(connection.sql(sql.format(f"read_parquet('{path}')"))))

    def batches() -> None:
        for file in sorted(path.parent.glob(path.name)):
            with pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20) as opened:
                assert sum(batch.num_rows for batch in opened.iter_batches(batch_size=3000))

    summed = "SELECT sum(strlen(text)), sum(strlen(url)), sum(n) FROM {}"
    cases = [
        Case("Parquet, DuckDB hands out", lambda: scan("SELECT text, url, n FROM {}", lambda c: _drain(c)), "as Arrow"),
        Case("Parquet, read", lambda: size / seconds(lambda: _read(path))),
        Case("Parquet, DuckDB sums up", lambda: scan(summed, lambda c: c.fetchall()), "nothing is handed out"),
        Case("Parquet, ParquetFile.iter_batches", lambda: size / seconds(batches)),
    ]
    return rows("sources", cases, unit="MB/s", runs=runs, warm=True)


def _drain(found: duckdb.DuckDBPyRelation) -> None:
    reader = found.to_arrow_reader(3000) if hasattr(found, "to_arrow_reader") else found.fetch_record_batch(3000)
    assert sum(batch.num_rows for batch in reader)


def _lines(path: Path, size: float, runs: int) -> list[Row]:
    size = path.stat().st_size / 1e6

    def scanned() -> None:
        with duckdb.connect() as connection:
            _drain(connection.sql(f"SELECT text, url, n FROM read_json('{path}', format='newline_delimited')"))

    cases = [
        Case("JSON lines, DuckDB hands out", lambda: size / seconds(scanned), "as Arrow"),
        Case("JSON lines, read", lambda: size / seconds(lambda: _read(path))),
    ]
    return rows("sources", cases, unit="MB/s", runs=runs, warm=True)


def _read(path: Path) -> None:
    source = Source(path=str(path))
    found = shards(source, below=path.parent)
    assert sum(len(batch) for shard in found for batch in read(source, shard))


def _memory(folder: Path, *, runs: int) -> list[Row]:
    """Each in a process of its own, with Python and Arrow in it."""

    def peak(path: Path) -> float:
        command = [sys.executable, "-c", PEAK, str(path)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    if not Path("/proc/self/status").exists():
        return cannot_run("sources", "peak memory is read from /proc, which is not here")
    cases = [
        Case("peak, half of the shards", lambda: peak(folder / "half")),
        Case("peak, all shards", lambda: peak(folder / "parquet")),
        Case("peak, one row group of all", lambda: peak(folder / "one.parquet")),
        Case("peak, JSON lines", lambda: peak(folder / "lines.jsonl")),
    ]
    return rows("sources", cases, unit="MB", runs=runs)
