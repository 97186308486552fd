"""Targets from judge and people."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate import rubric as rubrics
from curate.wanted import mixed, wanted_of

ORDINAL = """---
name: useful
asks: How useful?
keep: 2
levels: {0: not, 1: somewhat, 2: very}
criteria:
  layout:
    asks: Is the layout whole?
    levels: {0: "no", 1: partly, 2: "yes"}
  sources:
    asks: Are sources named?
    levels: {0: "no", 1: "yes"}
---
Say how useful.
"""
CLASSES = """---
name: kind
asks: What kind?
scale: choice
classes: {text: prose, code: programs, list: links}
keep: [text, code]
---
Say what it is.
"""


def rubric(folder: Path, text: str) -> rubrics.Rubric:
    (folder / "r.md").write_text(text)
    return rubrics.load(folder / "r.md")


def wanted(folder: Path, text: str, judgments: dict[str, Any], **given: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"levels": {}, "criteria": {}, "human_weight": 3.0, **given}
    found = wanted_of(rubric(folder, text), ["a", "b", "c"], judgments=judgments, **asked)
    return {one.name: one for one in found}


def test_levels_and_criteria_of_judge_and_people_are_mixed_by_weight(tmp_path: Path) -> None:
    judgments = {"a": {"expected": 2.0, "criteria": '{"layout": 2}'}, "b": {"expected": 1.0, "criteria": None}}
    found = wanted(tmp_path, ORDINAL, judgments, levels={"b": 0.0, "c": 2.0}, criteria={"b": {"layout": 0.5}})
    assert list(found) == ["level", "criterion layout"], "nobody answered for sources"
    assert found["level"].top == 2
    assert found["level"].target == pytest.approx([1.0, (0.5 + 3 * 0) / 4, 1.0])
    assert found["level"].weight.tolist() == [1, 4, 3]
    assert found["criterion layout"].target == pytest.approx([1.0, 0.25, np.nan], nan_ok=True)
    assert found["criterion layout"].people == pytest.approx([np.nan, 0.5, np.nan], nan_ok=True)


def test_classes_take_the_judge_s_probabilities_or_its_word(tmp_path: Path) -> None:
    judgments = {"a": {"expected": 1.0, "probabilities": [0.2, 0.6, 0.2]}, "b": {"expected": 2.0, "probabilities": []}}
    found = wanted(tmp_path, CLASSES, judgments, levels={"c": 0.0})
    assert list(found) == ["class text", "class code", "class list"]
    assert found["class code"].target == pytest.approx([0.6, 0, 0])
    assert found["class text"].target == pytest.approx([0.2, 0, 1])
    assert found["class list"].people == pytest.approx([np.nan, np.nan, 0], nan_ok=True)


def test_a_rubric_of_two_levels_wants_nothing_more(tmp_path: Path) -> None:
    two = ORDINAL.replace("keep: 2", "keep: 1").replace(", 2: very", "").split("criteria:")[0] + "---\nSay.\n"
    assert wanted(tmp_path, two, {"a": {"expected": 1.0}}) == {}


def test_people_who_weigh_nothing_count_where_the_judge_is_silent() -> None:
    target, weight = mixed(np.array([0.5, np.nan, np.nan]), np.array([1.0, 1.0, np.nan]), 0.0)
    assert target == pytest.approx([0.5, 1.0, np.nan], nan_ok=True)
    assert weight.tolist() == [1, 1, 0]


def test_where_people_weigh_a_great_deal_the_judge_weighs_little_rather() -> None:
    target, weight = mixed(np.array([0.0, 0.0, np.nan]), np.array([1.0, np.nan, 1.0]), 1000.0)
    assert target == pytest.approx([1.0, 0.0, 1.0], abs=0.002)
    assert weight == pytest.approx([10.01, 0.01, 10.0])
