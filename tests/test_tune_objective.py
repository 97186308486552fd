from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_quiz import QUIZ, questions
from small_world import STEM

from curate import judge as judges
from curate.judge import Form, Judge
from curate.schema import Judgment
from curate.stages.tune import Labelled
from curate.stages.tune.labelled import anchors_of
from curate.stages.tune.objective import marker, objective_for, rarity


def judge(form: Form = "level") -> Judge:
    return judges.of_rubric(STEM, form, model="m", layout="page_first", page_chars=100)


def page(level: float, number: int = 0) -> Labelled:
    return Labelled(f"p{level}-{number}", f"text {number}", "train", f"g{number}", level, level >= 3, ())


def said(expected: float | None, **more: Any) -> Judgment:
    if expected is None:
        return Judgment.failed("p", "j", "unreadable", "no digit", "hmm")
    return Judgment("p", "j", "ok", level=round(expected), score=expected, expected=expected, **more)


def never(_: Judge, __: Labelled) -> float:
    raise AssertionError("no anchor is asked")


@pytest.mark.parametrize(
    ("form", "found"),
    [("level", "level"), ("json", "level"), ("reasoned", "level"), ("yesno", "rank"), ("kind", "rank")],
)
def test_the_objective_follows_from_what_the_score_means(form: Form, found: str) -> None:
    assert objective_for("auto", judge(form)) == found
    assert objective_for("rank", judge(form)) == "rank"


def test_cuts_and_classes_change_it() -> None:
    assert objective_for("auto", judge().model_copy(update={"cuts": (1.0, 2.0, 3.0, 4.0, 5.0)})) == "rank"
    quiz = judges.of_rubric(QUIZ, "letter", model="m", layout="page_first", page_chars=100)
    assert objective_for("auto", quiz) == "exact"


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_every_level_counts_as_much_as_any_other(levels: list[int]) -> None:
    train = [page(level, i) for i, level in enumerate(levels)]
    weights = rarity(train)
    sums = {level: weights(level) * levels.count(level) for level in set(levels)}
    assert all(0 < weights(level) <= 1 for level in range(6))
    assert max(sums.values()) == pytest.approx(min(sums.values()))


def test_nearer_is_better_and_unreadable_is_worst() -> None:
    mark = marker("level", [page(4)], [], never)
    scores = [mark(judge(), page(4), said(x)).score for x in (4.0, 3.0, 0.0, None)]
    assert scores == pytest.approx([1.0, 0.8, 0.2, 0.0])


def test_an_error_on_a_rare_level_costs_more() -> None:
    train = [*(page(0, i) for i in range(9)), page(5)]
    mark = marker("level", train, [], never)
    assert mark(judge(), page(0), said(5.0)).score == pytest.approx(1 - 1 / 9)
    assert mark(judge(), page(5), said(0.0)).score == 0


def test_the_right_class_earns_its_probability() -> None:
    quiz = judges.of_rubric(QUIZ, "letter", model="m", layout="page_first", page_chars=100)
    asked = questions("")[0]
    mark = marker("exact", [asked], [], never)
    place = asked.level
    shares = [0.6 if i == place else 0.1 for i in range(5)]
    assert mark(quiz, asked, said(place, probabilities=shares)).score == pytest.approx(0.6)
    assert mark(quiz, asked, said(place)).score == 1
    assert mark(quiz, asked, said((place + 1) % 5)).score == 0
    assert mark(quiz, asked, said(None)).score == 0


def test_rank_is_the_share_of_anchors_ranked_rightly_whatever_the_calibration() -> None:
    train = [page(level, i) for i, level in enumerate((0, 1, 4, 5))]
    scores = {"p0-0": -3.0, "p1-1": 9.0, "p4-2": 2.0, "p5-3": 2.0}
    mark = marker("rank", train, anchors_of(train, 4), lambda _, p: scores[p.page_id])
    found = mark(judge("yesno"), page(3, 7), said(2.0))
    assert found.score == pytest.approx((1 + 0 + 0.5 + 0.5) / 4)
    assert [p.page_id for p in found.wrong] == ["p1-1"]
    assert mark(judge("yesno"), page(3, 7), said(None)).score == 0


def test_a_page_is_not_ranked_against_itself_or_its_like() -> None:
    train = [page(3, 1), page(3.5, 2)]
    mark = marker("rank", train, train, never)
    assert mark(judge("yesno"), replace(train[0]), said(1.0)).score == 1
