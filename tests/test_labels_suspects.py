"""Labels that may be slips."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from small_desk import RUBRIC

from curate import rubric as rubrics
from curate.labels.suspects import suspects
from curate.labels.words import label_row

GOOD = "a proof of the theorem on prime numbers, with every step and its reason"
BAD = "cheap watches and bags for sale, order now and save, free delivery"


def rubric(folder: Path) -> rubrics.Rubric:
    (folder / "r.md").write_text(RUBRIC)
    return rubrics.load(folder / "r.md")


def pages(n: int, split: str = "train") -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    words = [f"w{k}" for k in range(40)]
    return [
        {"page_id": f"{split}{i}", "group_id": f"{split}{i}", "split": split,
         "text": f"{GOOD if i % 2 else BAD} {' '.join(rng.choice(words, 8))}"}
        for i in range(n)
    ]  # fmt: skip


def words(
    of: rubrics.Rubric, drawn: list[dict[str, Any]], levels: list[int], rater: str = "anna"
) -> list[dict[str, Any]]:
    return [
        label_row(of, page["page_id"], rater, level=level, at="2026-01-01")
        for page, level in zip(drawn, levels, strict=True)
    ]


def test_planted_slips_come_first_with_the_classifier_s_words(tmp_path: Path) -> None:
    of, drawn = rubric(tmp_path), pages(120)
    levels = [2 * (i % 2) for i in range(120)]
    slips = {5, 40, 77, 100}
    for i in slips:
        levels[i] = 2 - levels[i]
    found = suspects(words(of, drawn, levels), drawn, of)
    assert {one.page_id for one in found[:4]} == {f"train{i}" for i in slips}
    assert all(one.doubt > 0.5 for one in found[:4])
    assert "a classifier of the other labels gives" in found[0].reasons[0]
    assert len(found) < 15


def test_the_sealed_test_is_not_looked_at(tmp_path: Path) -> None:
    of, drawn = rubric(tmp_path), [*pages(80), *pages(40, "test")]
    rows = words(of, drawn, [2 * (i % 2) for i in range(80)] + [2 - 2 * (i % 2) for i in range(40)])
    found = suspects(rows, drawn, of, judged={page["page_id"]: 1.0 for page in drawn if page["split"] == "test"})
    assert not [one for one in found if one.page_id.startswith("test")]


def test_one_against_two_others_stands_alone_but_one_against_one_does_not(tmp_path: Path) -> None:
    of, drawn = rubric(tmp_path), pages(3)
    rows = [
        *words(of, drawn[:2], [0, 0], "anna"),
        *words(of, drawn[:2], [2, 2], "ben"),
        *words(of, drawn[:1], [2], "cleo"),
    ]
    (one,) = suspects(rows, drawn, of)
    assert (one.page_id, one.rater, one.reasons) == ("train0", "anna", ["2 others would keep it"])


@pytest.mark.parametrize(("good", "count"), [(True, 1), (False, 0)])
def test_a_judge_speaks_only_where_it_agrees_on_the_whole(tmp_path: Path, good: bool, count: int) -> None:
    of, drawn = rubric(tmp_path), pages(30)
    levels = [2 * (i % 2) for i in range(30)]
    judged = {page["page_id"]: 0.95 * (i % 2 if good else (i // 2) % 2) for i, page in enumerate(drawn)}
    judged["train4"] = 0.97
    found = suspects(words(of, drawn, levels), drawn, of, judged=judged)
    assert [one.page_id for one in found] == ["train4"] * count
    assert all("the judge's share of drop is 0.03" in one.reasons[0] for one in found)


@pytest.mark.slow
def test_on_real_pages_most_of_the_first_are_planted(tmp_path: Path, shared_data: Path) -> None:
    of = rubric(tmp_path)
    table = pq.read_table(shared_data / "dclm_human.parquet").to_pylist()
    drawn = [
        {"page_id": str(i), "group_id": str(i), "split": "train", "text": row["text"]} for i, row in enumerate(table)
    ]
    levels = [2 * (row["label"] == "keep") for row in table]
    slips = set(np.random.default_rng(0).permutation(len(table))[: len(table) // 10].tolist())
    rows = words(of, drawn, [2 - level if i in slips else level for i, level in enumerate(levels)])
    found = suspects(rows, drawn, of)
    first = [int(one.page_id) in slips for one in found[: len(slips)]]
    assert np.mean(first) > 0.35, "one in ten by chance"
    assert sum(int(one.page_id) in slips for one in found) > 0.6 * len(slips)
