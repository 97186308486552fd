from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.errors import BadInput, CurateError
from curate.progress import Quiet
from curate.sampling.candidates import MOST_VALUES, Bins, Candidates, Frame, draw_from
from curate.sampling.draw import Plan
from curate.sources import Skips, Source, shards


def put(folder: Path, name: str, columns: dict[str, Any]) -> None:
    pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def drawn(
    folder: Path,
    *,
    size: int | None = None,
    exclude: list[str] | None = None,
    source: dict[str, Any] | None = None,
    **frame: Any,
) -> tuple[Candidates, Skips]:
    given, skips = Source(path="*.parquet", **(source or {})), Skips()
    found = draw_from(
        given,
        shards(given, below=folder),
        Frame(**frame),
        plan=Plan(size, "equal" if frame.get("bins") else "proportional"),
        seed="s",
        skips=skips,
        progress=Quiet(),
        exclude=exclude or [],
    )
    return found, skips


def test_shards_whose_columns_differ_are_drawn_together(tmp_path: Path) -> None:
    put(tmp_path, "a", {"text": ["one", "two"], "score": [1, 2], "only_a": ["x", "y"]})
    put(tmp_path, "b", {"text": ["three", "four"], "score": [0.5, 2.5], "only_b": [[1], [2]]})
    put(tmp_path, "c", {"text": ["five"], "score": ["high"]})
    found, _ = drawn(tmp_path)
    rows = {page["text"]: row for page, row in zip(found.pages, found.extras.to_pylist(), strict=True)}
    assert rows["one"] == {"score": "1", "only_a": "x", "only_b": None}
    assert rows["four"] == {"score": "2.5", "only_a": None, "only_b": [2]}
    assert rows["five"]["score"] == "high"


def test_a_mapped_column_goes_by_our_name_and_others_by_their_own(tmp_path: Path) -> None:
    put(
        tmp_path,
        "a",
        {
            "body": ["one", "two two"],
            "text": ["not", "this"],
            "link": ["http://a.org/x", "http://b.org"],
            "lang": ["de", "en"],
            "Big": [1, 2],
        },
    )
    source = {"text": "body", "url": "link"}
    for where, wanted in {
        "text = 'one'": "one",
        "body = 'one'": "one",
        "host = 'a.org'": "one",
        "link = 'http://b.org'": "two two",
        "lang = 'en'": "two two",
        "chars = 7": "two two",
        "big = 2": "two two",
        "length(id) = 20 AND url LIKE '%x'": "one",
        "title = '' AND Big = 1": "one",
    }.items():
        found, skips = drawn(tmp_path, where=where, source=source)
        assert [page["text"] for page in found.pages] == [wanted], where
        assert skips.counts == {"left out by where": 1}
    mapped, _ = drawn(tmp_path, by="lang", source={**source, "lang": "text"})
    assert sorted(mapped.strata) == ["not", "this"], "a mapped name wins over a column of the source"


def test_a_column_that_a_later_shard_lacks_is_null_there(tmp_path: Path) -> None:
    put(tmp_path, "a", {"text": ["one", "two"], "score": [1, 2]})
    put(tmp_path, "b", {"text": ["three"]})
    found, _ = drawn(tmp_path, by="score")
    assert dict(zip([p["text"] for p in found.pages], found.strata, strict=True)) == {
        "one": "1",
        "two": "2",
        "three": "null",
    }


def test_a_value_that_only_a_later_row_cannot_convert_is_named(tmp_path: Path) -> None:
    put(tmp_path, "a", {"text": [f"t{n}" for n in range(5000)], "score": ["1"] * 4999 + ["n/a"]})
    with pytest.raises(CurateError, match=r"Could not convert string 'n/a'"):
        drawn(tmp_path, where="CAST(score AS INT) > 0")


def test_pages_of_the_sample_and_blank_ones_are_no_candidates(tmp_path: Path) -> None:
    put(tmp_path, "a", {"text": ["one", "two", " ", None, "one", "three"]})
    found, skips = drawn(tmp_path, exclude=["two"])
    assert sorted(page["text"] for page in found.pages) == ["one", "three"]
    assert (found.seen, found.again, skips.counts) == (4, 1, {"no text": 2})
    with pytest.raises(BadInput, match=r"leaves no page of 4 with text .*4 are in the sample already"):
        drawn(tmp_path, exclude=["one", "two", "three"])


def test_the_rank_is_uniform_given_that_a_page_was_drawn(tmp_path: Path) -> None:
    put(tmp_path, "a", {"text": [f"page {n}" for n in range(4000)], "lang": ["de"] * 3800 + ["fi"] * 200})
    found, _ = drawn(tmp_path, size=1000, by="lang")
    assert ((found.rank >= 0) & (found.rank < 1)).all()
    for stratum in ("de", "fi"):
        ranks = found.rank[[s == stratum for s in found.strata]]
        assert ranks.mean() == pytest.approx(0.5, abs=4 * (1 / 12 / len(ranks)) ** 0.5)


def test_bins_hold_as_many_rows_each_and_no_value_is_a_bin_of_its_own(tmp_path: Path) -> None:
    scores = [None, None, float("nan"), *np.random.default_rng(0).lognormal(size=997).tolist()]
    put(tmp_path, "a", {"text": [f"page {n}" for n in range(1000)], "score": scores})
    found, _ = drawn(tmp_path, size=100, by="score", bins=4)
    assert found.bins
    assert not found.bins.approximate
    counts = {s.name: s.rows for s in found.by_stratum}
    assert counts.pop("null") == 3
    assert len(counts) == 4
    assert max(counts.values()) - min(counts.values()) <= 2


def test_values_that_repeat_make_fewer_bins(tmp_path: Path) -> None:
    put(tmp_path, "a", {"text": [f"page {n}" for n in range(90)], "score": [0] * 80 + list(range(1, 11))})
    found, _ = drawn(tmp_path, by="score", bins=10)
    assert found.bins
    assert found.bins.edges == [1.0 * n for n in found.bins.edges]
    assert sum(s.rows for s in found.by_stratum) == 90
    assert Bins([], False).of(np.array([1.0, np.nan])) == ["all", "null"]
    assert Bins([1.0, 2.0], False).of(np.array([0.9, 1.0, 1.9, 2.0])) == ["below 1", "1 to 2", "1 to 2", "from 2"]


@pytest.mark.slow
def test_edges_of_very_many_values_are_of_a_random_part_and_said_to_be(tmp_path: Path) -> None:
    count = MOST_VALUES * 3 // 2
    numbers = np.arange(count)
    put(tmp_path, "a", {"text": pa.array(numbers).cast(pa.string()), "score": numbers})
    found, _ = drawn(tmp_path, size=50, by="score", bins=5)
    assert found.bins
    assert found.bins.approximate
    assert found.bins.edges == pytest.approx([count * q for q in (0.2, 0.4, 0.6, 0.8)], rel=0.01)
