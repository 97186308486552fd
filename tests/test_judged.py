import math
from typing import Any

import pytest
from small_quiz import QUIZ
from small_world import STEM

from curate.judged import worth_by_judge

CHOICE = QUIZ.model_copy(update={"keep": [QUIZ.names[0], QUIZ.names[2]]})


def said(**given: Any) -> dict[str, Any]:
    return {"status": "ok", "expected": 2.5, "probabilities": [], **given}


@pytest.mark.parametrize(("expected", "worth"), [(0, 0), (2, 0), (2.5, 0.5), (3, 1), (5, 1)])
def test_a_level_at_the_border_is_worth_a_half(expected: float, worth: float) -> None:
    assert STEM.keep == 3
    assert worth_by_judge(STEM, said(expected=expected)) == worth


def test_of_classes_the_probability_of_those_kept() -> None:
    chances = [0.2, 0.3, 0.1, *[0.4 / (len(CHOICE.levels) - 3)] * (len(CHOICE.levels) - 3)]
    assert worth_by_judge(CHOICE, said(probabilities=chances, expected=3)) == pytest.approx(0.3)
    assert worth_by_judge(CHOICE, said(expected=2)) == 1
    assert worth_by_judge(CHOICE, said(expected=1)) == 0


def test_a_judge_that_gave_no_level_says_nothing() -> None:
    assert math.isnan(worth_by_judge(STEM, said(status="refused")))
    assert math.isnan(worth_by_judge(STEM, said(expected=None)))
    assert math.isnan(worth_by_judge(STEM, {}))
