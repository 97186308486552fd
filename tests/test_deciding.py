"""Which threshold an aim comes to, on real tables of scores."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.deciding import (
    BELOW,
    DUPLICATE,
    KEPT,
    NO_TEXT,
    by_own_threshold,
    counted,
    decide,
    held_out,
    promised,
    promised_by_slice,
    tier_edges,
)
from curate.schema import SCORES
from curate.store import Store

SCORE = [0.9, 0.9, 0.7, 0.5, 0.3, 0.1, None, 0.9]
"""The last but one has no text, the last is a copy of the first."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    rows = [
        {
            "page_id": "p0" if i == 7 else f"p{i}",
            "shard": "ab"[i // 4],
            "row": i % 4,
            "url": "",
            "score": score,
            "chars": 100 * (i + 1),
            "outside": False,
            "classifier_id": "c",
        }
        for i, score in enumerate(SCORE)
    ]
    store.append("scores", pa.Table.from_pylist(rows, schema=SCORES), scope="s")
    return store


def write_held(folder: Path, n: int = 120, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    probability = rng.random(n)
    keep = [bool(rng.random() < p) for p in probability]
    path = folder / "held.parquet"
    pq.write_table(pa.table({"page_id": [f"h{i}" for i in range(n)], "probability": probability, "keep": keep}), path)
    return path


def sample(n: int = 120, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "page_id": f"h{i}",
            "round": 1,
            "inclusion_probability": 0.5 if i % 2 else 0.1,
            "group_id": f"g{i // 2}",
            "lang": "en" if i < 100 else "de" if i < 110 else None,
            **more,
        }
        for i in range(n)
    ]


HOW: dict[str, Any] = {"confidence": 0.9, "drop_duplicates": True, "chars_per_token": 4}


@pytest.mark.parametrize(
    ("aim", "threshold", "kept", "met"),
    [
        ("keep_rate=0.5", 0.7, 3, True),
        ("keep_rate=0.4", 0.9, 2, True),
        ("keep_rate=0.1", 0.9, 2, False),
        ("keep_rate<=0.6", 0.7, 3, True),
        ("keep_rate=1", 0.1, 6, True),
        ("chars<=300", 0.9, 2, True),
        ("chars<=1000", 0.5, 4, True),
        ("tokens<=150", 0.7, 3, True),
    ],
)
def test_shares_and_budgets_are_counted_on_the_corpus(
    store: Store, tmp_path: Path, aim: str, threshold: float, kept: int, met: bool
) -> None:
    found = counted(store, "s", held_out(write_held(tmp_path), ()), aim, **HOW)
    assert found.threshold == threshold
    assert found.promised is met
    assert found.corpus_share == pytest.approx(kept / 6)
    assert f"{kept} of 6 scored pages" in found.note
    assert ("equal scores cannot be parted" in found.note) is not met


def test_a_budget_that_no_page_fits_keeps_none(store: Store, tmp_path: Path) -> None:
    found = counted(store, "s", held_out(write_held(tmp_path), ()), "chars<=50", **HOW)
    assert found.threshold > 0.9
    assert found.corpus_share == 0
    assert "not even the best page fits" in found.note
    tables = decide(store, "s", threshold=found.threshold, tiers=[], drop_duplicates=True, classifier_id="c")
    assert not any(any(t.column("keep").to_pylist()) for t in tables.values())


def test_a_budget_counts_copies_where_they_stay(store: Store, tmp_path: Path) -> None:
    held = held_out(write_held(tmp_path), ())
    found = counted(store, "s", held, "chars<=300", **{**HOW, "drop_duplicates": False})
    assert found.corpus_share == 0, "the copy is the third page of that score: 1,100 characters together"


def test_tiers_at_quantiles(store: Store) -> None:
    edges = tier_edges(store, "s", [0.5, 0.8], drop_duplicates=True)
    assert edges == pytest.approx(np.quantile([0.9, 0.9, 0.7, 0.5, 0.3, 0.1], [0.5, 0.8]))
    assert tier_edges(store, "empty", [0.5], drop_duplicates=True) == [0.5]


def test_each_row_by_the_threshold_of_its_slice(store: Store) -> None:
    tables = decide(store, "s", threshold=0.6, tiers=[0.5], drop_duplicates=True, classifier_id="c")
    first = tables["a"]
    assert first.column("reason").to_pylist() == [KEPT, KEPT, KEPT, BELOW]
    again = by_own_threshold(first, np.array([0.95, 0.6, 0.8, 0.4]))
    assert again.column("reason").to_pylist() == [BELOW, KEPT, BELOW, KEPT]
    assert again.column("keep").to_pylist() == [False, True, False, True]
    assert again.schema == first.schema
    second = by_own_threshold(tables["b"], np.zeros(4))
    assert second.column("reason").to_pylist() == [KEPT, KEPT, NO_TEXT, DUPLICATE]


def test_held_out_pages_stand_for_what_the_sample_says(tmp_path: Path) -> None:
    path = write_held(tmp_path)
    held = held_out(path, sample()[:-1])
    assert held.weight[:2].tolist() == [10, 2]
    assert held.weight[-1] == 0, "a page that left the sample weighs nothing"
    assert held.group[:4].tolist() == ["g0", "g0", "g1", "g1"]
    assert not held.ranked().exact
    alone = held_out(path, ())
    assert set(alone.weight) == {1.0}
    assert alone.ranked().exact


def test_pages_without_a_label_are_left_out(tmp_path: Path) -> None:
    table = pa.table({"page_id": ["a", "b"], "probability": [0.2, 0.8], "keep": pa.array([None, True])})
    pq.write_table(table, tmp_path / "held.parquet")
    assert held_out(tmp_path / "held.parquet", ()).keep.tolist() == [True]


def test_aims_at_labels(tmp_path: Path) -> None:
    held = held_out(write_held(tmp_path), ())
    assert promised(held, "threshold=0.25", 0.9).threshold == 0.25
    assert promised(held, "f1", 0.9).promised is None
    assert promised(held, "precision>=0.6", 0.9).promised is True
    assert promised(held, "precision>=0.99", 0.9).promised is False


def test_a_slice_has_a_threshold_of_its_own_where_it_can_promise_one(tmp_path: Path) -> None:
    held = held_out(write_held(tmp_path), sample())
    found = promised_by_slice(held, "lang", "f1", 0.9)
    assert set(found) == {"en", "de", "(none)"}
    assert found["de"] is None, "10 labels are too few"
    assert found["en"] is not None
    assert found["en"].n == 100
    assert set(promised_by_slice(held, "lang", "precision>=0.99", 0.9).values()) == {None}
