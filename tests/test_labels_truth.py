"""What is true of a page."""

from pathlib import Path
from typing import Any

import pytest

from curate import rubric as rubrics
from curate.labels.truth import How, truth_of
from curate.labels.words import ADJUDICATION, label_row

STEM = rubrics.load(Path(__file__).resolve().parents[1] / "rubrics" / "stem.md")
SPLITS = {"p": "train", "q": "test"}


def word(page: str, rater: str, level: int, **more: Any) -> dict[str, Any]:
    return label_row(STEM, page, rater, level=level, at="2026-01-01T00:00:00+00:00", **more)


@pytest.mark.parametrize(
    ("how", "levels", "truth"),
    [
        ("mean", [1, 2, 5], 8 / 3),
        ("median", [1, 2, 5], 2),
        ("median", [1, 2], 1),
        ("majority", [4, 4, 1], 4),
        ("majority", [5, 1], 1),
    ],
)
def test_several_levels_become_one(how: How, levels: list[int], truth: float) -> None:
    rows = [word("p", f"rater {i}", level) for i, level in enumerate(levels)]
    assert truth_of(rows, STEM, how=how, splits=SPLITS) == {"p": pytest.approx(truth)}


@pytest.mark.parametrize("how", ["mean", "median", "majority"])
def test_an_adjudication_settles_the_page(how: How) -> None:
    rows = [word("p", "ann", 0), word("p", "ben", 5), word("p", "cleo", 2, role=ADJUDICATION)]
    assert truth_of(rows, STEM, how=how, splits=SPLITS) == {"p": 2.0}


def test_what_a_judge_had_a_part_in_does_not_count_on_the_sealed_test() -> None:
    rows = [word(page, rater, level, assisted=level == 5) for page in "pq" for rater, level in (("ann", 1), ("ben", 5))]
    assert truth_of(rows, STEM, splits=SPLITS) == {"p": 3.0, "q": 1.0}
    assert truth_of([word("q", "ben", 5, assisted=True)], STEM, splits=SPLITS) == {}


def test_pages_of_other_splits_are_left_out() -> None:
    assert truth_of([word("p", "ann", 1), word("elsewhere", "ann", 1)], STEM, splits=SPLITS) == {"p": 1.0}


def test_by_reliability_a_careless_rater_counts_less_and_one_rater_s_word_stands() -> None:
    splits = {f"{i:03}": "train" for i in range(90)}
    rows = [word(f"{i:03}", rater, 5 * (i % 2)) for i in range(80) for rater in ("ann", "ben")]
    rows += [word(f"{i:03}", "cleo", 5 * (i // 2 % 2)) for i in range(80)]
    rows += [word("085", "cleo", 5)]
    by_mean = truth_of(rows, STEM, splits=splits)
    found = truth_of(rows, STEM, how="dawid_skene", splits=splits)
    assert by_mean["002"] == pytest.approx(5 / 3)
    assert found["002"] < 0.2
    assert found["085"] == 5
    few = [row for row in rows if int(row["page_id"]) < 20]
    assert truth_of(few, STEM, how="dawid_skene", splits=splits) == truth_of(few, STEM, splits=splits)


def test_by_weight_a_careless_rater_counts_less_and_what_is_sealed_moves_nothing_else() -> None:
    splits = {f"{i:03}": "test" if i % 2 else "train" for i in range(160)}
    rows = [word(f"{i:03}", rater, 5 * (i // 2 % 2)) for i in range(160) for rater in ("ann", "ben")]
    rows += [word(f"{i:03}", "cleo", 5 * (i // 4 % 2)) for i in range(160)]
    found = truth_of(rows, STEM, how="weighted", splits=splits)
    assert truth_of(rows, STEM, splits=splits)["004"] == pytest.approx(5 / 3)
    assert found["004"] < 0.8
    turned = [word(row["page_id"], row["rater"], 5 - row["level"] if splits[row["page_id"]] == "test" else row["level"])
              if row["rater"] == "ann" else row for row in rows]  # fmt: skip
    for how in ("weighted", "dawid_skene"):
        apart, same = (truth_of(given, STEM, how=how, splits=splits) for given in (turned, rows))  # type: ignore[arg-type]
        assert {p: apart[p] for p in apart if splits[p] == "train"} == {
            p: same[p] for p in same if splits[p] == "train"
        }
        assert apart != same
