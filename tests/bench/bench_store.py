"""The workspace: finding the pages without a judgment, and labels that are a part each."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from measure import Case, Row, rows, seconds

from curate import rubric as rubrics
from curate.judge import Judge, of_rubric
from curate.schema import JUDGMENTS, Judgment, page_id
from curate.stages import score
from curate.store import Store

RUBRIC = Path(__file__).parents[2] / "rubrics" / "stem.md"
BATCH_PAGES = score.Settings().batch_pages
LABELS = 300


def run(*, quick: bool) -> list[Row]:
    """The anti-join of `score`, and small parts against a big one."""
    with TemporaryDirectory() as folder:
        return [
            *_missing(Path(folder), 10_000 if quick else 200_000, runs=2 if quick else 5),
            *_labels(Path(folder), runs=2 if quick else 5),
        ]


def _missing(folder: Path, pages: int, *, runs: int) -> list[Row]:
    """Half of the pages are judged, in few parts or in as many as `score` writes."""
    judge = of_rubric(rubrics.load(RUBRIC), "level", model="openai/stub", layout="page_first", page_chars=450)
    sample = [{"page_id": page_id(str(number))} for number in range(pages)]
    judged = [page["page_id"] for page in sample[::2]]
    big, small = Store(folder / "big"), Store(folder / "small")
    _write_judgments(big, judge, judged, part_rows=pages // 10)
    parts = _write_judgments(small, judge, judged, part_rows=BATCH_PAGES)

    def found(work: Callable[[], list[Any]]) -> float:
        left: list[Any] = []
        took = seconds(lambda: left.extend(work()))
        assert len(left) == pages - len(judged)
        return took

    def by_set() -> list[Any]:
        done = set(judged)
        return [page for page in sample if page["page_id"] not in done]

    cases = [
        Case(f"a set, {pages:,} pages", lambda: found(by_set), "ids in memory, nothing read"),
        Case(f"missing, {pages:,} pages, 5 parts", lambda: found(lambda: score.missing(big, judge, sample))),
        Case(f"missing, {pages:,} pages, {parts:,} parts", lambda: found(lambda: score.missing(small, judge, sample))),
    ]
    return rows("store", cases, unit="s", runs=runs, warm=True)


def _write_judgments(store: Store, judge: Judge, ids: list[str], *, part_rows: int) -> int:
    made = [Judgment(name, judge.id, "ok", level=3, score=3.0, expected=3.0, raw="3").row() for name in ids]
    table = pa.Table.from_pylist(made, schema=JUDGMENTS)
    starts = range(0, len(ids), part_rows)
    for start in starts:
        store.append("judgments", table.slice(start, part_rows), scope=judge.id)
    return len(starts)


def _labels(folder: Path, *, runs: int) -> list[Row]:
    labels = [_label(number) for number in range(LABELS)]
    fresh = count()

    def write(parts: list[list[Row]]) -> float:
        store = Store(folder / f"labels-{next(fresh)}")
        return seconds(lambda: [store.append("labels", part) for part in parts])

    one, each = [labels], [[label] for label in labels]
    written = [
        Case(f"write {LABELS} labels, one part", lambda: write(one)),
        Case(f"write {LABELS} labels, a part each", lambda: write(each)),
    ]
    stores = [Store(folder / "one"), Store(folder / "each")]
    for store, parts in zip(stores, (one, each), strict=True):
        for part in parts:
            store.append("labels", part)
    read = [
        Case(f"read {LABELS} labels, one part", lambda: seconds(lambda: stores[0].read("labels"))),
        Case(f"read {LABELS} labels, a part each", lambda: seconds(lambda: stores[1].read("labels"))),
    ]
    return [
        *rows("store", written, unit="s", runs=runs, warm=True),
        *rows("store", read, unit="s", runs=runs, warm=True),
    ]


def _label(number: int) -> Row:
    return {
        "label_id": f"{number:016x}",
        "page_id": page_id(str(number)),
        "rater": "first",
        "level": number % 6,
        "note": "explains how it works, with a worked number",
        "at": "2026-01-01T00:00:00+00:00",
        "seconds": 12.5,
        "shown": "0123456789abcdef",
        "assisted": False,
        "rubric_hash": "0123456789abcdef",
    }
