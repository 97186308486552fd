from pathlib import Path

import pytest
from small_quiz import QUIZ
from small_world import STEM

from curate import judge as judges
from curate import rubric as rubrics
from curate.judge import Form, Judge
from curate.rubric import Rubric
from curate.stages.tune.freeze import Lineage, rubric_file

LINEAGE = Lineage("abc", "stem\n123", 85, "auc .93 [.87, .98]", "openai/stub", "$1.0000")
TUNED: dict[Form, str] = {
    "level": 'Rate it.\n- Steps count: 5.\n--- not a rule line\nColons: "and" quotes, # and all.',
    "json": "Rate it well.",
    "yesno": "Does it teach? (Yes for: worked steps.)",
    "ab": "high: a text that teaches: slowly\nlow: a shop",
    "kind": "science: 5\nnews: 0\nproof: 4",
    "does": "explain: 5\nsell: 0",
}


def judge(rubric: Rubric, form: Form, instruction: str) -> Judge:
    made = judges.of_rubric(rubric, form, model="m", layout="page_first", page_chars=100)
    return made.model_copy(update={"instruction": instruction})


@pytest.mark.parametrize("form", list(TUNED))
def test_the_file_loads_and_asks_what_the_judge_asks(form: Form, tmp_path: Path) -> None:
    file = tmp_path / "rubric.md"
    file.write_text(rubric_file(STEM, judge(STEM, form, TUNED[form]), LINEAGE), encoding="utf-8")
    again = rubrics.load(file)
    assert judges.seed_instruction(again, form) == TUNED[form]
    assert (again.name, again.levels, again.criteria, again.keep) == (STEM.name, STEM.levels, STEM.criteria, STEM.keep)


def test_an_untouched_rubric_comes_back_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "rubric.md"
    file.write_text(rubric_file(STEM, judge(STEM, "level", STEM.instruction), LINEAGE), encoding="utf-8")
    assert rubrics.load(file).hash == STEM.hash


def test_classes_come_back_by_their_names(tmp_path: Path) -> None:
    named = QUIZ.model_copy(
        update={"classes": {"no": "a", "1": "b", "maybe so": "c", "D": "d", "E": "e"}, "keep": ["no"]}
    )
    named = named.model_copy(update={"levels": dict(enumerate("abcde"))})
    file = tmp_path / "rubric.md"
    file.write_text(rubric_file(named, judge(named, "letter", "Pick one."), LINEAGE), encoding="utf-8")
    again = rubrics.load(file)
    assert (again.classes, again.keep, again.instruction) == (named.classes, ["no"], "Pick one.")


def test_the_lineage_stands_in_comments_of_one_line_each() -> None:
    front = rubric_file(STEM, judge(STEM, "level", "Rate."), LINEAGE).split("\n---")[0]
    assert "# parent rubric: stem 123" in front
    assert "# on val: auc .93 [.87, .98]" in front
    assert "# labelled pages used: 85" in front
