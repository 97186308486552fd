"""How well raters agree."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_desk import RUBRIC

from curate import rubric as rubrics
from curate.labels.agreed import agreed, agreed_by
from curate.labels.words import ADJUDICATION, label_row

PAGES = [{"page_id": str(i), "group_id": str(i // 2), "split": "train"} for i in range(60)]


def rubric(folder: Path) -> rubrics.Rubric:
    (folder / "r.md").write_text(RUBRIC)
    return rubrics.load(folder / "r.md")


def word(of: rubrics.Rubric, page: int, rater: str, level: int, **more: Any) -> dict[str, Any]:
    return label_row(of, str(page), rater, level=level, at="2026-01-01T00:00:00+00:00", **more)


def test_figures_of_two_raters_one_of_whom_gives_more(tmp_path: Path) -> None:
    of, rng = rubric(tmp_path), np.random.default_rng(0)
    levels = rng.integers(0, 2, size=60)
    rows = [word(of, i, "anna", int(level), criteria={"layout": i % 2}) for i, level in enumerate(levels)]
    rows += [
        word(of, i, "ben", int(level) + (i < 20), criteria={"layout": i % 2}) for i, level in enumerate(levels[:40])
    ]
    found = agreed(rows, PAGES, of)
    assert (found.labels, found.pages, found.shared) == (100, 60, 40)
    assert found.exact.value == pytest.approx(0.5)
    assert 0.2 < found.exact.low < 0.5 < found.exact.high < 0.8
    assert found.same_side is not None
    crossed = sum(level + 1 == 2 for level in levels[:20])
    assert found.same_side.value == pytest.approx(1 - crossed / 40)
    anna, ben = found.raters
    assert (anna.name, anna.labels, ben.labels) == ("anna", 60, 40)
    assert anna.keeps == 0
    assert ben.keeps == pytest.approx(crossed / 40)
    assert anna.bias is not None
    assert ben.bias is not None
    assert anna.bias.value == pytest.approx(-0.5) == -ben.bias.value
    assert dict(found.alpha)["ordinal"].value < 1
    (name, same, alpha) = found.criteria[0]
    assert (name, same.value, alpha.value, same.n) == ("layout", 1.0, 1.0, 40)
    assert "about" in found.more
    json.dumps(found.as_dict(), allow_nan=False)


def test_words_of_adjudication_and_with_a_judge_s_help_say_nothing_of_agreement(tmp_path: Path) -> None:
    of = rubric(tmp_path)
    rows = [word(of, i, rater, i % 3) for i in range(30) for rater in ("anna", "ben")]
    off = [word(of, i, "cleo", 2 - i % 3, role=ADJUDICATION) for i in range(30)]
    off += [word(of, i, "dan", 2 - i % 3, assisted=True) for i in range(30)]
    assert agreed([*rows, *off], PAGES, of).as_dict() == agreed(rows, PAGES, of).as_dict()
    assert agreed(rows, PAGES, of).exact.value == 1


def test_one_rater_is_told_plainly(tmp_path: Path) -> None:
    of = rubric(tmp_path)
    found = agreed([word(of, i, "anna", i % 3) for i in range(9)], PAGES, of)
    assert found.shared == 0
    assert "a second rater" in found.more
    assert "1 rater" in found.note
    json.dumps(found.as_dict(), allow_nan=False)
    assert agreed([], PAGES, of).labels == 0


def test_parts_are_measured_by_themselves(tmp_path: Path) -> None:
    of = rubric(tmp_path)
    pages = [{**page, "lang": ("en", "fr", None)[i // 20]} for i, page in enumerate(PAGES)]
    rows = [word(of, i, rater, (i + (rater == "ben" and i >= 20)) % 3) for i in range(40) for rater in ("anna", "ben")]
    found = agreed_by(rows, pages, of, "lang")
    assert list(found) == ["en", "fr"]
    assert [one.exact.value for one in found.values()] == [1, 0]
    assert agreed_by([], pages, of, "lang") == {}
