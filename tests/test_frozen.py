from typing import Any

import pytest

from curate import judge as judges
from curate.judge import Example, Judge
from curate.rubric import Rubric

RUBRIC = Rubric.model_validate(
    {
        "name": "soup",
        "asks": "Is it soup?",
        "keep": 1,
        "levels": {0: "No soup.", 1: "Soup.", 2: "Good soup."},
        "instruction": "Rate the soup.\nBe strict.",
    }
)


def judge(**changed: Any) -> Judge:
    made = judges.of_rubric(RUBRIC, "level", model="openai/one", layout="page_first", page_chars=500, weights="abc")
    return made.model_copy(update=changed)


def test_a_judge_differs_from_itself_in_nothing() -> None:
    assert judges.diff(judge(), judge()) == []


@pytest.mark.parametrize(
    ("changed", "lines"),
    [
        ({"model": "openai/two"}, ["model: openai/one -> openai/two"]),
        ({"page_tokens": 200, "cut": "head_tail"}, ["page_tokens: none -> 200", "cut: head -> head_tail"]),
        ({"cuts": (0.5, 1.5)}, ["cuts: none -> (0.5, 1.5)"]),
        ({"levels": {**RUBRIC.levels, 2: "Best."}}, ["levels.2: Good soup. -> Best."]),
        (
            {"instruction": "Rate the soup.\nBe kind.\nSmile."},
            ["instruction:", "  @@ -1,2 +1,3 @@", "   Rate the soup.", "  -Be strict.", "  +Be kind.", "  +Smile."],
        ),
        ({"examples": (Example(page_id="p", text="x", level=1),)}, ["examples: none -> p"]),
    ],
)
def test_what_differs_is_said_in_words(changed: dict[str, Any], lines: list[str]) -> None:
    assert judges.diff(judge(), judge(**changed)) == lines


def test_examples_of_the_same_pages_may_differ_in_words() -> None:
    one, other = (judge(examples=(Example(page_id="p", text=text, level=1),)) for text in "xy")
    assert judges.diff(one, other) == ["examples: the same pages, other words"]


def test_a_judge_is_described_as_people_read_it() -> None:
    text = judges.describe(
        judge(
            served="embedded",
            quantisation="Q4_K_M",
            seed=3,
            examples=(Example(page_id="p9", text="x", level=2),),
            cuts=(1.0, 2.0),
        )
    )
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for line in (
        "model: openai/one Q4_K_M (embedded)",
        "form: level: one digit, the level",
        "page: 500 characters, head",
        "scale: ordinal: 0, 1, 2; keeps 1, 2",
        "reply: at most 1 tokens, temperature 0.0, seed 3, with probabilities",
        "examples: p9 (2)",
        "fitted: cuts",
    ):
        assert line in lines
    assert text.endswith("\n\nRate the soup.\nBe strict.")


def test_a_quiz_keeps_none_in_particular() -> None:
    quiz = Rubric.model_validate(
        {"name": "q", "asks": "?", "scale": "choice", "keep": [], "classes": {"A": "1", "B": "2"}, "instruction": "x"}
    )
    made = judges.of_rubric(quiz, "letter", model="m", layout="page_first", page_chars=9)
    assert "A, B; keeps none in particular" in judges.describe(made)


def test_another_model_than_the_one_it_was_tuned_with_is_named() -> None:
    tuned = judge(served="embedded")
    assert judges.mismatch(tuned, model="openai/one", weights="abc", served="embedded", quantisation="Q8") == ""
    assert judges.mismatch(tuned, model="openai/one", weights="") == "", "what is not known is no difference"
    said = judges.mismatch(tuned, model="openai/two", weights="abd")
    assert said.startswith(f"judge {tuned.id} was tuned with something else: model was openai/one and is openai/two; ")
    assert "weights was abc and is abd" in said
    assert said.endswith("run `curate tune` again, or set it back")
