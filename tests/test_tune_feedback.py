from dataclasses import replace

from small_quiz import QUIZ, questions
from small_world import STEM

from curate import judge as judges
from curate.schema import Judgment
from curate.stages.tune import Labelled
from curate.stages.tune.feedback import words_for
from curate.stages.tune.objective import Mark

JSON = judges.of_rubric(STEM, "json", model="m", layout="page_first", page_chars=100)
PAGE = Labelled(
    "p1",
    "text",
    "train",
    "g1",
    4.5,
    True,
    (("ann", 4, "derives it"), ("bob", 5, ""), ("judge:abc", 4.4, "")),
    {"formatting": 1.5, "reasoning": 2.0},
)
SAID = Judgment(
    "p1", "j", "ok", level=2, score=2.0, expected=2.0, criteria={"formatting": 1, "reasoning": 0}, reason="Only facts."
)


def test_feedback_says_who_said_what_which_rule_applies_and_where_they_part() -> None:
    words = words_for(JSON, PAGE, SAID, Mark(0.5))
    assert "Too low by 2.5 levels." in words
    assert "ann gave 4 (derives it); bob gave 5; judge:abc gave 4.4." in words
    assert "The judge said 2, score 2.00. Its reason: Only facts." in words
    assert f"By the rubric, 4 means: {STEM.levels[4]}" in words
    assert "reasoning: people 2 (reasoned step by step), the judge 0" in words
    assert "formatting: people 1.5" in words


def test_criteria_on_which_they_agree_are_not_dwelt_on() -> None:
    agreed = replace(SAID, criteria={"formatting": 1, "reasoning": 2})
    words = words_for(JSON, replace(PAGE, criteria={"reasoning": 2.0}), agreed, Mark(0.5))
    assert "part on" not in words


def test_an_unreadable_reply_is_quoted() -> None:
    garbled = Judgment.failed("p1", "j", "unreadable", "no level of 0..5", "It is rather nice, I would say")
    words = words_for(JSON, PAGE, garbled, Mark(0.0))
    assert "It is rather nice, I would say" in words
    assert "no level of 0..5" in words
    assert "ann gave 4" in words


def test_a_page_ranked_wrongly_names_one_it_stands_beside() -> None:
    other = replace(PAGE, page_id="p2", truth=0.0, said=(("ann", 0, "a shop"),))
    words = words_for(JSON, PAGE, SAID, Mark(0.4, [other]))
    assert "Ranked too low (rightly against 40%)" in words
    assert "wrongly beside a page that people gave 0 (a shop)" in words


def test_classes_go_by_their_names() -> None:
    quiz = judges.of_rubric(QUIZ, "letter", model="m", layout="page_first", page_chars=100)
    page = questions("think of daily use")[1]
    wrong = Judgment(page.page_id, "j", "ok", level=(page.level + 1) % 5, score=1.0, expected=0.0)
    words = words_for(quiz, page, wrong, Mark(0.0))
    assert words.startswith("Wrong.")
    assert f"ann gave {'ABCDE'[page.level]} (think of daily use)" in words
    assert f"The judge said {'ABCDE'[(page.level + 1) % 5]}," in words


def test_without_labels_only_the_answer_is_told() -> None:
    assert words_for(JSON, replace(PAGE, truth=float("nan"), said=()), SAID, None).startswith("The judge said 2")
