from typing import Any

import pytest
from pydantic import ValidationError

from curate.stages.tune import Settings


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"budget": "light", "max_metric_calls": 100}, "not both"),
        ({"graders": {}}, "above 0"),
        ({"graders": {"human": 0}}, "above 0"),
        ({"graders": {"human": -1, "rubric": 2}}, "0 or more"),
        ({"graders": {"people": 1}}, "human, rubric"),
        ({"graders": {"rubric": 1}}, "grader_rubric"),
        ({"examples": [40]}, "0 to 32"),
        ({"layouts": []}, "layouts"),
        ({"max_usd": 0}, "max_usd"),
        ({"layout": "page_first"}, "layout"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings(**wrong)


def test_budgets_are_multiples_of_val_and_of_the_minibatch() -> None:
    assert Settings(max_metric_calls=123).metric_calls(40) == 123
    assert Settings(budget="light", minibatch=5).metric_calls(40) == 40 * 7 + 2 * 5 * 18
    sizes = [Settings(budget=size).metric_calls(50) for size in ("light", "medium", "heavy")]  # type: ignore[arg-type]
    assert sizes == sorted(set(sizes))


def test_the_weight_of_people_is_a_share() -> None:
    assert Settings(graders={"human": 3, "rubric": 1}, grader_rubric="g.md").human == 0.75  # type: ignore[arg-type]
    assert Settings().human == 1
