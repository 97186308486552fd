"""Drawing 2,000 pages out of a folder of Parquet shards, beside DuckDB's scan of the same columns; its memory at two
corpus sizes; and the near-duplicate pass by itself.

`CURATE_BENCH_ROWS` sets the rows of the larger corpus (5,000,000, 10 GB of text; less with --quick). Every run is a
process of its own, so that its peak memory is known. The corpus lies in a temporary folder and is deleted.
"""

import json
import os
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from generated import text, texts
from measure import Case, Row, rows, seconds

PAGES = 2000
ROWS, QUICK_ROWS, SHARDS = 5_000_000, 20_000, 10
POOL_CHARS, MEAN_CHARS, ROW_GROUP = 32 << 20, 2000, 20_000
LANGS = ("en", "de", "fr", "ja", "es", "ru", "pl", "it")
COLUMNS = {"text": "text", "url": "url", "lang": "lang", "id": "id"}


def run(*, quick: bool) -> list[Row]:
    """Rows a second, with the time of the process' start left out; megabytes; pages a second."""
    count = int(os.environ.get("CURATE_BENCH_ROWS", QUICK_ROWS if quick else ROWS))
    runs = 1 if quick else 3
    with TemporaryDirectory() as folder:
        large, small = Path(folder) / "large", Path(folder) / "small"
        write_corpus(large, count)
        write_corpus(small, count // 5)
        what = f"{count:,} rows, {sum(p.stat().st_size for p in large.iterdir()) / 1e9:.1f} GB on disk"
        peaks: dict[str, list[float]] = {}

        def case(name: str, how: str, corpus: Path, note: str = what) -> Case:
            def once() -> float:
                found = _child(how, corpus)
                peaks.setdefault(name, []).append(found["peak_mb"])
                return float(found["rows"] / found["seconds"])

            return Case(name, once, note)

        speed = [
            case("DuckDB scans the columns, 2 threads", "duckdb", large),
            case("DuckDB hands the columns out as Arrow", "duckdb arrow", large),
            case("uniform", "uniform", large),
            case("by lang, proportional", "lang", large),
            case("by score, 5 bins", "bins", large),
            case("where chars > 1000", "where", large),
            case("diverse out of 10,000", "diverse", large),
            case("uniform, a fifth of the corpus", "uniform", small, f"{count // 5:,} rows"),
        ]
        found = rows("sample", speed, unit="rows/s", runs=runs)
        memory = [
            Case(f"peak memory: {name}", lambda values=values: values.pop(0))
            for name, values in peaks.items()
            if not name.startswith("DuckDB")
        ]
        found += rows("sample", memory, unit="MB", runs=runs)
    return found + _near_duplicates(500 if quick else 5000, runs)


def _near_duplicates(count: int, runs: int) -> list[Row]:
    from curate.sampling.duplicates import marks_of, near_duplicates, sets_of

    pages = [*texts(count), *(f"Home\n{text(n)}\nContact" for n in range(count // 10))]

    def once() -> float:
        return len(pages) / seconds(lambda: sets_of(len(pages), near_duplicates(marks_of(pages), similarity=0.7)))

    return rows("sample", [Case(f"near-duplicates, {len(pages):,} pages", once)], unit="pages/s", runs=runs, warm=True)


def write_corpus(folder: Path, count: int) -> None:
    """Rows of some 2,000 characters of words: slices of a long text, so that writing ten gigabytes takes a minute."""
    folder.mkdir()
    random = np.random.default_rng(0)
    pool = np.frombuffer(" ".join(texts(400, words=12_000)).encode()[:POOL_CHARS], np.uint8)
    for shard in range(SHARDS):
        size = count // SHARDS
        with pq.ParquetWriter(
            folder / f"shard-{shard:02}.parquet", _table(pool, random, 1, 0).schema, compression="zstd"
        ) as file:
            for start in range(0, size, ROW_GROUP):
                file.write_table(_table(pool, random, min(ROW_GROUP, size - start), shard * size + start))


def _table(pool: np.ndarray, random: np.random.Generator, count: int, first: int) -> pa.Table:
    lengths = np.minimum(random.lognormal(np.log(MEAN_CHARS) - 0.32, 0.8, count).astype(np.int64) + 20, 50_000)
    starts = random.integers(0, len(pool) - 50_002, count)
    starts += pool[starts] == ord(" ")
    data = np.concatenate([pool[a : a + n] for a, n in zip(starts, lengths, strict=True)])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    text_ = pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(data))
    ids = np.arange(first, first + count)
    hosts = random.zipf(1.3, count) % 100_000
    return pa.table(
        {
            "id": pa.array([f"page-{n:09}" for n in ids]),
            "url": pa.array([f"https://host{h}.example.org/{n}/page.html" for h, n in zip(hosts, ids, strict=True)]),
            "lang": pa.array(np.array(LANGS)[np.minimum(random.zipf(1.6, count) - 1, len(LANGS) - 1)]),
            "score": pa.array(random.normal(size=count)),
            "text": text_,
        }
    )


def _child(how: str, corpus: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, how, str(corpus)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measured(how: str, corpus: Path) -> dict[str, Any]:
    scans = {"duckdb": _scan, "duckdb arrow": _hand_out}
    work = partial(scans[how], corpus) if how in scans else _draw(how, corpus)
    start = time.perf_counter()
    count = work()
    took = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": count, "seconds": took, "peak_mb": peak}


def _scan(corpus: Path) -> int:
    import duckdb

    connection = duckdb.connect(config={"threads": 2})
    sums = ", ".join(f"sum(length({name}))" for name in ("text", "url", "lang", "id"))
    query = f"SELECT count(*), sum(score), {sums} FROM read_parquet('{corpus}/*.parquet')"
    return int(connection.sql(query).fetchall()[0][0])


def _hand_out(corpus: Path) -> int:
    """What any program that looks at the pages has to wait for at least."""
    import duckdb

    connection = duckdb.connect(config={"threads": 2})
    found = connection.sql(f"SELECT text, url, lang, id, score FROM read_parquet('{corpus}/*.parquet')")
    return sum(batch.num_rows for batch in found.to_arrow_reader(8192))


def _draw(how: str, corpus: Path) -> Any:
    from curate.progress import Quiet
    from curate.sources import Source, shards
    from curate.stages import sample
    from curate.store import Store

    designs: dict[str, dict[str, Any]] = {
        "uniform": {},
        "lang": {"by": "lang"},
        "bins": {"by": "score", "bins": 5, "strata": "equal"},
        "where": {"where": "chars > 1000"},
        "diverse": {"how": "diverse"},
    }
    settings = sample.Settings(pages=PAGES, **designs[how])
    source = Source(path=str(corpus), **COLUMNS)

    def work() -> int:
        with TemporaryDirectory() as folder:
            found = shards(source, below=corpus)
            report = sample.run(Store(Path(folder)), settings, source=source, shards=found, name="s", progress=Quiet())
        assert report.drawn == PAGES, report
        return sum(shard.rows or 0 for shard in found)

    return work


if __name__ == "__main__":
    print(json.dumps(_measured(sys.argv[1], Path(sys.argv[2]))))
