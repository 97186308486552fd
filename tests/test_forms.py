"""What holds for every answer form; what each says and reads is in test_judge."""

import re
from pathlib import Path

import pytest

from curate import judge as judges
from curate import rubric as rubrics
from curate.judge.forms import FORMS, ORDERS
from curate.llm import Reply
from curate.rubric import Rubric

ROOT = Path(__file__).resolve().parents[1]
QUIZ = Rubric.model_validate(
    {
        "name": "kinds",
        "asks": "What kind of page is it?",
        "scale": "choice",
        "keep": ["guide"],
        "classes": {"guide": "Teaches.", "shop": "Sells.", "news": "Reports."},
        "questions": {"does": {"teach": "guide", "sell": "shop"}},
        "instruction": "Say what kind of page it is.",
    }
)
RUBRICS = [QUIZ, *(rubrics.load(path) for path in sorted((ROOT / "rubrics").glob("*.md")))]
ASKED = [(rubric, form) for rubric in RUBRICS for form in judges.usable_forms(rubric, list(FORMS))]
IDS = [f"{rubric.name}-{form}" for rubric, form in ASKED]


def made(rubric: Rubric, form: str, **more: object) -> judges.Judge:
    return judges.of_rubric(rubric, form, model="openai/stub", layout="page_first", page_chars=100, **more)


def answered(text: str) -> Reply:
    return Reply(text, "stop", [], prompt_tokens=1, cached_tokens=0, completion_tokens=1, cost_usd=0.0, seconds=0.0)


def test_each_scale_has_its_forms() -> None:
    for rubric in RUBRICS:
        usable = judges.usable_forms(rubric, list(FORMS))
        assert ("letter" in usable) == (rubric.scale == "choice") != ("level" in usable)
        assert {"json", "reasoned", judges.plain_form(rubric)} <= set(usable)
        assert ("yesno" in usable) == ("ab" in usable) == bool(rubric.kept)
    assert {name: len(orders) for name, orders in ORDERS.items()} == {"ab": 2, "letter_both": 2}


@pytest.mark.parametrize(("rubric", "form"), ASKED, ids=IDS)
def test_the_answer_of_each_level_is_read_as_that_level_or_its_side(rubric: Rubric, form: str) -> None:
    judge = made(rubric, form, logprobs=False)
    for level in rubric.levels:
        shown = judges.Example(page_id="p", text="x", level=level, reason="Because.")
        said = [answered(FORMS[form].say(judge, shown, order)) for order in judge.orders]
        judgment = judges.read(judge, "p", said)
        assert judgment.status == "ok"
        assert judgment.score is not None
        if form in ("level", "json", "reasoned", "letter", "letter_both"):
            assert judgment.level == level
        else:
            assert (judgment.score > 0) == (level in rubric.kept)
        if form in ("json", "reasoned"):
            assert judgment.reason == "Because."


@pytest.mark.parametrize(("rubric", "form"), ASKED, ids=IDS)
def test_a_judge_starts_from_words_that_can_be_asked(rubric: Rubric, form: str) -> None:
    judge = made(rubric, form)
    assert judges.well_formed(form, judge.instruction)
    assert not judges.well_formed(form, " \n")
    assert all(FORMS[form].question(judge, order) for order in judge.orders)
    expected = len(set(judge.orders))
    assert len({r.messages[-1]["content"] for r in judges.requests(judge, "x")}) == expected
    assert len(judges.answers(judge)) == len(set(judges.answers(judge)))
    assert all(answer == answer.lower() for answer in judges.answers(judge))


def test_every_form_says_what_its_answer_looks_like() -> None:
    assert all(re.fullmatch(r"\S.{5,80}", spec.about) for spec in FORMS.values())
